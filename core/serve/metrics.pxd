"""What a server counts."""
from libc.stdint cimport int64_t

from hotpath.core.data.shared cimport Counters, Gauges
from hotpath.core.serve.connection cimport counts_t

# Points `counts` at the rows of `worker`.
cdef int bind_counts(counts_t* counts, Counters counters, Gauges gauges, int worker, int n_routes) except -1
# One answer: `route` is its index, or the number of routes for none; `status` 0: there was none.
cdef void count_answer(counts_t* counts, int route, int status, int64_t took_us) noexcept nogil

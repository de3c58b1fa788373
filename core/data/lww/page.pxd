"""Pages of live keys at C level."""
from hotpath.core.data.lww.table cimport table_t

# (key, stamp, tag, body) of the first `limit` live keys that begin with `prefix` and come after `after` (None: all do).
cdef list page_of(table_t* table, bytes prefix, bytes after, Py_ssize_t limit)

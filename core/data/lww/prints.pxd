"""What differs between two tables, by fingerprints, at C level."""
from libc.stdint cimport uint8_t

from hotpath.core.data.lww.table cimport table_t

# Of each bucket: u16 bucket, u32 n, n u64s, ascending. Damaged: there is no such bucket.
cdef bytes fingerprints_of(table_t* table, object buckets)

# (a delta of ours that the other lacks, the fingerprints we lack, buckets answered in whole). Damaged.
cdef tuple missing_by(table_t* table, uint8_t bias, bytes fingerprints, Py_ssize_t limit)

# A delta of our cells in the buckets that have one of the fingerprints. Damaged.
cdef bytes picked(table_t* table, uint8_t bias, object buckets, bytes fingerprints)

"""Values at C level: bytes or JSON, with a tag before them."""
from libc.stdint cimport uint8_t

# The object that a live cell's payload holds. ValueError: it is no JSON.
cdef object value_of(const uint8_t* payload, Py_ssize_t size)

# The same, if it is bytes or a string without escapes: no Python code runs meanwhile. None: it has to be decoded.
cdef object plain_of(const uint8_t* payload, Py_ssize_t size)
cdef object decoded(bytes text)                 # of JSON without the tag. Damaged

cpdef bytes pack(object value)

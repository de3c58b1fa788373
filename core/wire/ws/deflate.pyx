# distutils: libraries = z
"""permessage-deflate over zlib: an end is an empty block whose last four bytes stay at home (RFC 7692 section 7.2)."""
from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free

cdef extern from "zlib.h" nogil:
    ctypedef struct z_stream:
        const uint8_t* next_in
        unsigned int avail_in
        uint8_t* next_out
        unsigned int avail_out
        int data_type
    enum:
        Z_OK
        Z_STREAM_END
        Z_BUF_ERROR
        Z_MEM_ERROR
        Z_NO_FLUSH
        Z_SYNC_FLUSH
        Z_DEFLATED
        Z_DEFAULT_STRATEGY
    int inflateInit2(z_stream* stream, int window_bits)
    int inflate(z_stream* stream, int flush)
    int inflateResetKeep(z_stream* stream)
    int inflateEnd(z_stream* stream)
    int deflateInit2(z_stream* stream, int level, int method, int window_bits, int mem_level, int strategy)
    int deflate(z_stream* stream, int flush)
    int deflateEnd(z_stream* stream)

cdef enum:
    MAX_WINDOW_BITS = 15
    MOST = 1 << 30              # zlib counts in 32 bits: larger input and room go to it in parts
    TAIL_SIZE = 4
    BETWEEN_BLOCKS = 128        # z_stream.data_type: a block just ended, and with it the last byte

cdef const uint8_t* TAIL = b"\x00\x00\xff\xff"

# What Deflate.stream points to.
cdef struct Open:
    z_stream z                  # first, so that the one is the other
    bint deflates               # else it inflates


cdef Open* open_stream(Deflate* deflate_, bint deflates) noexcept nogil:
    cdef Open* opened = <Open*> deflate_.stream
    cdef int code
    if opened != NULL:
        return opened
    opened = <Open*> calloc(1, sizeof(Open))
    if opened == NULL:
        return NULL
    opened.deflates = deflates
    if deflates:
        code = deflateInit2(&opened.z, deflate_.level, Z_DEFLATED, -<int> deflate_.window_bits, deflate_.mem_level,
                            Z_DEFAULT_STRATEGY)
    else:
        # The widest window there is, whatever was agreed: with a narrower one zlib refuses a distance beyond it, but only where
        # that reaches behind the output of the call, so the verdict would depend on how the bytes are cut.
        code = inflateInit2(&opened.z, -MAX_WINDOW_BITS)
    if code != Z_OK:
        free(opened)
        return NULL
    deflate_.stream = opened
    return opened


cdef void deflate_close(Deflate* deflate_) noexcept nogil:
    cdef Open* opened = <Open*> deflate_.stream
    if opened == NULL:
        return
    if opened.deflates:
        deflateEnd(&opened.z)
    else:
        inflateEnd(&opened.z)
    free(opened)
    deflate_.stream = NULL
    deflate_.tail_fed = 0


cdef int inflate_some(Deflate* deflate_, const uint8_t* data, size_t size, bint ends, uint8_t* to, size_t room,
                      Progress* progress) noexcept nogil:
    cdef Open* opened = open_stream(deflate_, False)
    cdef z_stream* z
    cdef size_t given, asked
    cdef bint of_tail
    cdef int code
    cdef uint8_t nowhere        # zlib refuses NULL, even where it may write nothing
    progress.consumed = progress.produced = 0
    if opened == NULL:
        return INFLATE_NO_MEMORY
    z = &opened.z
    while True:
        given = size - progress.consumed
        of_tail = given == 0
        if of_tail:
            given = TAIL_SIZE - deflate_.tail_fed if ends else 0
            z.next_in = TAIL + deflate_.tail_fed
        else:
            given = min(given, <size_t> MOST)
            z.next_in = data + progress.consumed
        asked = min(room - progress.produced, <size_t> MOST)
        z.avail_in = given
        z.next_out = to + progress.produced if room else &nowhere
        z.avail_out = asked
        code = inflate(z, Z_SYNC_FLUSH)
        progress.produced += asked - z.avail_out
        if of_tail:
            deflate_.tail_fed += given - z.avail_in
        else:
            progress.consumed += given - z.avail_in
        if code == Z_STREAM_END:
            # Behind a final block the next one begins at the next byte, and may look back as far as ever.
            inflateResetKeep(z)
            z.data_type = BETWEEN_BLOCKS
        elif code == Z_MEM_ERROR:
            return INFLATE_NO_MEMORY
        elif code == Z_BUF_ERROR and asked == 0:
            # Only now: what fills its room exactly ends here, and a caller whose room is its limit sees that it does.
            return INFLATE_MORE
        elif code != Z_OK and code != Z_BUF_ERROR:
            return INFLATE_BROKEN
        if progress.consumed < size or ends and deflate_.tail_fed < TAIL_SIZE:
            continue
        # All input is in zlib. Between two blocks nothing of it waits for room.
        if z.data_type == BETWEEN_BLOCKS or z.avail_out > 0:
            break
    if not ends:
        return INFLATE_FED
    if z.data_type != BETWEEN_BLOCKS:
        return INFLATE_BROKEN       # the message stops within a block
    deflate_.tail_fed = 0
    if not deflate_.keeps_context:
        deflate_close(deflate_)
    return INFLATE_FED


cdef Py_ssize_t deflate_some(Deflate* deflate_, const uint8_t* data, size_t size, bint ends, uint8_t* to,
                             size_t room) noexcept nogil:
    cdef Open* opened = open_stream(deflate_, True)
    cdef z_stream* z
    cdef size_t taken = 0, made = 0, given, asked
    if opened == NULL:
        return INFLATE_NO_MEMORY
    z = &opened.z
    # Each part is flushed, so that it can leave in a frame of its own and its size alone bounds what comes out.
    while True:
        given = min(size - taken, <size_t> MOST)
        asked = min(room - made, <size_t> MOST)
        z.next_in = data + taken
        z.avail_in = given
        z.next_out = to + made
        z.avail_out = asked
        deflate(z, Z_SYNC_FLUSH if taken + given == size else Z_NO_FLUSH)
        taken += given - z.avail_in
        made += asked - z.avail_out
        if taken == size and z.avail_out > 0:
            break
        if made == room:
            return INFLATE_NO_MEMORY        # less room than deflate_bound() asks for
    if ends:
        if made:
            made -= TAIL_SIZE
        else:
            to[0] = 0           # nothing since the last flush, so zlib writes nothing: an empty block (section 7.2.3.6)
            made = 1
        if not deflate_.keeps_context:
            deflate_close(deflate_)
    return made


# With the smallest memory a block of 128 symbols, nine bits each, ends with ten bits more; a flush adds an empty block.
cdef size_t deflate_bound(size_t size) noexcept nogil:
    return size + (size >> 3) + (size >> 6) + 32

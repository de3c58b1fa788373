"""Kernel calls, each declared once."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.types cimport off_t, pid_t

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t
    struct sockaddr:
        sa_family_t sa_family
    struct sockaddr_storage:
        sa_family_t ss_family
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    enum:
        AF_INET
        AF_INET6
        AF_UNIX
        MSG_DONTWAIT
        MSG_MORE
        MSG_NOSIGNAL
        MSG_PEEK
        SHUT_WR
        SOCK_CLOEXEC
        SOCK_NONBLOCK
        SOCK_STREAM
        SOL_SOCKET
        SO_ERROR
        SO_SNDBUF
    int accept4(int fd, sockaddr* peer, socklen_t* size, int flags)
    int connect(int fd, const sockaddr* address, socklen_t size)
    int getsockopt(int fd, int level, int option, void* value, socklen_t* size)
    int setsockopt(int fd, int level, int option, const void* value, socklen_t size)
    int shutdown(int fd, int how)
    int socket(int family, int kind, int protocol)
    ssize_t recv(int fd, void* data, size_t size, int flags)
    ssize_t send(int fd, const void* data, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_TCP

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_NODELAY

cdef extern from "<sys/sendfile.h>" nogil:
    ssize_t sendfile(int to_fd, int from_fd, off_t* offset, size_t size)

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        EPOLLRDHUP
        EPOLLET
        EPOLLEXCLUSIVE
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL
    ctypedef union epoll_data_t:
        void* ptr
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll_fd, epoll_event* events, int n_events, int timeout_ms)

cdef extern from "<sys/eventfd.h>" nogil:
    enum:
        EFD_CLOEXEC
        EFD_NONBLOCK
    int eventfd(unsigned int value, int flags)

cdef extern from "<linux/io_uring.h>" nogil:
    enum:
        IORING_OP_SEND
        IORING_OFF_SQ_RING
        IORING_OFF_SQES
        IORING_FEAT_SINGLE_MMAP
        IORING_SETUP_SINGLE_ISSUER
        IORING_SETUP_SUBMIT_ALL
        IORING_SETUP_DEFER_TASKRUN
        IORING_ENTER_GETEVENTS
    struct io_uring_sqe:
        uint8_t opcode
        uint8_t flags
        int fd
        uint64_t addr
        uint32_t len
        uint32_t msg_flags
        uint64_t user_data
    struct io_uring_cqe:
        uint64_t user_data
        int res
    struct io_sqring_offsets:
        uint32_t head
        uint32_t tail
        uint32_t ring_mask
        uint32_t array
    struct io_cqring_offsets:
        uint32_t head
        uint32_t tail
        uint32_t ring_mask
        uint32_t cqes
    struct io_uring_params:
        uint32_t sq_entries
        uint32_t cq_entries
        uint32_t flags
        uint32_t features
        io_sqring_offsets sq_off
        io_cqring_offsets cq_off

cdef extern from "<sys/syscall.h>" nogil:
    enum:
        SYS_io_uring_setup
        SYS_io_uring_enter

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MAP_ANONYMOUS
        MAP_NORESERVE
        MAP_POPULATE
        MAP_PRIVATE
        MAP_SHARED
        PROT_READ
        PROT_WRITE
    void* MAP_FAILED
    void* mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset)
    int munmap(void* address, size_t size)

cdef extern from "<sys/timerfd.h>" nogil:
    enum:
        TFD_CLOEXEC
        TFD_NONBLOCK
    struct timer_span "timespec":
        long tv_sec
        long tv_nsec
    struct itimerspec:
        timer_span it_interval
        timer_span it_value
    int timerfd_create(int clock, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec* new, itimerspec* old)

cdef extern from "<fcntl.h>" nogil:
    enum:
        O_CLOEXEC
        O_NONBLOCK

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    int pipe2(int* fds, int flags)
    ssize_t pread(int fd, void* data, size_t size, off_t offset)
    ssize_t read(int fd, void* data, size_t size)
    ssize_t write(int fd, const void* data, size_t size)
    long syscall(long number, ...)

cdef extern from "<sys/prctl.h>" nogil:
    enum:
        PR_SET_PDEATHSIG
    int prctl(int option, unsigned long value)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        sa_family_t sin_family
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        sa_family_t sin6_family
        unsigned short sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id

cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        sa_family_t sun_family
        char sun_path[108]

cdef extern from "<arpa/inet.h>" nogil:
    unsigned short htons(unsigned short port)
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size)
    int inet_pton(int family, const char* text, void* address)

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct tm:
        pass
    tm* gmtime_r(const time_t* time, tm* parts)
    tm* localtime_r(const time_t* time, tm* parts)
    size_t strftime(char* text, size_t size, const char* format, const tm* parts)

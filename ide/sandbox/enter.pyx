"""Forks the server into a sandbox: a program's first process, a terminal, or sockets of its network.

The kernel work stands in enter.h; here Python values become its plan, before the fork. What came of it arrives on the
other end of `report`, a SOCK_SEQPACKET pair: messages for `told`, with descriptors beside them; its end means that the
program runs.
"""
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t, uint64_t

import os
import struct

cdef extern from "<sched.h>":
    ctypedef struct cpu_set_t:
        pass
    void CPU_ZERO(cpu_set_t* cpus)
    void CPU_SET(size_t cpu, cpu_set_t* cpus)
    enum:
        CPU_SETSIZE

cdef extern from "enter.h":
    enum:
        C_LAUNCH "LAUNCH"
        C_SPAWN "SPAWN"
        C_SOCKETS "SOCKETS"
        C_ARRANGE "ARRANGE"
        C_MAX_LIMITS "MAX_LIMITS"
        C_MAX_CGROUPS "MAX_CGROUPS"
        C_MAX_FDS "MAX_FDS"
        C_MAX_SOCKETS "MAX_SOCKETS"
    ctypedef struct bound_t:
        int what
        uint64_t soft
        uint64_t hard
    ctypedef struct plan_t:
        int mode
        int report
        int process
        int n_cgroups
        int* cgroups
        int has_user
        uint32_t uid
        uint32_t gid
        int folder
        const char* stand_in
        const char* cwd
        int n_fds
        int* fds
        int die_with_parent
        int oom_score
        int nice
        const cpu_set_t* cpus
        unsigned short cols
        unsigned short rows
        int n_limits
        bound_t* limits
        int family
        int n_sockets
        const char** programs
        char** argv
        char** env
        const char** writes
        const char* pts_options
    int start_child(plan_t* plan)

LAUNCH = C_LAUNCH           # become a program that has no terminal
SPAWN = C_SPAWN             # become a program on a terminal of its own
SOCKETS = C_SOCKETS         # open sockets and send them back
ARRANGE = C_ARRANGE         # set what the sandbox's maker could not: kernel limits, the number of terminals
MAX_SOCKETS = C_MAX_SOCKETS

# By AT_ of enter.h: what the child could not do.
STAGES = ("fork", "join the control group", "mount", "become the user", "enter the namespaces", "open a terminal",
          "set limits", "give rights away", "go to the folder", "start", "open a socket")
DONE = len(STAGES)


def told(bytes message) -> tuple[int, int, int]:
    """(stage, errno, pid) of a message: DONE and a pid, or what failed."""
    return struct.unpack("=iii", message)


cdef class _Strings:
    """A NULL-terminated array of C strings, which borrows from the bytes it keeps."""

    cdef const char** pointers      # owned
    cdef list kept

    def __cinit__(self, texts):
        cdef Py_ssize_t i
        self.kept = list(texts)
        self.pointers = <const char**>PyMem_Malloc((len(self.kept) + 1) * sizeof(char*))
        if self.pointers == NULL:
            raise MemoryError
        for i, text in enumerate(self.kept):
            if b"\0" in text:
                raise ValueError("NUL in an argument")
            self.pointers[i] = <bytes>text
        self.pointers[len(self.kept)] = NULL

    def __dealloc__(self):
        PyMem_Free(self.pointers)


def start(
    int mode, int report, *, int process=-1, cgroups=(), user=None, int folder=-1, bytes stand_in=None, bytes cwd=b"/",
    fds=(), bint die_with_parent=False, int oom_score=0, int nice=0, cpus=None, size=(80, 24), limits=(), int family=0,
    int n_sockets=0, programs=(), argv=(), env=(), writes=(), bytes pts_options=None
) -> int:
    """Fork; the child's pid. The caller closes its copy of `report`. OSError when there is no room for a process.

    `process`: a descriptor of /proc/PID of a process in the sandbox. `user`: (uid, gid) to become, by root alone.
    `limits`: (RLIMIT_, soft, hard). `cpus`: numbers, or None for all. `writes`: path, value, path, value.
    """
    cdef plan_t plan
    cdef cpu_set_t set_of_cpus
    cdef _Strings c_programs = _Strings(programs), c_argv = _Strings(argv), c_env = _Strings(env)
    cdef _Strings c_writes = _Strings(writes)
    cdef int i, pid
    if (len(limits) > C_MAX_LIMITS or len(cgroups) > C_MAX_CGROUPS or len(fds) > C_MAX_FDS
            or n_sockets > C_MAX_SOCKETS):
        raise ValueError("more than a plan has room for")
    if process < 0 and mode in (C_SOCKETS, C_ARRANGE):
        raise ValueError("nothing to enter")        # and the server's own is none of theirs
    plan.mode, plan.report, plan.process = mode, report, process
    plan.n_cgroups = len(cgroups)
    for i in range(plan.n_cgroups):
        plan.cgroups[i] = cgroups[i]
    plan.has_user = user is not None
    plan.uid = plan.gid = 0
    if user is not None:
        plan.uid, plan.gid = user
    plan.folder = folder
    plan.stand_in = NULL if stand_in is None else <const char*>stand_in
    plan.cwd = cwd
    plan.n_fds = len(fds)
    for i in range(plan.n_fds):
        plan.fds[i] = fds[i]
    plan.die_with_parent, plan.oom_score, plan.nice = die_with_parent, oom_score, nice
    plan.cpus = NULL
    if cpus is not None:
        CPU_ZERO(&set_of_cpus)
        for cpu in cpus:
            if 0 <= cpu < CPU_SETSIZE:
                CPU_SET(cpu, &set_of_cpus)
        plan.cpus = &set_of_cpus
    plan.cols, plan.rows = size
    plan.n_limits = len(limits)
    for i in range(plan.n_limits):
        plan.limits[i].what, plan.limits[i].soft, plan.limits[i].hard = limits[i]
    plan.family, plan.n_sockets = family, n_sockets
    plan.programs = c_programs.pointers
    plan.argv, plan.env = <char**>c_argv.pointers, <char**>c_env.pointers
    plan.writes = c_writes.pointers
    plan.pts_options = NULL if pts_options is None else <const char*>pts_options
    pid = start_child(&plan)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return pid

# cython: language_level=3
"""What core.serve does in C: start and wake tasks from a callback of the loop, at once or in their turn; compiled by a test."""
from hotpath.core.tasks.task cimport (
    Task, give_way, link_init, link_t, park, resume, running, start, start_now, wake, wake_all, wake_first)


cdef class Job(Task):
    """A task without arguments that notes what it is woken with, until it is told to stop."""

    cdef list seen

    def __init__(self, list seen):
        self.seen = seen

    cdef object work(self):
        self.seen.append("begun")
        while True:
            value = park(NULL)
            if value is None:
                return len(self.seen)
            self.seen.append(value)


def start_job(Task job):
    start(job)


def start_job_now(Task job):
    start_now(job)


def wake_job(Task job, value):
    return wake(job, value)


def resume_job(Task job, value):
    return resume(job, value)


def park_here():
    return park(NULL)


def step_aside():
    give_way()


def me():
    return running()


cdef class Line:
    """A waiting line of one's own."""

    cdef link_t head

    def __cinit__(self):
        link_init(&self.head)

    def wait(self):
        return park(&self.head)

    def first(self, value):
        return wake_first(&self.head, value)

    def all(self, value):
        wake_all(&self.head, value)

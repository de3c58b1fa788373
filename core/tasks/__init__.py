"""Straight-line code that never blocks the loop: tasks, what they wait for, and threads for what would block."""
from hotpath.core.errors import Cancelled, TaskCancelled
from hotpath.core.tasks.offload import offload, use_threads
from hotpath.core.tasks.sync import Event, Lock, Queue, Semaphore
from hotpath.core.tasks.task import Task, current, run, sleep, spawn, timeout
from hotpath.core.tasks.watchdog import Watchdog

__all__ = [
    "Cancelled", "Event", "Lock", "Queue", "Semaphore", "Task", "TaskCancelled", "Watchdog", "current", "offload",
    "run", "sleep", "spawn", "timeout", "use_threads",
]

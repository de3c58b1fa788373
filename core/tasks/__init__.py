"""Straight-line code that never blocks the loop: tasks, what they wait for, and threads for what would block."""
from hotpath.core.tasks.task import Task, current, run, sleep, spawn, timeout

__all__ = ["Task", "current", "run", "sleep", "spawn", "timeout"]

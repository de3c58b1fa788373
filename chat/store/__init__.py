"""What is kept, and how: transactions, group commit, outbox, readers. Blocking; knows no event loop.

Publisher and Relay are not here but in their modules: a gateway needs no Redis client, and starts sooner without.
"""
from .channels import ChangeChannel, CreateChannel, DeleteChannel, OpenDm
from .database import Database
from .errors import Refused, Unavailable
from .events import Event, Notice, event_frame, event_of
from .members import Join, Leave, MarkRead
from .messages import DeleteMessage, EditMessage, PostMessage, React
from .operation import Operation
from .reader import Reader
from .users import ChangeUser, CreateSession, CreateUser, DeactivateUser, EndSession
from .writer import Writer

__all__ = [
    "ChangeChannel", "ChangeUser", "CreateChannel", "CreateSession", "CreateUser", "Database",
    "DeactivateUser", "DeleteChannel", "DeleteMessage", "EditMessage", "EndSession", "Event", "Join", "Leave",
    "MarkRead", "Notice", "OpenDm", "Operation", "PostMessage", "React", "Reader", "Refused", "Unavailable",
    "Writer", "event_frame", "event_of",
]

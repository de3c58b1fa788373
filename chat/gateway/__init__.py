"""A gateway: the process that holds clients' sockets, and sends them what their channels' logs say.

    server          the process: what is opened and ended
    door            who may open a socket
    session         what a socket's client may say
    hall            who tells whom what
    redisline  subscription         Redis: a connection that comes back, topics that are heard
    feeds           each channel's log, and how its holes are mended
    roster          who is a member where, exact at each position of each log
    starts  backlog                 from `start` to `ready`; from where a client left off to where the channel is
    heads           what nobody told
    presence  beacon                who is online; that we live
    patience        waiting for a database that is away
"""
from .server import run

__all__ = ["run"]

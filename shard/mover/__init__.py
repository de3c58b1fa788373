"""Rows on their way from shard to shard, while both serve.

The steps at which `steps.reached` is called, in the order of a reshard; those of a transition come with each turn of
the map ("transition: proposed", "transition: SHARD fenced", "transition: published"):

    prepare: server made            a new server and its tables stand, or are about to
    prepare: announced              the moves are in the map
    prepare: purged                 what earlier moves left on the targets is gone
    open: opened                    a source is fenced, and its targets answer
    open: rows counted              its rows, which are frozen, were counted
    copy: rows read                 a chunk, from the source
    copy: before commit             a chunk, its marks and its cursor are written on the target
    copy: committed
    verify: compared                some slots of a table
    complete: published             the targets alone answer
    clean: before commit            some rows of a source, deleted and counted
    clean: committed
    clean: marks dropped            some marks of a target
    clean: settled                  no move is in the map
    clean: server stopped           of a removed shard
    cancel: reversed                the sources answer again
    reverse: rows read              rows that clients wrote to the target
    reverse: before commit          they are written on the source, with marks and cursor
    reverse: committed
    cancel: back                    the sources alone answer
    cancel: settled                 no move is in the map
    cancel: server gone             of a shard that was to be added
"""
from .admin import Admin, InvalidRequest, UnknownShard
from .mover import Mover
from .reshard import Reshard

__all__ = ["Admin", "InvalidRequest", "Mover", "Reshard", "UnknownShard"]

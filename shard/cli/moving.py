"""The commands that change which shards there are: `add`, `remove`, and those that steer it."""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from hotpath.core.errors import ConfigError, ReshardConflict
from hotpath.shard.mover import InvalidRequest
from hotpath.shard.node import Node

from .bars import line
from .carrier import Hands
from .documents import ReshardDoc, read
from .figures import cap, plural, span
from .following import Ending, follow
from .opening import again, opened
from .status import console


def add(given: argparse.Namespace) -> int:
    """One more shard."""
    with opened(given) as node, blamed():
        document = node.admin.add(
            given.name, given.weight, given.dsn, rate=given.rate, hold=given.hold, keep_source=given.keep_source,
            dry_run=given.dry_run)
        return begun(given, node, document)


def remove(given: argparse.Namespace) -> int:
    """One shard less."""
    with opened(given) as node, blamed():
        document = node.admin.remove(
            given.name, rate=given.rate, hold=given.hold, keep_source=given.keep_source,
            keep_server=given.keep_server, dry_run=given.dry_run)
        return begun(given, node, document)


@contextmanager
def blamed() -> Iterator[None]:
    """What is wrong with a flag is said of it."""
    try:
        yield
    except InvalidRequest as error:
        path = error.errors[0]["path"]
        raise ConfigError("NAME" if path == "name" else f"--{path}", 0, "", error.errors[0]["message"]) from None


def begun(given: argparse.Namespace, node: Node, document: Mapping[str, object]) -> int:
    """What a new reshard is followed by."""
    reshard = read(document, ReshardDoc)
    if given.dry_run:
        print(json.dumps(document) if given.json else forecast(reshard))
        return 0
    hands = Hands(node.config, given.config, node.meta.routers)
    hands.see_to_it()
    if given.detach:
        print(json.dumps(document) if given.json else f"{line(reshard)}\n{how_to_steer(given)}")
        return 0
    last = document

    def look() -> ReshardDoc:
        nonlocal last
        last = current(node, document["id"])
        return read(last, ReshardDoc)

    reshard, ending = follow(look, console(stderr=True), each=hands.see_to_it)
    if given.json:
        print(json.dumps(last))
    return told(given, reshard, ending)


def current(node: Node, id: object) -> Mapping[str, object]:
    """The reshard as it is now. Raises ReshardConflict: the last one is another by now."""
    document = node.admin.document()
    if document is None or document["id"] != id:
        raise ReshardConflict(f"another reshard than {id} has begun since; `status` shows it")
    return document


def told(given: argparse.Namespace, reshard: ReshardDoc, ending: Ending) -> int:
    """Say how it ended; the exit status."""
    words = {
        Ending.DONE: finished(reshard),
        Ending.HELD: f"{reshard.title} is held: all is copied and verified\n"
                     f"finish it: {again(given, 'complete')}\ntake it back: {again(given, 'cancel')}",
        Ending.LEFT: f"{reshard.title} goes on\n{how_to_steer(given)}",
    }
    if ending in words:
        if not given.json:
            print(words[ending])
        return 0
    if ending is Ending.CANCELLED:
        print(f"hotpath-shard {given.command}: {reshard.title} was cancelled", file=sys.stderr)
    else:
        print(f"hotpath-shard {given.command}: {reshard.title} is paused: {reshard.error}\nmend it, then: "
              f"{again(given, 'resume')}\nor take it back: {again(given, 'cancel')}", file=sys.stderr)
    return 1


def finished(reshard: ReshardDoc) -> str:
    """What was done, in one sentence."""
    where = "in" if reshard.kind == "add" else "out"
    took = ""
    if isinstance(reshard.started, str) and isinstance(reshard.finished, str):
        lasted = datetime.fromisoformat(reshard.finished) - datetime.fromisoformat(reshard.started)
        took = f" in {span(lasted.total_seconds())}"
    return (f"{reshard.shard} is {where}: {plural(reshard.slots.total, 'slot')} and "
            f"{plural(reshard.rows.total or 0, 'row')} moved{took}")


def how_to_steer(given: argparse.Namespace) -> str:
    """Where to look, and what can be done."""
    return (f"look: {again(given, 'status', '--watch')}\n"
            f"steer: {again(given, 'pause')} (or resume, throttle RATE, complete, cancel)")


def forecast(reshard: ReshardDoc) -> str:
    """What would move, and how long it would take."""
    lines = [f"{reshard.title} would move {plural(reshard.slots.total, 'slot')}, about "
             f"{plural(reshard.rows.total or 0, 'row')}, in about {span(reshard.eta_s)} ({cap(reshard.rate.limit)})"]
    lines += [f"  {move.source} → {move.target}: {plural(move.slots, 'slot')}, about {plural(move.rows or 0, 'row')}"
              for move in reshard.moves]
    return "\n".join(lines)


def steer(given: argparse.Namespace) -> int:
    """One word to the reshard that runs."""
    with opened(given) as node:
        admin = node.admin
        if given.command == "throttle":
            document = admin.throttle(given.rate)
        else:
            document = {"pause": admin.pause, "resume": admin.resume, "complete": admin.complete,
                        "cancel": admin.cancel}[given.command]()
        if given.command != "pause":
            Hands(node.config, given.config, node.meta.routers).see_to_it()
    if given.json:
        print(json.dumps(document))
    else:
        print(f"{line(read(document, ReshardDoc))}\nlook: {again(given, 'status', '--watch')}")
    return 0

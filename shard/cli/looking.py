"""The commands that only look: `status`, `owner`, `verify`."""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hotpath.core.errors import ConfigError, ShardUnavailable
from hotpath.shard.node import Node
from hotpath.shard.rows.values import key_of_text

from .documents import ClusterDoc, read
from .figures import plural
from .opening import opened
from .status import console, line, table

ASK_AGAIN_S = 0.05
STABLE_EVERY_S = 1.0
MOVING_EVERY_S = 0.5
EXAMPLES_SHOWN = 10


def status(given: argparse.Namespace) -> int:
    """What there is."""
    with opened(given) as node:
        if given.watch:
            # Until somebody presses Ctrl-C.
            with suppress(KeyboardInterrupt):
                watch(lambda: fresh(node), as_json=given.json)
        else:
            document = settled(node)
            if given.json:
                print(json.dumps(document))
            else:
                console().print(table(read(document, ClusterDoc)))
    return 0


def settled(node: Node, *, pause: Callable[[float], None] = time.sleep) -> Mapping[str, object]:
    """The document once each shard has answered, or is known to be dead: who looks once wants no haste."""
    until_s = time.monotonic() + node.config.pool.connect + node.config.pool.wait
    while True:
        document = node.status()
        silent = [shard for shard in read(document, ClusterDoc).shards
                  if not shard.up and node.directory.shard(shard.name).stats().up]
        if not silent or time.monotonic() > until_s:
            return document
        pause(ASK_AGAIN_S)


def fresh(node: Node) -> Mapping[str, object]:
    """The document by the newest map: nobody keeps ours fresh."""
    with suppress(ShardUnavailable):        # then by the one we know
        node.directory.glance()
    return node.status()


def watch(
    ask: Callable[[], Mapping[str, object]], *, as_json: bool, pause: Callable[[float], None] = time.sleep
) -> None:
    """Again and again: drawn in place on a terminal; elsewhere a line when something changed."""
    shown = console()
    if as_json or not shown.is_terminal:
        last = ""
        while True:
            document = ask()
            cluster = read(document, ClusterDoc)
            text = json.dumps(document) if as_json else line(cluster)
            if as_json or text != last:
                print(text, flush=True)
            last = text
            pause(every_s(cluster))
    cluster = read(ask(), ClusterDoc)
    with Live(table(cluster), console=shown, auto_refresh=False) as live:
        while True:
            live.update(table(cluster), refresh=True)
            pause(every_s(cluster))
            cluster = read(ask(), ClusterDoc)


def every_s(cluster: ClusterDoc) -> float:
    """How long until the next look."""
    return MOVING_EVERY_S if cluster.state == "moving" else STABLE_EVERY_S


def owner(given: argparse.Namespace) -> int:
    """Whose key it is."""
    with opened(given) as node:
        found = node.config.schema.get(given.table)
        if found is None:
            raise ConfigError("TABLE", 0, "", f"{given.table!r} is not declared; allowed: "
                                              f"{', '.join(node.config.tables)}")
        try:
            key = key_of_text(found, given.key)
        except ValueError as error:
            raise ConfigError("KEY", 0, "", f"{given.key!r} is no key of {given.table}: {error}") from None
        document = node.owner(given.table, key)
    if given.json:
        print(json.dumps(document))
    else:
        source = document["source"]
        print(f"{document['owner']}" + ("" if source is None else f" (its slot moves there from {source})")
              + f"  slot {document['slot']}, hash {document['hash']}")
    return 0


def verify(given: argparse.Namespace) -> int:
    """Whether all rows are where they belong."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    shown = console(stderr=True)
    with opened(given) as node, Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("slots", total=None)

        def step(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        document = node.admin.verify(progress=step)
    if given.json:
        print(json.dumps(document))
    else:
        print(verdict(document))
    if not document["ok"]:
        print("hotpath-shard verify: not as it should be" if given.json else "hotpath-shard verify: see above",
              file=sys.stderr)
    return 0 if document["ok"] else 1


def verdict(document: Mapping[str, object]) -> str:
    """What was found, for a person."""
    rows = document["rows"]
    counts = {name: document[name] for name in ("misplaced", "doubled", "missing", "different")}
    if document["ok"]:
        return f"{plural(int(str(rows)), 'row')}: each on its owner, once"
    lines = [f"{plural(int(str(rows)), 'row')}: " + ", ".join(f"{n} {name}" for name, n in counts.items())]
    examples = document.get("examples")
    if isinstance(examples, list):
        lines += [f"  {json.dumps(example)}" for example in examples[:EXAMPLES_SHOWN]]
    return "\n".join(lines)

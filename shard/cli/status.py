"""The state of a cluster at a terminal: a table, or lines that tell what changed."""
from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .bars import bars
from .documents import ClusterDoc, Pool, ShardDoc
from .figures import count, percent, plural

SHARE_CELLS = 10


def table(cluster: ClusterDoc) -> RenderableType:
    """Everything, for a person."""
    parts: list[RenderableType] = [heading(cluster), shards(cluster)]
    if cluster.reshard is not None:
        parts += [Text(), bars(cluster.reshard)]
    parts += [Text(), places(cluster), Text(), routers(cluster)]
    return Group(*parts)


def heading(cluster: ClusterDoc) -> Text:
    """The cluster in one line."""
    text = Text.assemble((cluster.cluster, "bold"), f"  {cluster.backend} · version {cluster.version} · ")
    text.append(cluster.state, "yellow" if cluster.state == "moving" else "green")
    if not cluster.fence:
        text.append(" · no fence: shards are never added or removed")
    return text


def shards(cluster: ClusterDoc) -> Table:
    """A line for each shard."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("shard", "state", "share"):
        drawn.add_column(name)
    for name in ("slots", "weight", "epoch", "rows", "pool"):
        drawn.add_column(name, justify="right")
    for shard in cluster.shards:
        drawn.add_row(
            Text(shard.name, "bold"), state_of(shard), share_of(shard.share), count(shard.slots), f"{shard.weight:g}",
            count(shard.epoch), count(rows_of(shard)), pool_of(shard.pool))
    return drawn


def places(cluster: ClusterDoc) -> Table:
    """Where each shard is, to look at it with other tools."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    for name in ("shard", "server"):
        drawn.add_column(name)
    drawn.add_column("address", overflow="fold")
    for shard in cluster.shards:
        drawn.add_row(shard.name, server_of(shard), escape(shard.address or "–"), style="dim")
    return drawn


def state_of(shard: ShardDoc) -> Text:
    """`down` says more than what it would be if it were up."""
    if not shard.up:
        return Text("down", "bold red")
    return Text(shard.state, "green" if shard.state == "active" else "yellow")


def share_of(share: float) -> Text:
    """A bar as long as the shard's part of all slots."""
    filled = round(share * SHARE_CELLS)
    return Text.assemble(("█" * filled, "cyan"), ("·" * (SHARE_CELLS - filled), "dim"), f" {percent(share):>7}")


def rows_of(shard: ShardDoc) -> int | None:
    """Of all tables; None where one cannot be counted."""
    counts = list((shard.rows or {}).values())
    return None if not counts or None in counts else sum(n for n in counts if n is not None)


def pool_of(pool: Pool | None) -> str:
    """Connections in use, open and allowed."""
    if pool is None:
        return "–"
    waiting = f", {pool.waiting} wait" if pool.waiting else ""
    return f"{pool.in_use}/{pool.size}/{pool.max}{waiting}"


def server_of(shard: ShardDoc) -> str:
    """What serves: a container's name, a process. A folder says no more than the address beside it."""
    name = "" if shard.server is None or shard.server.startswith("/") else shard.server
    pid = "" if shard.pid is None else f"pid {shard.pid}"
    return f"{name} {pid}".strip()


def routers(cluster: ClusterDoc) -> Text:
    """Who serves the cluster now."""
    if not cluster.routers:
        return Text("no router runs: hotpath-shard serve", "dim")
    named = ", ".join(f"{each.host} pid {each.pid}" + (f" (version {each.version})" * (each.version != cluster.version))
                      for each in cluster.routers)
    return Text(f"{plural(len(cluster.routers), 'router')}: {named}")


def line(cluster: ClusterDoc) -> str:
    """The whole in one line, for a log."""
    down = [shard.name for shard in cluster.shards if not shard.up]
    words = [f"{cluster.cluster}: {cluster.state}", f"version {cluster.version}",
             " ".join(f"{shard.name} {percent(shard.share)}" for shard in cluster.shards)]
    if down:
        words.append(f"down: {', '.join(down)}")
    reshard = cluster.reshard
    if reshard is not None:
        words.append(f"{reshard.title} {reshard.state}")
    return ", ".join(words)


def console(*, stderr: bool = False) -> Console:
    """Where it is shown; as wide as a table needs where there is no terminal to fit."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=200)

"""Which plots there are: what each shows, and of which table."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from . import report
from .drawing import INK, OTHERS, OURS, bars, columns, figure, legend, lines, plain, stacked
from .report import Table, number, parts, seconds, spread, table, tables

PROXY = "proxy: nginx, HAProxy and hotpath-proxy"
CORE = "core: hashing, parsing, the loop"
THREE = ("nginx", "haproxy", "hotpath")
RATIO = "CPU × nginx (min-max)"


@dataclass(frozen=True, slots=True)
class Picture:
    """One plot."""

    title: str                              # what it says, for those who do not see it
    draw: Callable[[str, str], Figure]      # from the texts of RESULTS.md and PROFILE.md


def proxy_bodies(found: str, _: str) -> Figure:
    """CPU per request against nginx, by body."""
    made, panels = figure(2)
    for panel, workers in zip(panels, ("1 worker", "2 workers"), strict=True):
        here = table(found, PROXY, f"Bodies, {workers}")
        sizes = list(dict.fromkeys(here.cells("condition")))
        columns(panel, sizes, {name: [spread(cell) for cell in here.where(server=name).cells(RATIO)] for name in THREE})
        panel.axhline(1, color=INK, linewidth=0.8)
        panel.set_title(workers)
        panel.set_ylabel("CPU × nginx")
    legend(made, panels[0])
    return made


def proxy_connections(found: str, _: str) -> Figure:
    """CPU per request, by connections."""
    one = table(found, PROXY, "Bodies, 1 worker").where(condition="64 B")
    here = table(found, PROXY, "Client connections")
    counts = ["1", "16", "256", "1,000"]
    made, panels = figure(2)
    for panel, column, of in ((panels[0], "CPU µs/request (user + sys)", "µs of CPU per request"),
                              (panels[1], "p99 ms", "p99, ms")):
        points = {}
        for name in THREE:
            mine = {number(count): number(here.where(condition=count, server=name).cells(column)[0])
                    for count in counts}
            mine[64] = number(one.where(server=name).cells(column)[0])
            points[name] = dict(sorted(mine.items()))
        lines(panel, list(points["hotpath"]), {name: list(mine.values()) for name, mine in points.items()})
        panel.set_xlabel("client connections, 64-byte bodies")
        panel.set_ylabel(of)
    legend(made, panels[0])
    return made


def proxy_cells(found: str, _: str) -> Figure:
    """Ours against nginx in every cell."""
    made, (panel,) = figure(height=8)
    axes = ("Bodies, 1 worker", "Bodies, 2 workers", "Client connections", "A connection for each request",
            "Servers behind unix sockets", "TLS to the client", "The same CPU quota", "The same load")
    cells = [(f"{axis}: {condition}", spread(cell)) for axis in axes
             for here in [table(found, PROXY, axis).where(server="hotpath")]
             for condition, cell in zip(here.cells("condition"), here.cells(RATIO), strict=True)]
    for at, (_name, (low, middle, high)) in enumerate(cells):
        shade = OURS if middle <= 1 else OTHERS[4]
        panel.plot([low, high], [at, at], color=shade, linewidth=2)
        panel.plot([middle], [at], "o", color=shade, markersize=5)
    panel.set_yticks(range(len(cells)), [name for name, _ in cells])
    panel.invert_yaxis()
    panel.axvline(1, color=INK, linewidth=0.8)
    panel.set_xlabel("CPU of hotpath × nginx")
    return made


def proxy_split(found: str, _: str) -> Figure:
    """User and system time of a small request."""
    made, (panel,) = figure(height=2)
    here = table(found, PROXY, "Bodies, 1 worker").where(condition="64 B")
    split = [parts(cell) for cell in here.cells("CPU µs/request (user + sys)")]
    stacked(panel, here.cells("server"), [user for user, _ in split], [system for _, system in split],
            here.numbers("CPU µs/request (user + sys)"))
    panel.set_xlabel("µs of CPU per request of 64 bytes")
    legend(made, panel)
    return made


def proxy_calls(_: str, profiled: str) -> Figure:
    """System calls per request."""
    names = {"64 B, kept alive": "kept alive", "64 B, servers behind unix sockets": "unix sockets",
             "64 B, a connection for each request from the client": "new client\nconnections",
             "64 B, a connection for each request from the client and to the server": "new connections\non both sides",
             "64 B, TLS to the client": "TLS"}
    sums = {case: table(profiled, "System calls per request", case).where(system_call="all") for case in names}
    made, (panel,) = figure()
    columns(panel, list(names.values()),
            {name: [spread(each.cells(name)[0]) for each in sums.values()] for name in THREE})
    panel.set_ylabel("system calls per request")
    legend(made, panel)
    return made


def idle_memory(found: str, _: str) -> Figure:
    """Bytes for each idle connection."""
    made, panels = figure(2, height=1.8)
    here = table(found, "idle: memory and CPU of kept-alive connections")
    for panel, connections in zip(panels, dict.fromkeys(here.cells("connections")), strict=False):
        mine = here.where(connections=connections)
        bars(panel, dict(zip(mine.cells("server"), mine.numbers("bytes each, with what is set aside"), strict=True)),
             form="{:,.0f}")
        panel.set_title(f"{connections}: bytes each")
    return made


def core_ratios(starts: Sequence[str], height: float) -> Callable[[str, str], Figure]:
    """How many times our time each rival takes, for the questions that begin so."""
    def draw(found: str, _: str) -> Figure:
        here = table(found, CORE)
        rows = [dict(zip(here.columns, row, strict=True)) for row in here.rows]
        ours = {row["question"]: seconds(row["time"]) for row in rows if row["contender"] == "hotpath"}
        values = {(row["question"], row["contender"]): seconds(row["time"]) / ours[row["question"]]
                  for row in rows if row["contender"] != "hotpath" and row["question"] in ours
                  and row["question"].startswith(tuple(starts))}
        if not values:
            raise report.Absent(f"no question of {CORE!r} begins with any of {starts}")
        made, (panel,) = figure(height=height)
        bars(panel, {": ".join(name): value for name, value in values.items()}, form="{:,.2f} ×", log=True,
             of=[rival for _, rival in values])
        panel.axvline(1, color=INK, linewidth=0.8)
        panel.set_xlabel("time of the rival over ours; right of 1 we are faster")
        return made
    return draw


def echoes(title: str, height: float) -> Callable[[str, str], Figure]:
    """User and system time of the servers that say hello or echo, a panel for each load."""
    def draw(found: str, _: str) -> Figure:
        here = table(found, title)
        loads = list(dict.fromkeys(here.cells("load")))
        made, panels = figure(1, len(loads), height=height)
        for panel, load in zip(panels, loads, strict=True):
            mine = here.where(load=load)
            stacked(panel, mine.cells("server"), mine.numbers("user"), mine.numbers("sys"),
                    mine.numbers("CPU µs each"))
            panel.set_title(f"{load}: µs of CPU each")
        legend(made, panels[0])
        return made
    return draw


def ring_movement(found: str, _: str) -> Figure:
    """What one more server moves, and how even the shares are."""
    here = table(found, "core: what moves on the ring")
    made, panels = figure(2)
    usual = here.where(points_each="256")
    servers = usual.numbers("servers")
    lines(panels[0], servers, {"hotpath, the ring": usual.numbers("one more: ring %"),
                               "the hash's remainder": usual.numbers("one more: remainder %"),
                               "least possible": usual.numbers("least possible %")})
    panels[0].set_xlabel("servers, before one more comes")
    panels[0].set_ylabel("keys that move, %")
    sixteen = sorted(zip(*(here.where(servers="16").numbers(column) for column in
                           ("points each", "fullest over mean", "emptiest over mean")), strict=True))
    points, most, least = (list(each) for each in zip(*sixteen, strict=True))
    lines(panels[1], points, {"fullest server": most, "emptiest server": least})
    panels[1].axhline(1, color=INK, linewidth=0.8)
    panels[1].set_xlabel("points of each of 16 servers")
    panels[1].set_ylabel("keys, × the mean")
    for panel in panels:
        panel.legend()
    return made


def lww_merges(found: str, _: str) -> Figure:
    """Merges beside a dict's."""
    here = table(found, "crdt: the library")
    made, panels = figure(2)
    for panel, n in zip(panels, ("100,000", "1,000,000"), strict=True):
        kinds = [kind for kind in ("winners", "re-merge", "empty") if
                 here.where(question=f"merge, {kind}, {n} cells in random order").rows]
        contenders = ("hotpath", "dict + RLock, from tuples", "dict + RLock, from bytes")
        values = {name: [seconds(here.where(question=f"merge, {kind}, {n} cells in random order", contender=name)
                                 .cells("CPU each")[0]) * 1e9 for kind in kinds] for name in contenders}
        columns(panel, kinds, {name: [(each, each, each) for each in ns] for name, ns in values.items()})
        panel.set_title(f"{n} cells")
        panel.set_ylabel("ns of CPU per cell")
    legend(made, panels[0])
    return made


def lww_threads(found: str, _: str) -> Figure:
    """What two threads gain, and who can read meanwhile."""
    gains, reads = tables(found, "crdt: threads")
    made, panels = figure(2)
    keys = list(dict.fromkeys(gains.cells("keys of the two threads")))
    column = "two over one, wall (min-max)"
    columns(panels[0], keys, {f"{'hotpath' if kind == 'Python' else 'bare'}, {kind} threads": [
        spread(gains.where(keys_of_the_two_threads=each, threads=kind).cells(column)[0]) for each in keys]
        for kind in ("Python", "C")})
    panels[0].set_ylabel("throughput of two threads × one")
    panels[0].set_xlabel("keys of the two threads")
    lines(panels[1], reads.numbers("cells per merge"), {
        "hotpath, Python threads": reads.numbers("another thread read during the call"),
        "bare, C threads": reads.numbers("in C")})
    panels[1].set_xlabel("cells per merge")
    panels[1].set_ylabel("merges beside which another\nthread could read, %")
    legend(made, panels[0])
    return made


def chat_fanout(found: str, _: str) -> Figure:
    """Deliveries with a CPU-second."""
    here = table(found, "chat: fan-out")
    made, panels = figure(2, height=3)
    for panel, senders in zip(panels, ("1", "16 at once"), strict=True):
        mine = here.where(senders=senders)
        bars(panel, {name: value / 1000 for name, value in zip(mine.cells("gateway"), mine.numbers(
            "deliveries per CPU-second"), strict=True)}, form="{:,.0f}")
        panel.set_title(f"senders: {senders}")
        panel.set_xlabel("thousand deliveries per CPU-second")
    return made


def chat_latency(found: str, _: str) -> Figure:
    """How long a delivery takes."""
    here = table(found, "chat: fan-out")
    made, panels = figure(2)
    for panel, senders in zip(panels, ("1", "16 at once"), strict=True):
        mine = here.where(senders=senders)
        panel.barh(range(len(mine.rows)), mine.numbers("p99 ms"), color=OTHERS[0], label="p99")
        panel.barh(range(len(mine.rows)), mine.numbers("p50 ms"), color=OURS, label="p50")
        panel.set_yticks(range(len(mine.rows)), mine.cells("gateway"))
        panel.invert_yaxis()
        panel.set_xlabel("ms from Redis to the socket's program")
        panel.set_title(f"senders: {senders}")
    legend(made, panels[0])
    return made


def chat_commits(found: str, _: str) -> Figure:
    """Group commit."""
    here = table(found, "chat: group commit")
    made, (panel,) = figure(height=2.2)
    cells = zip(here.cells("sync"), here.cells("group commit"), here.numbers("messages/s"), strict=True)
    bars(panel, {f"{sync}, {group}": value for sync, group, value in cells}, form="{:,.0f}",
         of=["hotpath" if "256" in group else "one by one" for group in here.cells("group commit")])
    panel.set_xlabel("durable messages a second, 64 clients")
    return made


def shard_operations(found: str, _: str) -> Figure:
    """By key, beside the bare driver."""
    here = table(found, "shard: operations by key").where(threads="16")
    made, panels = figure(2)
    kinds = list(dict.fromkeys(here.cells("operations")))
    names = {"hotpath-shard": "hotpath-shard", **{name: "bare driver" for name in here.cells("contender")
                                                  if not name.startswith("hotpath")}}
    figures = {"operations/s": "operations/s", "CPU µs each": "µs of CPU each"}
    for panel, (column, of) in zip(panels, figures.items(), strict=True):
        columns(panel, [kind.replace(", ", ",\n") for kind in kinds], {shown: [
            (value, value, value) for kind in kinds
            for value in [here.where(operations=kind, contender=name).numbers(column)[0]]]
            for name, shown in names.items()})
        panel.set_ylabel(of)
        plain(panel.yaxis)
    legend(made, panels[0])
    return made


def shard_move(found: str, _: str) -> Figure:
    """What clients notice while rows move."""
    here = table(found, "shard: what clients notice of a move")
    kept = Table(here.columns, [row for row in here.rows if row[here.columns.index("p99 ms")]])
    made, (panel,) = figure(height=4.6)
    at = range(len(kept.rows))
    for column, shade in (("longest ms", OTHERS[0]), ("p99 ms", OTHERS[1]), ("p50 ms", OURS)):
        panel.plot(kept.numbers(column), at, "o", color=shade, label=column.removesuffix(" ms"))
    panel.set_yticks(at, kept.cells("meanwhile"))
    panel.invert_yaxis()
    panel.set_xscale("log")
    plain(panel.xaxis)
    panel.set_xlabel("ms from when an operation was due")
    legend(made, panel)
    return made


def ide_terminal(found: str, _: str) -> Figure:
    """Echo and throughput."""
    echo, flow, *_rest = tables(found, "ide: a terminal")
    made, panels = figure(2)
    names = echo.cells("terminal")
    panels[0].barh(range(len(names)), echo.numbers("p99, us"), color=OTHERS[0], label="p99")
    panels[0].barh(range(len(names)), echo.numbers("p50, us"), color=OURS, label="p50")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    panels[0].set_xlabel("µs from a key to its echo")
    panels[0].legend()
    cells = dict(zip(flow.cells("payload, terminal"), flow.numbers("MB/s"), strict=True))
    payloads = list(dict.fromkeys(cell.partition(", ")[0] for cell in cells))
    columns(panels[1], payloads, {name: [(value, value, value) for payload in payloads
                                         for value in [cells[f"{payload}, {name}"]]] for name in names})
    panels[1].set_ylim(0, 1.4 * max(cells.values()))      # room for the names above the columns
    panels[1].set_ylabel("MB/s to the client")
    panels[1].legend()
    return made


def locking_contention(found: str, _: str) -> Figure:
    """Commits per second as rows get fewer."""
    here = table(found, "locking: Adaptive")
    databases, works = (list(dict.fromkeys(here.cells(column))) for column in ("database", "work, ms"))
    made, panels = figure(len(databases), len(works), width=8, height=2.6 * len(works))
    grid = [panels[i * len(databases):(i + 1) * len(databases)] for i in range(len(works))]
    for i, work in enumerate(works):
        for j, database in enumerate(databases):
            panel, mine = grid[i][j], here.where(**{"database": database, "work, ms": work})
            lines(panel, mine.numbers("rows"), {"hotpath, adaptive": mine.numbers("adaptive/s"),
                                                "optimistic": mine.numbers("optimistic/s"),
                                                "pessimistic": mine.numbers("pessimistic/s")})
            panel.set_title(f"{database}, {work} ms of work")
            if j == 0:
                panel.set_ylabel("units of work per second")
            if i == len(works) - 1:
                panel.set_xlabel("rows that 32 workers share")
    legend(made, grid[0][0])
    return made


PICTURES = {
    "proxy-bodies": Picture("CPU per request of HAProxy and hotpath against nginx, by body size", proxy_bodies),
    "proxy-connections": Picture("CPU per request and p99 of three proxies, by client connections", proxy_connections),
    "proxy-cells": Picture("CPU of hotpath against nginx in every measured condition", proxy_cells),
    "proxy-split": Picture("user and system time of a small request through five proxies", proxy_split),
    "proxy-calls": Picture("system calls per request of three proxies, by kind of connection", proxy_calls),
    "proxy-idle": Picture("memory of an idle connection in nginx and hotpath", idle_memory),
    "http1": Picture("time of HTTP/1 parsers and h11 against ours", core_ratios(
        ("1000 requests", "1000 responses", "64 chunks", "h11 face"), 3.6)),
    "frames": Picture("time of WebSocket codecs and of copying against ours", core_ratios(
        ("1000 masked", "64 KiB", "echo of", "receive"), 4.4)),
    "ring-speed": Picture("time of mmh3 and uhashring against ours", core_ratios(
        ("1000 hash", "hash of", "1000 owners", "build a ring"), 2.6)),
    "loop-speed": Picture("time of gevent, asyncio and uvloop against our loop and tasks", core_ratios(
        ("loop-level", "spawn", "giving way", "queue of one", "a call in a thread"), 4.2)),
    "hello": Picture("CPU of HTTP servers that say hello", echoes("hello: HTTP servers", 2.8)),
    "websocket": Picture("CPU of WebSocket echo servers", echoes("websocket: echo servers", 4.2)),
    "ring-movement": Picture("keys that move when a server comes, and how even the shares are", ring_movement),
    "lww-merges": Picture("CPU per merged cell, ours and a dict's", lww_merges),
    "lww-threads": Picture("what a second thread gains in merges, and reads beside them", lww_threads),
    "chat-fanout": Picture("deliveries per CPU-second of seven gateways", chat_fanout),
    "chat-latency": Picture("latency of a delivery to a thousand sockets in seven gateways", chat_latency),
    "chat-commits": Picture("durable messages a second with and without group commit", chat_commits),
    "shard-operations": Picture("operations by key and their CPU beside the bare driver", shard_operations),
    "shard-move": Picture("latency of operations in each phase of a move", shard_move),
    "terminal": Picture("echo and throughput of three terminals", ide_terminal),
    "locking-contention": Picture("units of work per second by policy as rows get fewer", locking_contention),
}

"""What an IDE counts, in Prometheus' words."""
from __future__ import annotations

from collections import Counter

from hotpath.core.telemetry import Exposition
from hotpath.ide.workspace.states import NEXT
from hotpath.ide.workspace.workspace import Workspace

from .contents import Contents
from .feed import Feed
from .sessions import Sessions
from .signing import Signing

QUANTILES = (0.5, 0.9, 0.99, 1.0)


def exposed(
    workspace: Workspace, contents: Contents, feed: Feed, sessions: Sessions, signing: Signing
) -> str:
    """The families `hotpath_ide_*`."""
    page = Exposition()
    projects = workspace.projects()
    states = Counter[str](project.state for project in projects)
    page.gauge("hotpath_ide_projects", "Projects, by state.", [({"state": state}, states[state]) for state in NEXT])
    page.gauge("hotpath_ide_terminals", "Terminals whose program runs.",
               [({}, sum(project.terminals.alive for project in projects))])
    page.gauge("hotpath_ide_terminal_output_bytes", "What programs have put out on the terminals that are listed.",
               [({}, sum(one["offset"] for project in projects for one in project.terminals.json()))])
    page.gauge("hotpath_ide_project_bytes", "Bytes of all projects' files, as last counted.",
               [({}, sum(project.budget.bytes for project in projects))])
    page.gauge("hotpath_ide_pages", "Pages that listen to a project's events.", [({}, len(feed))])
    page.gauge("hotpath_ide_sessions", "Browsers that are signed in.", [({}, len(sessions))])
    page.counter("hotpath_ide_sign_in_failures_total", "Wrong tokens.", [({}, signing.n_failed)])
    page.counter("hotpath_ide_events_sent_total", "Messages sent to pages.", [({}, feed.sent)])
    page.counter("hotpath_ide_saves_total", "Contents that are on disk.", [({}, contents.saves)])
    page.counter("hotpath_ide_saved_bytes_total", "Their bytes.", [({}, contents.saved_bytes)])
    starts = sorted(workspace.starts)
    page.gauge("hotpath_ide_start_seconds", "What sandboxes took to start, of the last thousand.", [
        ({"quantile": f"{share:g}"}, starts[min(len(starts) - 1, int(share * len(starts)))])
        for share in QUANTILES if starts])
    return page.text()

"""What a replica counts, in Prometheus' words."""
from __future__ import annotations

from typing import Any, cast

from hotpath.core.telemetry import Exposition
from hotpath.crdt.gossip.gossip import Gossip
from hotpath.crdt.replica import Replica


def exposed(replica: Replica, gossip: Gossip) -> str:
    """The families `hotpath_crdt_*`."""
    page = Exposition()
    peers = sorted(cast(dict[str, dict[str, Any]], gossip.stats()["peers"]).items())
    held, counts, journal = replica.table.stats(), replica.counts, replica.journal.stats()
    page.gauge("hotpath_crdt_cells", "Cells held, by kind.", [
        ({"kind": "live"}, held["live"]), ({"kind": "tombstone"}, held["tombstones"])])
    page.gauge("hotpath_crdt_bytes", "Bytes of all cells held.", [({}, held["bytes"])])
    page.counter("hotpath_crdt_cells_total", "Cells judged, by what became of them.", [
        ({"fate": "applied"}, held["applied"]),
        ({"fate": "ignored"}, held["ignored"] + counts.ignored),
        ({"fate": "stale"}, held["stale"] + counts.stale)])
    page.counter("hotpath_crdt_refused_total", "Merges refused whole, by reason.", [
        ({"reason": "drift"}, counts.drift), ({"reason": "old"}, counts.old), ({"reason": "damaged"}, counts.damaged)])
    page.counter("hotpath_crdt_overwritten_total", "Live values that a merge replaced or removed.",
                 [({}, counts.overwritten)])
    page.gauge("hotpath_crdt_skew_seconds", "How far a peer's clock is ahead of this replica's.",
               [({"peer": name}, ms / 1000) for name, ms in sorted(gossip.skew_ms().items())])
    page.gauge("hotpath_crdt_peer_up", "1 while the last exchange with the peer went well.",
               [({"peer": name}, int(peer["state"] == "up")) for name, peer in peers])
    page.counter("hotpath_crdt_pushed_cells_total", "Cells pushed to the peer.",
                 [({"peer": name}, peer["pushed"]) for name, peer in peers])
    page.counter("hotpath_crdt_dropped_cells_total", "Cells that the peer's queue had no room for.",
                 [({"peer": name}, peer["dropped"]) for name, peer in peers])
    page.counter("hotpath_crdt_sync_bytes_total", "Bytes of bodies between members.", [
        ({"peer": peer, "kind": kind, "way": way}, n) for (peer, kind, way), n in sorted(gossip.bytes.items())])
    page.counter("hotpath_crdt_collected_total", "Tombstones collected.", [({}, gossip.collected)])
    page.gauge("hotpath_crdt_suspended", "1 while writes are refused.", [({}, int(replica.suspended is not None))])
    page.gauge("hotpath_crdt_full", "1 while the disk is full.", [({}, int(replica.journal.full))])
    page.gauge("hotpath_crdt_floor", "The greatest hlc up to which tombstones were collected.",
               [({}, replica.table.floor)])
    page.counter("hotpath_crdt_fsyncs_total", "Groups made to last.", [({}, journal["fsyncs"])])
    page.gauge("hotpath_crdt_journal_bytes", "Bytes of the journal's files.", [({}, journal["bytes"])])
    page.gauge("hotpath_crdt_journal_segments", "The journal's files.", [({}, journal["segments"])])
    return page.text()

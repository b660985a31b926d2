"""Shard streams: the moment at which a shard is cut, and the tar that comes of it."""

from __future__ import annotations

import hashlib

from cleancut.core.primitives.ids import PeerId
from simulation.qdrant import SimQdrant
from simulation.shards import Place
from simulation.tars import Held, make_tar
from simulation.trace import FrozenShard, Trace
from simulation.world import Process

LOST = 10_000_000
"""What comes back with a deletion that a tar lacks: no state that was ever live."""


def cut_shard(
    qdrant: SimQdrant, trace: Trace, process: Process, *, peer: PeerId, place: Place
) -> tuple[bytes, FrozenShard]:
    """The tar of the shard as it is now, for `process`. Raises: Unavailable, NotFound."""
    replica = qdrant.freeze_shard(peer, place)
    content = replica.content + LOST * replica.lost
    others = [peer.replicas.get(place) for peer in qdrant.peers.values() if peer.up]
    fullest = min(one.missing for one in others if one is not None)
    tar = make_tar(*place, Held(content, len(trace.captures), replica.logged))
    cut = FrozenShard(
        at_s=qdrant.world.now_s,
        agent=process.name,
        token=process.token,
        collection=place[0],
        shard_id=place[1],
        peer_id=peer,
        content=content,
        lost=replica.lost,
        stale=replica.missing > fullest,
        life=replica.life,
        points=dict(replica.points),
        sha256=hashlib.sha256(tar).hexdigest(),
    )
    trace.captures[cut.sha256] = cut
    return tar, cut

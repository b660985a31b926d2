"""Shard streams: the moment at which a shard is cut, and the tar that comes of it."""

from __future__ import annotations

import hashlib

from cleancut.core.primitives.ids import PeerId
from simulation.qdrant import Place, SimQdrant
from simulation.tars import Held, make_tar
from simulation.trace import Capture, Trace
from simulation.world import Process


def cut_shard(
    qdrant: SimQdrant, trace: Trace, process: Process, *, peer: PeerId, place: Place
) -> tuple[bytes, Capture]:
    """The tar of the shard as it is now, for `process`. Raises: Unavailable, NotFound."""
    replica = qdrant.freeze_shard(peer, place)
    tar = make_tar(*place, Held(replica.content, len(trace.captures), replica.logged))
    cut = Capture(
        at_s=qdrant.world.now_s,
        agent=process.name,
        token=process.token,
        collection=place[0],
        shard_id=place[1],
        peer_id=peer,
        content=replica.content,
        life=replica.life,
        sha256=hashlib.sha256(tar).hexdigest(),
    )
    trace.captures[cut.sha256] = cut
    return tar, cut

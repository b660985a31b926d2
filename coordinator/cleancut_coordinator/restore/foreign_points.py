"""Foreign points: what clients wrote into a collection that a restore made. It is not dropped then.

A shard holds nothing or the backup's points. Any other count says that a client wrote to it.
Limits: the points of a per-shard backup were not counted, so any number may be the backup's; points
that a client only changed are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.core.primitives.errors import CleancutError, NotFound, TimedOut, Unavailable
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import Placement
from cleancut_coordinator.restore.destination import TargetCollection


async def find_foreign_points(peers: Sequence[Qdrant], wanted: TargetCollection) -> str:
    """The replica that holds points of others, or "".

    Raises: Unavailable, if a shard can be counted nowhere and its peer is silent; TimedOut.
    """
    expected = {int(shard.shard_id): shard.count for shard in wanted.shards}
    seen: set[int] = set()
    listed: set[int] = set()
    silent: CleancutError | None = None
    for peer in peers:
        try:
            placement = await peer.placement(wanted.name)
        except NotFound:
            continue
        except (Unavailable, TimedOut) as error:
            silent = error
            continue
        listed |= {replica.shard_id for replica in placement.shards}
        for shard_id, points in (await _counts(peer, wanted.name, placement)).items():
            seen.add(shard_id)
            ours = expected.get(shard_id, 0)
            if points and ours is not None and points != ours:
                return f"shard {shard_id} at {peer.url} holds {points} points, not {ours}"
    if silent is not None and listed - seen:
        raise Unavailable(
            f"shard {min(listed - seen)} of {wanted.name!r} cannot be counted: {silent.message}",
            "start that Qdrant peer, so that its points can be looked at",
        )
    return ""


async def _counts(peer: Qdrant, name: str, placement: Placement) -> dict[int, int]:
    """The points of each replica of this peer; 0 for what cannot be read: the tar that could not be
    loaded has replaced whatever was there."""
    found: dict[int, int] = {}
    for replica in placement.local():
        try:
            found[replica.shard_id] = await peer.count(name, replica.shard_id)
        except Unavailable:
            found[replica.shard_id] = 0
    return found

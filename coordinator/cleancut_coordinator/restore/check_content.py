"""Checks, before a collection of a restore is dropped, that it holds nothing but what this restore
has put there."""

from __future__ import annotations

from cleancut.core.cluster.collection_config import is_as_created
from cleancut.core.primitives.errors import NotFound, Refused, TimedOut, Unavailable
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.restore.foreign_points import foreign_points
from cleancut.core.restore.upload_names import left_names
from cleancut.qdrant.client import Qdrant
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.peer_agents import read_peer_agents
from cleancut_coordinator.restore.destination import TargetCollection

_KEEP = "see whether it is in use; delete it if it is not, then restore again"


async def is_ours(context: CoordinatorContext, peer: Qdrant, wanted: TargetCollection) -> bool:
    """True if it is as asked for and empty, in all shards on all peers: dropping it could lose
    nothing. Raises: Unavailable, TimedOut, if a shard or a peer cannot be asked."""
    found = await peer.collection(wanted.name)
    if not is_as_created(wanted.entry.info, found, replicas=wanted.planned.factor):
        return False
    if await peer.count_collection(wanted.name):
        return False
    for one in context.peers:  # replicas that are not Active are not in that count
        await one.check_one_peer()
        placement = await one.placement(wanted.name)
        for replica in placement.local():
            if await one.count(wanted.name, replica.shard_id):
                return False
    return True


async def check_content(
    context: CoordinatorContext, peer: Qdrant, wanted: TargetCollection, total: int | None = None
) -> None:
    """`total`: the points that it was verified with, if it was resharded since, so that its shards
    cannot be compared with the backup's.

    Raises: Refused, if an alias points to this collection, or it holds points that its restore
        has not put there, or a URL reaches several peers; Unavailable, TimedOut, if a shard cannot
        be looked at.

    Limits: of a shard that the backup holds no count of, only that. A replica that
    cannot be read at its peer holds what was being recovered.
    """
    aliases = await peer.aliases()
    ours = left_names(aliases, wanted.name)
    pointing = sorted(a for a, name in aliases.items() if name == wanted.name and a not in ours)
    if pointing:
        raise Refused(
            f"alias {pointing[0]!r} points to collection {wanted.name!r}, so it may be in use",
            _KEEP,
        )
    if total is not None:
        there = await peer.count_collection(wanted.name)
        if there != total:
            raise Refused(
                f"collection {wanted.name!r} holds {there} points, and was verified with {total}:"
                " it was not dropped",
                _KEEP,
            )
        return
    counts, seen = await _count(context, wanted.name)
    counted = {shard for shard, _ in counts}
    places = (await peer.placement(wanted.name)).places()
    unseen = [place for place in places if place not in seen and place[0] not in counted]
    whole = await peer.count_collection(wanted.name) if unseen else None
    expected = {one.shard_id: one.count if one.quiet else None for one in wanted.shards}
    found = foreign_points(expected, counts, whole, agents=await read_peer_agents(context))
    if found:
        uncounted = sorted(shard for shard, count in expected.items() if count is None)
        more = f"; the backup holds no count of shards {uncounted}: look at them too"
        raise Refused(
            f"collection {wanted.name!r} holds points that this restore has not put there: {found};"
            f" it was not dropped{more if uncounted else ''}",
            _KEEP,
        )


Place = tuple[ShardId, PeerId]


async def _count(context: CoordinatorContext, name: str) -> tuple[dict[Place, int], set[Place]]:
    """The exact number of points in each replica at the configured peers that answer, and the
    replicas of which those have answered anything."""
    counts: dict[Place, int] = {}
    seen: set[Place] = set()
    for one in context.peers:
        try:
            await one.check_one_peer()  # else another peer is counted in place of this one
            local = (await one.placement(name)).local()
        except (Unavailable, TimedOut, NotFound):
            continue  # another peer, or the whole collection, is asked instead
        for replica in local:
            place = ShardId(replica.shard_id), PeerId(replica.peer_id)
            try:
                counts[place] = await one.count(name, replica.shard_id)
            except Unavailable as error:
                if "status" not in error.context:
                    raise
            seen.add(place)
    return counts, seen

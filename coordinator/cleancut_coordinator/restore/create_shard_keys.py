"""Makes custom shard keys again, with the ids that they had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cleancut.core.cluster.collection_config import wal_bytes
from cleancut.core.primitives.errors import CleancutError, TimedOut
from cleancut.core.primitives.ids import PeerId
from cleancut.core.restore.shard_keys import (
    Key,
    KeyStep,
    check_ids,
    fillers_there,
    steps,
    still_to_create,
)
from cleancut_coordinator.any_peer import first_value
from cleancut_coordinator.restore.destination import RestoreTarget, TargetCollection

_KEY_S = 30.0
_SHARD_S = 2.0
_GONE_S = 15.0


async def create_keys(site: RestoreTarget, wanted: Iterable[TargetCollection]) -> None:
    """All keys of these collections are there with their ids, and no filler is. Repeatable.

    Raises: Refused, if ids do not come out as they were; Unavailable, TimedOut, Fenced.
    """
    room = dict.fromkeys(site.hosts, 0) | site.free_bytes
    for one in wanted:
        if one.entry.shard_keys:
            await _create_keys(site, one, room)


async def _create_keys(
    site: RestoreTarget, wanted: TargetCollection, room: dict[PeerId, int]
) -> None:
    plan = steps(wanted.entry.shard_keys)
    for step in still_to_create(plan, await _there(site, wanted)):
        await site.still()
        peers = _choose(wanted, step, room)
        await _create(site, wanted, step, peers)
        for peer in peers:
            room[peer] -= _size_bytes(wanted, step)
    for key in fillers_there(plan, await _there(site, wanted)):
        await site.still()
        await site.peer.delete_shard_key(wanted.name, key)
        await _wait_gone(site, wanted, key)


async def _there(site: RestoreTarget, wanted: TargetCollection) -> dict[Key, tuple[int, ...]]:
    return dict((await site.peer.placement(wanted.name)).shard_keys())


def _choose(wanted: TargetCollection, step: KeyStep, room: dict[PeerId, int]) -> Sequence[PeerId]:
    """The emptiest peers for a key of one shard: Qdrant takes exactly these; it spreads the shards
    of larger keys itself.

    Source: lib/collection/src/collection/mod.rs (placement is cycled), Qdrant 1.18.3
    """
    if step.filler or step.shards > 1:
        return ()
    emptiest = sorted(room, key=lambda peer: (-room[peer], peer))
    return emptiest[: wanted.planned.replicas]


def _size_bytes(wanted: TargetCollection, step: KeyStep) -> int:
    sizes = {shard.shard_id: shard.size_bytes for shard in wanted.shards}
    return sum(sizes[number] + wal_bytes(wanted.entry.info) for number in step.ids)


async def _create(
    site: RestoreTarget, wanted: TargetCollection, step: KeyStep, peers: Sequence[PeerId]
) -> None:
    body: dict[str, object] = {
        "shard_key": step.key,
        "shards_number": step.shards,
        "replication_factor": 1 if step.filler else wanted.planned.replicas,
    }
    if peers:
        body["placement"] = list(peers)
    bound_s = wait_s = _KEY_S + _SHARD_S * step.shards
    failure: CleancutError | None = None
    try:
        await site.peer.create_shard_key(wanted.name, body, timeout_s=bound_s)
    except CleancutError as error:
        failure = error  # it may be there nevertheless, as a predecessor's request may have made it
        wait_s = bound_s if isinstance(error, TimedOut) else 0.0

    async def appeared() -> tuple[int, ...] | None:
        return (await _there(site, wanted)).get(step.key)

    ids = await first_value(site.clock, appeared, wait_s)
    if ids is None:
        raise failure or TimedOut(
            f"shard key {step.key!r} of {wanted.name!r} was created and does not appear",
            "look at the peer's consensus state in /cluster",
        )
    check_ids(step, ids)


async def _wait_gone(site: RestoreTarget, wanted: TargetCollection, key: Key) -> None:
    async def gone() -> bool | None:
        return None if key in await _there(site, wanted) else True

    if await first_value(site.clock, gone, _GONE_S) is None:
        raise TimedOut(
            f"shard key {key!r} of {wanted.name!r} is still there after its deletion",
            "look at the peer's consensus state in /cluster",
        )

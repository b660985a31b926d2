"""Checks of a restored shard at the local peer: replica states and readiness prove nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from cleancut.core.cluster.answering_peer import check_answering
from cleancut.core.cluster.collection_config import vector_names
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.errors import Corrupt, NotFound, TimedOut
from cleancut.core.protocol.documents import RestoredShard
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.live_shards import live_shards
from cleancut.qdrant.responses import Replica

COUNT_S = 600.0
_ACTIVE_S = 30.0
_POLL_S = 0.25
_MORE = (
    "keep clients away from the collection, then restore again; or, if points that were deleted"
    " while Qdrant optimized the shard may come back, add --accept-count"
)


async def verify_shard(qdrant: Qdrant, task: ShardTask) -> RestoredShard:
    """What the replica at this peer holds.

    Raises: Corrupt, if its points are not as many as the group says, or belong elsewhere, or its
        data cannot be used; Unavailable, if it cannot be read; TimedOut, if it is not Active. Of a
        repaired shard the group's count is only reported, since it may be written to.
    """
    replica = await _wait_active(qdrant, task)
    count = await qdrant.count(task.collection, task.shard_id, timeout_s=COUNT_S)
    routed = await qdrant.count(task.collection, task.shard_id, ring_filter=True, timeout_s=COUNT_S)
    if task.repair:
        after = await qdrant.count(task.collection, task.shard_id, timeout_s=COUNT_S)
        _check_routed(task, min(count, after), routed)
    else:
        check_counts(task, count, routed)
    searched = [name async for name in _searched(qdrant, task, replica)]
    return RestoredShard(
        collection=task.collection,
        shard_id=task.shard_id,
        peer_id=task.peer_id,
        count=count,
        expected=task.count,
        routed=routed,
        searched=tuple(searched),
        status=await _status(qdrant, task),
    )


async def count_replica(qdrant: Qdrant, task: ShardTask) -> RestoredShard:
    """What a replica holds that has come to this peer by a transfer, or that is to be compared with
    others. Clients may be writing, so it is counted twice, and nothing is compared here: a replica
    that answers with its exact count can be read.

    Raises: TimedOut, if it is not Active; Unavailable, if it cannot be read.
    """
    await _wait_active(qdrant, task)
    count = await qdrant.count(task.collection, task.shard_id, timeout_s=COUNT_S)
    return RestoredShard(
        collection=task.collection,
        shard_id=task.shard_id,
        peer_id=task.peer_id,
        count=count,
        again=await qdrant.count(task.collection, task.shard_id, timeout_s=COUNT_S),
    )


def check_counts(task: ShardTask, count: int, routed: int) -> None:
    """Raises: Corrupt, unless a restored shard holds the points of the backup, or more where that
    is accepted, and all of them belong there."""
    name = f"shard {task.shard_id} of {task.collection!r}"
    if task.count is not None and count != task.count:
        more = count > task.count
        if not (more and task.accept_count):
            raise Corrupt(
                f"{name} holds {count} points after the restore, and {task.count} in the backup",
                _MORE if more else "keep clients away from the collection, then restore again",
            )
    if routed > count:
        raise Corrupt(f"{name} changes while it is counted", "keep clients away from it")
    _check_routed(task, count, routed)


def _check_routed(task: ShardTask, count: int, routed: int) -> None:
    if routed < count:
        raise Corrupt(
            f"{count - routed} of the {count} points in shard {task.shard_id} of"
            f" {task.collection!r} belong into another shard",
            "the backup was made of a collection with other shards; verify the backup",
        )


async def _searched(qdrant: Qdrant, task: ShardTask, replica: Replica) -> AsyncIterator[str]:
    """The vectors that a search answered for. None, while another shard of the collection is lost:
    a search asks all of them."""
    entry = (await qdrant.telemetry()).collections.get(task.collection)
    if entry is None:
        raise NotFound(f"collection {task.collection!r} has gone while it was verified")
    placement = await qdrant.placement(task.collection)
    if task.repair and live_shards(task.collection, entry, placement).lost:
        return
    search = partial(
        qdrant.search_shard, task.collection, task.shard_id, shard_key=replica.shard_key
    )
    for name in vector_names({"config": entry.config}):
        if await search(vector_name=name):
            yield name


async def _status(qdrant: Qdrant, task: ShardTask) -> str:
    collection = (await qdrant.telemetry()).collections.get(task.collection)
    shard = collection.shards.get(task.shard_id) if collection else None
    status = (shard.status if shard else None) or "unknown"
    if status == "red":
        raise Corrupt(
            f"shard {task.shard_id} of {task.collection!r} is red: its data cannot be optimized",
            "see the peer's log",
        )
    return status


async def _wait_active(qdrant: Qdrant, task: ShardTask) -> Replica:
    """Qdrant answers a recovery before the cluster knows that the replica is Active.

    Raises: Refused, if another peer answers: its replica must not be counted for this one.
    """
    state = "absent"
    try:
        async with asyncio.timeout(_ACTIVE_S):
            while True:
                placement = await qdrant.placement(task.collection)
                what = f"shard {task.shard_id} of {task.collection!r}"
                check_answering(task.peer_id, placement.peer_id, what)
                local = {replica.shard_id: replica for replica in placement.local()}
                replica = local.get(task.shard_id)
                if replica is not None and replica.state == ACTIVE:
                    return replica
                state = replica.state if replica else "absent"
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise TimedOut(
            f"shard {task.shard_id} of {task.collection!r} is {state}, not {ACTIVE}",
            "look at the cluster's state and the peer's log",
        ) from error

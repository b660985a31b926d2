"""Local peer: what an agent reads of it and of its disk."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from cleancut.core.format.paths import COORDINATOR_PROBE
from cleancut.core.primitives.codec import decode, digest_of
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.effect_requests import Observed
from cleancut.core.protocol.etcd_records import ProbeObject, ShardTask
from cleancut.core.protocol.requests import NAMES_ONLY
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.peer_view import read_view
from cleancut.runtime.concurrency import run_all
from cleancut_agent.context import AgentContext
from cleancut_agent.prompt_store import prompt_store

_AT_ONCE = 8


async def observe_names(context: AgentContext, epoch: Epoch) -> Observed:
    """The local peer as operations see it that look at no data before they begin."""
    probe = await read_probe(context, epoch)
    view = digest_of(await read_view(context.qdrant, NAMES_ONLY))
    return Observed(view, "", probe.nonce, storage_free_bytes(context), None)


async def read_probe(context: AgentContext, epoch: Epoch) -> ProbeObject:
    """The coordinator's probe object; an empty nonce if this store has none. Raises: TimedOut, and
    what the store does."""
    path = context.paths.probe(epoch, COORDINATOR_PROBE)
    try:
        async with prompt_store("read the coordinator's probe object", context.store_bound_s):
            return decode(ProbeObject, await context.store.get(path), path)
    except (NotFound, Corrupt):
        return ProbeObject(nonce="")


def free_bytes(context: AgentContext) -> int:
    """What is free on the disk of the agent's own directory."""
    return context.free_disk_bytes(context.spill_dir)


def storage_free_bytes(context: AgentContext) -> int:
    """Free bytes where the local peer keeps its data; -1: unknown."""
    if context.qdrant_storage is None:
        return -1
    try:
        return context.free_disk_bytes(context.qdrant_storage)
    except OSError:
        return -1


async def count_shards(
    qdrant: Qdrant, tasks: Sequence[ShardTask], timeout_s: float
) -> tuple[int | None, ...]:
    """Exact counts of these local shards; None for each that did not answer within the bound."""
    results: list[int | None] = [None] * len(tasks)

    async def fill(index: int, task: ShardTask) -> None:
        with contextlib.suppress(CleancutError):  # a missing count is kept as unknown
            results[index] = await qdrant.count(task.collection, task.shard_id, timeout_s=timeout_s)

    fills = [partial(fill, index, task) for index, task in enumerate(tasks)]
    await run_all(fills, _AT_ONCE)
    return tuple(results)

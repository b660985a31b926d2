"""Checks of archived entries before anything is created, and the schema that they lead to."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

from msgspec.structs import replace

from cleancut.core.archive.schema import info_at, schema_changes
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.protocol.moment import Moment, ShardMoment
from cleancut.core.restore.report import RestoreDraft
from cleancut.core.wal.kinds import SCHEMA_KINDS
from cleancut.core.wal.operations import Operation, decode_operation
from cleancut.ports.store import Store
from cleancut.repository.shards.replay import check_replay
from cleancut.runtime.concurrency import run_all

_AT_ONCE = 4
_CHECK_S = 120.0
_CHECK_BYTES_PER_S = 10e6
_SCHEMA_WORDS = tuple(kind.encode() for kind in sorted(SCHEMA_KINDS))


def check_bound_s(moment: Moment) -> float:
    """Time limit to read all entries of a moment."""
    return _CHECK_S + moment.log_bytes / _CHECK_BYTES_PER_S


async def check_entries(store: Store, paths: Paths, draft: RestoreDraft) -> RestoreDraft:
    """The draft with its collections as they were at its moment.

    Raises: Corrupt, if an entry is missing or damaged; errors of the store.
    """
    assert draft.moment is not None
    shards = [shard for shard in draft.moment.shards if shard.entries]
    calls = [partial(_changes, store, paths, shard) for shard in shards]
    found = await run_all(calls, _AT_ONCE)
    by_collection: dict[str, list[tuple[Operation, ...]]] = {}
    for shard, changes in zip(shards, found, strict=True):
        by_collection.setdefault(shard.collection, []).append(changes)
    return replace(
        draft,
        collections=tuple(
            replace(entry, info=info_at(entry.info, by_collection.get(entry.name, ())))
            for entry in draft.collections
        ),
    )


async def find_lost_entries(store: Store, paths: Paths, moment: Moment) -> tuple[str, ...]:
    """What is wrong with the entries of a moment, one line for each shard."""
    return tuple([wrong for shard in moment.shards if (wrong := await _wrong(store, paths, shard))])


async def _wrong(store: Store, paths: Paths, shard: ShardMoment) -> str:
    if not shard.entries:
        return ""
    try:
        await _changes(store, paths, shard)
    except CleancutError as error:
        return error.message
    return ""


async def _changes(store: Store, paths: Paths, shard: ShardMoment) -> tuple[Operation, ...]:
    """The changes of the schema among the entries of one shard, all of which are checked."""
    found = list[Operation]()
    async with aclosing(check_replay(store, paths, shard)) as entries:
        async for _, data in entries:
            if any(word in data for word in _SCHEMA_WORDS):  # most entries need no decoding
                found.append(decode_operation(data))
    return schema_changes(found)

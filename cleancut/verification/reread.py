"""Second reading of captured shards, as a restore reads them: finds those that have changed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt
from cleancut.ports.store import Store
from cleancut.repository.shards.captured_tar import read_captured


def choose_shards(
    shards: Sequence[ShardEntry],
    percent: int,
    chance: random.Random,
    last_read: Mapping[str, float],
    *,
    since_s: float = float("inf"),
) -> list[ShardEntry]:
    """Shards, until `percent` of the group's bytes are among them; none for 0.

    Those that were never read come first, then those whose last reading is oldest, by `last_read`
    (recipe to seconds since 1970); equals at random. What was read since `since_s` counts, and is
    not chosen.
    """
    wanted_bytes = sum(shard.size_bytes for shard in shards) * percent / 100
    chosen: list[ShardEntry] = []
    counted_bytes = 0
    fresh = [shard for shard in shards if last_read.get(shard.recipe, 0.0) >= since_s]
    counted_bytes += sum(shard.size_bytes for shard in fresh)
    others = [shard for shard in shards if last_read.get(shard.recipe, 0.0) < since_s]
    chance.shuffle(others)
    for shard in sorted(others, key=lambda one: last_read.get(one.recipe, 0.0)):
        if counted_bytes >= wanted_bytes:
            break
        counted_bytes += shard.size_bytes
        chosen.append(shard)
    return chosen


async def read_again(
    store: Store, paths: Paths, shards: Sequence[ShardEntry]
) -> AsyncIterator[tuple[ShardEntry, str]]:
    """Each shard once its tar was read, and what is wrong with it, or "". Limits: one at a time."""
    for shard in shards:
        yield shard, await _damage_of(store, paths, shard)


async def _damage_of(store: Store, paths: Paths, shard: ShardEntry) -> str:
    try:
        async with aclosing(read_captured(store, paths, shard)) as chunks:
            async for _ in chunks:
                pass
    except Corrupt as error:
        return f"{shard.collection}/{shard.shard_id}: {error.message}"
    return ""

"""Replay of one shard: the entries of the archive that a restore to a moment puts into its tar."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.protocol.moment import ShardMoment
from cleancut.core.wal.operations import NOTHING
from cleancut.core.wal.segments import SegmentPlan, plan_segments
from cleancut.ports.store import Store
from cleancut.repository.archive.reader import ArchiveIndex
from cleancut.repository.packs.pack_cache import PackCache
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.repository.shards.replayed_tar import replayed_bytes, replayed_tar
from cleancut.repository.shards.tar_assembler import read_tar


@dataclass(frozen=True, slots=True)
class Replay:
    """A shard's tar with its log exchanged. `tar_bytes`: its length."""

    recipe: str
    tar_bytes: int
    plans: tuple[SegmentPlan, ...]
    shard: ShardMoment
    index: ArchiveIndex

    async def tar(
        self, store: Store, paths: Paths, cache: PackCache
    ) -> AsyncGenerator[bytes, None]:
        """Raises: Corrupt, of what is wrong or missing; errors of the store."""
        async with (
            aclosing(read_tar(store, paths, self.recipe, cache=cache)) as base,
            aclosing(entries_of(self.index, self.shard)) as entries,
            aclosing(replayed_tar(base, self.plans, entries)) as pieces,
        ):
            async for piece in pieces:
                yield piece


async def open_replay(store: Store, paths: Paths, recipe: str, shard: ShardMoment) -> Replay:
    """Raises: Corrupt, if the archive lacks an entry of it; errors of the store."""
    index = await load_index(store, paths, shard)
    lengths = list(index.lengths(shard.chain, shard.first, shard.last))
    for left_out in shard.left_out:
        lengths[left_out - shard.first] = len(NOTHING)
    plans = plan_segments(lengths, shard.first)
    size = replayed_bytes(await load_recipe(store, paths, recipe), plans)
    return Replay(recipe, size, plans, shard, index)


async def load_index(store: Store, paths: Paths, shard: ShardMoment) -> ArchiveIndex:
    """Raises: Corrupt, if the archive lacks an entry of this shard."""
    index = await ArchiveIndex.load(
        store, paths, chains={shard.chain}, since_ms=shard.since_ms, until_ms=shard.until_ms
    )
    if not index.covers(shard.chain, shard.first, shard.last):
        damage = "".join(f"; {why}" for why in list(index.damaged.values())[:1])
        raise Corrupt(
            f"entries {shard.first} to {shard.last} of shard {shard.shard_id} of"
            f" {shard.collection!r} are not all in the archive any more{damage}",
            "plan the restore again",
        )
    return index


async def entries_of(index: ArchiveIndex, shard: ShardMoment) -> AsyncGenerator[bytes, None]:
    """The data of the entries to replay, in order. Raises: Corrupt; errors of the store."""
    span = shard.chain, shard.first, shard.last
    async with aclosing(index.entries(*span)) as entries:  # type: ignore[type-var]
        async for entry in entries:
            yield NOTHING if entry.index in shard.left_out else entry.data


async def check_replay(
    store: Store, paths: Paths, shard: ShardMoment
) -> AsyncGenerator[tuple[int, bytes], None]:
    """Every entry of the replay, checked against its digest and its neighbours, with its index."""
    index, at = await load_index(store, paths, shard), shard.first
    async with aclosing(entries_of(index, shard)) as entries:
        async for data in entries:
            yield at, data
            at += 1
    if at != shard.last + 1:
        raise Corrupt(
            f"the archive ends with entry {at - 1} of shard {shard.shard_id} of"
            f" {shard.collection!r}, {shard.last} was to be replayed",
            "plan the restore again",
        )

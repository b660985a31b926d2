"""Diff of two backups of one store: which points were added, removed and changed.

Shards that are the same data are not read. Of the others a digest of each point is written to
scratch, and both sides are read side by side, so memory does not grow with the collection.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from cleancut.api.diffs import CollectionDiff, Diff, DiffPoint, DiffSide
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.points.columns import VectorColumn, vector_columns
from cleancut.core.points.comparison import Change, compare, id_of
from cleancut.core.points.pairing import Pair, pairs_of
from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.timestamps import to_second
from cleancut.data.digests import read_digests
from cleancut.data.job import ShardJob
from cleancut.data.shard_runner import check_scratch, make_scratch, run_shard
from cleancut.ports.store import Store
from cleancut.repository.catalog import find_group
from cleancut.runtime.concurrency import run_all, run_in_order, run_in_thread

Notice = Callable[[str], None]
Columns = tuple[VectorColumn, ...]


@dataclass(frozen=True, slots=True)
class DiffRequest:
    """From backup `before` to `after`; of `collections`, none for all. `points`: each point that
    differs is listed. `jobs`: shards that are open at a time."""

    before: str
    after: str
    collections: tuple[str, ...] = ()
    points: bool = False
    jobs: int = 2
    scratch: Path | None = None


async def diff(store: Store, paths: Paths, request: DiffRequest, *, notice: Notice) -> Diff:
    """Limits: points that are listed are held in memory.

    Raises: NotFound, for a backup, or a collection that neither has; Corrupt, for a damaged shard.
    """
    began_s = time.monotonic()
    before = await find_group(store, paths, request.before)
    after = await find_group(store, paths, request.after)
    names = _names(before, after, request.collections)
    with make_scratch(request.scratch) as made:
        run = _Diff(Comparison(store, paths, request, Path(made), notice))
        found = [await run.collection(name, before, after) for name in names]
    return diff_of(side_of(before), side_of(after), found, began_s)


def diff_of(
    before: DiffSide, after: DiffSide, found: Sequence[CollectionDiff], began_s: float
) -> Diff:
    """The sums of the collections. `began_s`: by the monotonic clock."""
    return Diff(
        before=before,
        after=after,
        equal=all(_is_equal(one) for one in found),
        added=sum(one.added for one in found),
        removed=sum(one.removed for one in found),
        changed=sum(one.changed for one in found),
        unchanged=_sum([one.unchanged for one in found]),
        collections=tuple(found),
        took_s=round(time.monotonic() - began_s, 3),
    )


def _names(before: Manifest, after: Manifest, chosen: Sequence[str]) -> list[str]:
    both = {one.name for manifest in (before, after) for one in manifest.collections}
    for name in chosen:
        if name not in both:
            raise NotFound(
                f"neither backup #{before.epoch} nor #{after.epoch} holds a collection {name!r}",
                f"see `cleancut backup show {after.epoch}`",
            )
    return sorted(set(chosen) or both)


def side_of(manifest: Manifest) -> DiffSide:
    return DiffSide(
        id=manifest.operation, epoch=manifest.epoch, cut_at=to_second(manifest.cut_at) or ""
    )


def _is_equal(one: CollectionDiff) -> bool:
    return not (one.change or one.config_differs or one.added or one.removed or one.changed)


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [one for one in numbers if one is not None]
    return sum(known) if len(known) == len(numbers) else None


@dataclass(frozen=True, slots=True)
class Compared:
    """What became of the points of one pair; `points`: those that differ, if they are listed."""

    pair: Pair
    counts: Counter[Change]
    points: list[DiffPoint]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Digests of shards in files of `scratch`, and their comparison."""

    store: Store
    paths: Paths
    request: DiffRequest
    scratch: Path
    notice: Notice

    async def digests(self, file: Path, shard: ShardEntry, columns: Columns) -> Path:
        """Those of a shard's points, in `file`."""
        job = ShardJob("digests", str(file), columns=columns, expected=shard.count)
        await run_shard(self.store, self.paths, shard, job, progress=lambda _points: None)
        return file

    async def compare(self, pair: Pair, files: tuple[Sequence[Path], Sequence[Path]]) -> Compared:
        """Two sides of digests, which are removed."""
        return await run_in_thread(partial(self._compare, pair, files))

    def _compare(self, pair: Pair, files: tuple[Sequence[Path], Sequence[Path]]) -> Compared:
        counts: Counter[Change] = Counter()
        points: list[DiffPoint] = []
        for change, key in compare(*(read_digests(side) for side in files)):
            counts[change] += 1
            if self.request.points and change is not Change.NONE:
                point = DiffPoint(change=change.value, id=id_of(key), shard_key=pair.shard_key)
                points.append(point)
        for file in (*files[0], *files[1]):
            file.unlink()
        return Compared(pair, counts, points)

    def say(self, name: str, done: Compared) -> None:
        """How many points of the pair differ."""
        shards = done.pair.after or done.pair.before
        labels = ",".join(f"{shard.shard_id}" for shard in shards)
        differing = done.counts.total() - done.counts[Change.NONE]
        self.notice(f"{name}/{labels}: {differing:,} points differ")


@dataclass(frozen=True, slots=True)
class _Diff:
    comparison: Comparison

    async def collection(self, name: str, before: Manifest, after: Manifest) -> CollectionDiff:
        comparison, jobs = self.comparison, self.comparison.request.jobs
        sides = before.shards_of(name), after.shards_of(name)
        pairs = pairs_of(*sides)
        read = [pair for pair in pairs if not pair.equal]
        shards = [shard for pair in read for shard in (*pair.before, *pair.after)]
        await asyncio.to_thread(check_scratch, shards, jobs, comparison.scratch)
        infos = [
            next((one.info for one in manifest.collections if one.name == name), None)
            for manifest in (before, after)
        ]
        columns = [vector_columns(info) if info else () for info in infos]
        there = [info is not None for info in infos]
        found: list[Compared] = []

        async def take(done: Compared) -> None:
            found.append(done)
            comparison.say(name, done)

        calls = [partial(self._compared, at, pair, columns) for at, pair in enumerate(read)]
        await run_in_order(calls, max(1, jobs // 2), take)
        equal = [pair.after[0] for pair in pairs if pair.equal]
        known = _sum([shard.count for shard in equal])
        summed = summed_of(name, found)
        return replace(
            summed,
            change="" if all(there) else ("added" if there[1] else "removed"),
            unchanged=None if known is None else known + (summed.unchanged or 0),
            shards=max(len(side) for side in sides),
            equal_shards=len(equal),
            config_differs=all(there) and columns[0] != columns[1],
        )

    async def _compared(self, at: int, pair: Pair, columns: Sequence[Columns]) -> Compared:
        folder = self.comparison.scratch / f"{at}"
        await asyncio.to_thread(folder.mkdir)
        sides = [
            partial(self._digests, folder / "before", pair.before, columns[0]),
            partial(self._digests, folder / "after", pair.after, columns[1]),
        ]
        before, after = await run_all(sides, min(2, self.comparison.request.jobs))
        return await self.comparison.compare(pair, (before, after))

    async def _digests(
        self, folder: Path, shards: Sequence[ShardEntry], columns: Columns
    ) -> list[Path]:
        """One file for each shard, which are read one after the other."""
        await asyncio.to_thread(folder.mkdir)
        return [
            await self.comparison.digests(folder / f"{shard.shard_id}", shard, columns)
            for shard in shards
        ]


def summed_of(name: str, found: Sequence[Compared]) -> CollectionDiff:
    """What became of a collection's points that were compared."""
    counts: Counter[Change] = Counter()
    for one in found:
        counts.update(one.counts)
    both = counts[Change.BOTH]
    return CollectionDiff(
        collection=name,
        added=counts[Change.ADDED],
        removed=counts[Change.REMOVED],
        changed=both + counts[Change.VECTOR] + counts[Change.PAYLOAD],
        changed_vectors=both + counts[Change.VECTOR],
        changed_payloads=both + counts[Change.PAYLOAD],
        unchanged=counts[Change.NONE],
        points=tuple(point for one in found for point in one.points),
    )


def without_points(value: Diff) -> Diff:
    """The sums alone."""
    return replace(value, collections=())

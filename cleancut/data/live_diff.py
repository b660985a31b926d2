"""Diff of a backup and the live collections: what became of the points since.

The live side is read page by page, by id, while clients go on: it is not of one instant.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from cleancut.api.diffs import CollectionDiff, Diff, DiffSide
from cleancut.core.format.manifest import Manifest
from cleancut.core.format.paths import Paths
from cleancut.core.points.columns import vector_columns
from cleancut.core.points.pairing import Pair
from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.timestamps import format_second
from cleancut.data.diff import (
    Columns,
    Compared,
    Comparison,
    DiffRequest,
    Notice,
    diff_of,
    side_of,
    summed_of,
)
from cleancut.data.digests import write_live_digests
from cleancut.data.pages import PageSize
from cleancut.data.shard_runner import check_scratch, make_scratch
from cleancut.ports.store import Store
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import find_group
from cleancut.runtime.concurrency import run_all

LIVE = "live"
Key = str | int | None


async def live_diff(
    store: Store, paths: Paths, qdrant: Qdrant, request: DiffRequest, *, notice: Notice
) -> Diff:
    """From the backup `before` to what is live; of the backup's collections, if none are named.

    Raises: NotFound, for a backup, or a collection that it does not hold; Corrupt, for a damaged
        shard; what the server answers.
    """
    began_s, at_s = time.monotonic(), time.time()
    manifest = await find_group(store, paths, request.before)
    chosen = request.collections or tuple(one.name for one in manifest.collections)
    for name in chosen:
        manifest.collection(name)
    with make_scratch(request.scratch) as made:
        comparison = Comparison(store, paths, request, Path(made), notice)
        run = _LiveDiff(comparison, qdrant, manifest)
        found = [await run.collection(at, name) for at, name in enumerate(sorted(set(chosen)))]
    live = DiffSide(id=LIVE, epoch=0, cut_at=format_second(at_s))
    return diff_of(side_of(manifest), live, found, began_s)


@dataclass(frozen=True, slots=True)
class _Live:
    """A live collection: its vectors, and its shard keys, `None` where it has none."""

    columns: Columns
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class _LiveDiff:
    comparison: Comparison
    qdrant: Qdrant
    manifest: Manifest

    async def collection(self, at: int, name: str) -> CollectionDiff:
        """All shards of a key against all points under it, one key after the other."""
        shards, scratch = self.manifest.shards_of(name), self.comparison.scratch
        jobs = self.comparison.request.jobs
        await asyncio.to_thread(check_scratch, shards, jobs, scratch)
        columns = vector_columns(self.manifest.collection(name).info)
        live = await self._live(name)
        keys: dict[Key, None] = dict.fromkeys(shard.shard_key for shard in shards)
        keys |= dict.fromkeys(live.keys if live else ())
        found = []
        for number, key in enumerate(keys):
            mine = tuple(shard for shard in shards if shard.shard_key == key)
            there = live.columns if live is not None and key in live.keys else None
            folder = scratch / f"{at}-{number}"
            found.append(await self._compared(folder, name, Pair(key, mine, ()), (columns, there)))
            self.comparison.say(name, found[-1])
        return replace(
            summed_of(name, found),
            change="" if live is not None else "removed",
            shards=len(shards),
            config_differs=live is not None and live.columns != columns,
        )

    async def _live(self, name: str) -> _Live | None:
        """None, if there is no such collection."""
        try:
            info = await self.qdrant.collection(name)
        except NotFound:
            return None
        keys = tuple(key for key, _ in (await self.qdrant.placement(name)).shard_keys())
        return _Live(vector_columns(info), keys or (None,))

    async def _compared(
        self,
        folder: Path,
        name: str,
        pair: Pair,
        sides: tuple[Columns, Columns | None],
    ) -> Compared:
        await asyncio.to_thread((folder / "before").mkdir, parents=True)
        columns, live = sides
        files = [folder / "before" / f"{shard.shard_id}" for shard in pair.before]
        calls: list[Callable[[], Awaitable[Path]]] = [
            partial(self.comparison.digests, file, shard, columns)
            for file, shard in zip(files, pair.before, strict=True)
        ]
        after = [] if live is None else [folder / "after"]
        if live is not None:
            calls.insert(0, partial(self._read_live, after[0], name, pair, live))
        await run_all(calls, self.comparison.request.jobs + len(after))
        return await self.comparison.compare(pair, (files, after))

    async def _read_live(self, file: Path, name: str, pair: Pair, columns: Columns) -> Path:
        """Digests of all points under the key, by id."""
        size, after = PageSize(), None
        with file.open("wb") as out:
            while True:
                points, after = await self.qdrant.points.scroll(
                    name, after=after, limit=size.points, shard_key=pair.shard_key
                )
                size.wrote(len(points), write_live_digests(points, columns, out))
                if after is None:
                    return file

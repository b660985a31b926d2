"""Undeletion: points of a backup that a live collection lacks are put back into it.

First all selected points are looked up in the collection, and what is to be put back is kept in
scratch; then, once that is confirmed, it is written in batches. Without `overwrite` a point that
is there by then stays as it is. A run that ends early is continued by the same command.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from cleancut.api.undeletes import Undelete
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.points.columns import VectorColumn, vector_columns
from cleancut.core.points.selection import Selection, opened_shards
from cleancut.core.points.undeletion import batches, check_target, check_version, differs
from cleancut.core.primitives.errors import NotFound
from cleancut.data.filters import check_filter
from cleancut.data.job import Line, ShardJob
from cleancut.data.shard_runner import check_scratch, make_scratch, run_shard
from cleancut.ports.store import Store
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import find_group
from cleancut.runtime.concurrency import run_in_order

Notice = Callable[[str], None]
_SAID_S = 5.0


@dataclass(frozen=True, slots=True)
class UndeleteRequest:
    """Which points of which backup go back, `into` which collection ("": the same). `points_per_s`:
    0 for as fast as it goes. `plan`: nothing is written."""

    backup: str
    collection: str
    selection: Selection
    into: str = ""
    overwrite: bool = False
    plan: bool = False
    points_per_s: int = 0
    jobs: int = 2
    scratch: Path | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """With the user: `notice` says a line; `confirm` raises, unless what was found is to be put
    back."""

    notice: Notice
    confirm: Callable[[Undelete], None]


async def undelete(
    store: Store, paths: Paths, qdrant: Qdrant, request: UndeleteRequest, *, talk: Talk
) -> Undelete:
    """Raises: NotFound, for a backup, collection or key; Refused, if the collections differ or the
    server cannot do it; Corrupt, for a damaged shard; what the server answers."""
    began_s = time.monotonic()
    check_filter(request.selection)
    into = request.into or request.collection
    manifest = await find_group(store, paths, request.backup)
    shards = opened_shards(manifest, request.collection, request.selection)
    await _check(qdrant, request, manifest, [shard for shard, _ in shards])
    with make_scratch(request.scratch) as made:
        run = _Undelete(store, paths, qdrant, request, into, Path(made), talk.notice)
        opened = [shard for shard, _ in shards]
        await asyncio.to_thread(check_scratch, opened, request.jobs, run.scratch)
        await run.sift(manifest, shards)
        found = Undelete(
            id=manifest.operation,
            epoch=manifest.epoch,
            collection=request.collection,
            into=into,
            selected=run.selected,
            present=run.selected - run.missing - run.differing,
            missing=run.missing,
            differing=run.differing if request.overwrite else None,
        )
        if request.plan or not (run.missing or run.differing):
            return replace(found, took_s=round(time.monotonic() - began_s, 3))
        await asyncio.to_thread(talk.confirm, found)
        await run.put_back()
    took_s = round(time.monotonic() - began_s, 3)
    return replace(found, restored=run.restored, absent=run.absent, took_s=took_s)


async def _check(
    qdrant: Qdrant, request: UndeleteRequest, manifest: Manifest, shards: Sequence[ShardEntry]
) -> None:
    into = request.into or request.collection
    if not request.overwrite:
        check_version(await qdrant.version())
    try:
        target = await qdrant.collection(into)
    except NotFound as error:
        raise NotFound(
            f"there is no collection {into!r} at {qdrant.url}",
            "`cleancut restore start` restores a whole collection",
        ) from error
    there = [key for key, _ in (await qdrant.placement(into)).shard_keys()]
    keys = [shard.shard_key for shard in shards if shard.shard_key is not None]
    check_target(manifest.collection(request.collection).info, target, keys, there)


@dataclass(slots=True)
class _Undelete:
    """One run. `todo`: files of what is to be put back, with the shard key of each."""

    store: Store
    paths: Paths
    qdrant: Qdrant
    request: UndeleteRequest
    into: str
    scratch: Path
    notice: Notice
    todo: list[tuple[Path, str | int | None]] = field(default_factory=list)
    selected: int = 0
    missing: int = 0
    differing: int = 0
    restored: int = 0
    absent: int = 0

    async def sift(
        self, manifest: Manifest, shards: Sequence[tuple[ShardEntry, Selection]]
    ) -> None:
        """Compares the selected points with what is there."""
        columns = vector_columns(manifest.collection(self.request.collection).info)

        async def take(done: tuple[ShardEntry, Line]) -> None:
            shard, line = done
            before = self.missing, self.differing
            for part in line.parts or ():
                await self._sift_file(Path(part.path), shard.shard_key)
            missing, differing = self.missing - before[0], self.differing - before[1]
            said = f", {differing:,} differ" if self.request.overwrite else ""
            label = f"{shard.collection}/{shard.shard_id}"
            self.notice(f"{label}: {line.points:,} points, {missing:,} are missing{said}")

        calls = [partial(self._read, at, *one, columns) for at, one in enumerate(shards)]
        await run_in_order(calls, self.request.jobs, take)

    async def _read(
        self, at: int, shard: ShardEntry, selection: Selection, columns: tuple[VectorColumn, ...]
    ) -> tuple[ShardEntry, Line]:
        job = ShardJob(
            "lines",
            str(self.scratch / f"{at}"),
            selection=selection,
            columns=columns,
            expected=shard.count,
        )
        line = await run_shard(self.store, self.paths, shard, job, progress=lambda _points: None)
        return shard, line

    async def _sift_file(self, path: Path, shard_key: str | int | None) -> None:
        """What is to be put back goes to a file of its own; `path` is removed."""
        todo = path.with_suffix(".todo")
        overwrite = self.request.overwrite
        with todo.open("wb") as file:
            for batch in batches(_lines_of(path)):
                points = [msgspec.json.decode(line) for line in batch]
                ids = [point["id"] for point in points]
                found = await self.qdrant.points.retrieve(
                    self.into, ids, shard_key=shard_key, whole=overwrite
                )
                there = {one["id"]: one for one in found}
                for line, point in zip(batch, points, strict=True):
                    known = there.get(point["id"])
                    changed = known is not None and overwrite and differs(point, known)
                    self.missing += known is None
                    self.differing += changed
                    if known is None or changed:
                        file.write(line)
                self.selected += len(batch)
        await asyncio.to_thread(path.unlink)
        self.todo.append((todo, shard_key))

    async def put_back(self) -> None:
        """Writes what was found, and looks whether it is there."""
        began_s = said_s = time.monotonic()
        async for points, shard_key in self._batches():
            await self.qdrant.points.upsert(
                self.into, points, shard_key=shard_key, insert_only=not self.request.overwrite
            )
            ids = [point["id"] for point in points]
            found = await self.qdrant.points.retrieve(self.into, ids, shard_key=shard_key)
            self.restored += len(points)
            self.absent += len(points) - len(found)
            if time.monotonic() - said_s >= _SAID_S:
                said_s = time.monotonic()
                self.notice(f"{self.restored:,} points are put back so far")
            if self.request.points_per_s:
                due_s = began_s + self.restored / self.request.points_per_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _batches(self) -> AsyncIterator[tuple[list[dict[str, Any]], str | int | None]]:
        for path, shard_key in self.todo:
            for batch in batches(_lines_of(path)):
                yield [msgspec.json.decode(line) for line in batch], shard_key


def _lines_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file

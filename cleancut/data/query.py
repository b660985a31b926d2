"""Query of one collection of a backup: its points nearest to a vector, without a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cleancut.api.searches import SearchAnswer, SearchHit
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.points.columns import VectorColumn
from cleancut.core.points.searches import (
    FoundPoint,
    check_target,
    column_of,
    is_rising,
    merged,
)
from cleancut.core.points.selection import PointId, Selection, owners_of, shards_selected
from cleancut.core.primitives.errors import Invalid, NotFound
from cleancut.data.filters import check_filter
from cleancut.data.job import Line, Search, ShardJob
from cleancut.data.shard_runner import check_scratch, make_scratch, run_shard
from cleancut.ports.store import Store
from cleancut.repository.catalog import find_group
from cleancut.runtime.concurrency import run_all

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What is searched: nearest to `vector`, or to the point `like`. `using`: None for the only
    vector, or the unnamed one. `jobs`: shards that are open at a time."""

    backup: str
    collection: str
    vector: Any = None
    like: PointId | None = None
    using: str | None = None
    selection: Selection = field(default_factory=Selection)
    limit: int = 10
    exact: bool = True
    jobs: int = 2
    scratch: Path | None = None


async def query(
    store: Store, paths: Paths, request: QueryRequest, *, notice: Notice
) -> SearchAnswer:
    """Raises: NotFound, for a backup, collection, key or point; Invalid, for a vector or filter
    that does not fit; Corrupt, for a damaged shard."""
    began_s = time.monotonic()
    check_filter(request.selection)
    manifest = await find_group(store, paths, request.backup)
    info = manifest.collection(request.collection).info
    column = column_of(info, request.using)
    if request.like is None:
        check_target(column, request.vector)
    shards = shards_selected(manifest, request.collection, request.selection.shard_keys)
    with make_scratch(request.scratch) as made:
        run = _Query(store, paths, request, column, Path(made), notice)
        await asyncio.to_thread(check_scratch, shards, request.jobs, run.scratch)
        target = request.vector if request.like is None else await run.target(manifest, shards)
        found = await run.hits(target, shards)
    best = merged(found, request.limit, rising=is_rising(info, column))
    return SearchAnswer(
        id=manifest.operation,
        epoch=manifest.epoch,
        collection=request.collection,
        using=column.name,
        exact=request.exact,
        hits=tuple(
            SearchHit(
                id=hit.id, score=hit.score, shard_key=hit.shard_key, payload=dict(hit.payload)
            )
            for hit in best
        ),
        took_s=round(time.monotonic() - began_s, 3),
    )


@dataclass(frozen=True, slots=True)
class _Query:
    store: Store
    paths: Paths
    request: QueryRequest
    column: VectorColumn
    scratch: Path
    notice: Notice

    async def target(self, manifest: Manifest, shards: Sequence[ShardEntry]) -> Any:
        """The vector of the point that is given instead of one."""
        point = self.request.like
        assert point is not None
        owners = owners_of(manifest.shards_of(self.request.collection), shards, (point,))
        jobs = [
            ShardJob(
                "vectors",
                str(self.scratch / f"v{shard.shard_id}"),
                selection=Selection(ids=ids),
                columns=(self.column,),
            )
            for shard, ids in owners
        ]
        lines = await self._run([shard for shard, _ in owners], jobs)
        found = [vector for line in lines for vector in line.result]
        if not found:
            raise NotFound(
                f"collection {self.request.collection!r} of backup #{manifest.epoch} has no point"
                f" {point!r} under the shard keys that were given",
                "`cleancut backup export --ids` shows which points there are",
            )
        if len(found) > 1:
            raise Invalid(
                f"point {point!r} is under {len(found)} shard keys", "choose one with --shard-key"
            )
        if found[0] is None:
            raise NotFound(
                f"point {point!r} has no vector {self.column.name!r}", "choose another with --using"
            )
        return found[0]

    async def hits(self, target: Any, shards: Sequence[ShardEntry]) -> list[list[FoundPoint]]:
        request = self.request
        without = () if request.like is None else (request.like,)
        search = Search(target, self.column.name, request.limit, request.exact, without)
        jobs = [
            ShardJob(
                "search",
                str(self.scratch / f"{shard.shard_id}"),
                selection=request.selection,
                search=search,
            )
            for shard in shards
        ]
        lines = await self._run(shards, jobs)
        return [
            [
                FoundPoint(point, score, payload, shard.shard_key)
                for point, score, payload in line.result
            ]
            for shard, line in zip(shards, lines, strict=True)
        ]

    async def _run(self, shards: Sequence[ShardEntry], jobs: Sequence[ShardJob]) -> list[Line]:
        calls = [partial(self._one, shard, job) for shard, job in zip(shards, jobs, strict=True)]
        return await run_all(calls, self.request.jobs)

    async def _one(self, shard: ShardEntry, job: ShardJob) -> Line:
        line = await run_shard(self.store, self.paths, shard, job, progress=lambda _points: None)
        self.notice(f"{shard.collection}/{shard.shard_id}: read")
        return line

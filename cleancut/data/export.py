"""Export of one collection of a backup, from its store alone: every point, or those selected.

Shards are opened in processes, some at a time, and written in order. A shard begins once one before
it is written, so scratch holds no more than those that are open.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.points.columns import VectorColumn, vector_columns
from cleancut.core.points.payload_types import Type
from cleancut.core.points.selection import Selection, opened_shards
from cleancut.data.filters import check_filter
from cleancut.data.job import Line, ShardJob
from cleancut.data.output import STDOUT, check_target, new_file, writes_stdout
from cleancut.data.shard_runner import check_scratch, make_scratch, run_shard
from cleancut.data.sinks import Format, HeldSink, LineSink, Sink, TableSink
from cleancut.ports.store import Store
from cleancut.repository.catalog import find_group
from cleancut.runtime.concurrency import run_in_order, run_in_thread

Notice = Callable[[str], None]
_SAID_S = 5.0


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Which points of which backup go where. `jobs`: shards that are open at a time. `structs`:
    payloads of a table are structs instead of JSON text."""

    backup: str
    collection: str
    selection: Selection
    form: Format
    out: Path
    vectors: bool = False
    structs: bool = False
    jobs: int = 2
    scratch: Path | None = None


async def export(
    store: Store, paths: Paths, request: ExportRequest, *, notice: Notice
) -> dict[str, Any]:
    """Writes the file; what was written. Nothing is at `request.out` before all of it was read.

    Raises: NotFound, for an unknown backup, collection or key; Invalid, for a filter; Refused, if
        the file exists or cannot be written; Corrupt, for a damaged shard.
    """
    began_s = time.monotonic()
    check_target(request.out)
    check_filter(request.selection)
    manifest = await find_group(store, paths, request.backup)
    shards = opened_shards(manifest, request.collection, request.selection)
    with make_scratch(request.scratch) as made:
        scratch = Path(made)
        opened = [shard for shard, _ in shards]
        at_once = len(opened) if request.structs else request.jobs
        await asyncio.to_thread(check_scratch, opened, at_once, scratch)
        run = _Export(store, paths, manifest, request, scratch, notice)
        with _sink(run, request) as sink:
            points = await run.write(shards, sink)
    if request.selection.ids is not None and points < len(request.selection.ids):
        notice(f"{points:,} of {len(request.selection.ids):,} ids are in what was selected")
    return {
        "file": str(request.out),
        "backup": manifest.operation,
        "epoch": manifest.epoch,
        "collection": request.collection,
        "format": request.form.value,
        "points": points,
        "shards": len(shards),
        "size_bytes": 0 if request.out == STDOUT else request.out.stat().st_size,
        "took_s": round(time.monotonic() - began_s, 3),
    }


@dataclass(slots=True)
class _Export:
    """One export. `points`: so far, of each shard."""

    store: Store
    paths: Paths
    manifest: Manifest
    request: ExportRequest
    scratch: Path
    notice: Notice
    points: dict[int, int] = field(default_factory=dict)
    said_s: float = field(default_factory=time.monotonic)

    @property
    def columns(self) -> tuple[VectorColumn, ...]:
        info = self.manifest.collection(self.request.collection).info
        return vector_columns(info) if self.request.vectors else ()

    @property
    def keys(self) -> list[str | int]:
        """The shard keys of the collection."""
        return [key for key, _ in self.manifest.collection(self.request.collection).shard_keys]

    @property
    def text_keys(self) -> bool:
        return any(isinstance(key, str) for key in self.keys)

    async def write(self, shards: Sequence[tuple[ShardEntry, Selection]], sink: Sink) -> int:
        """How many points there were. Raises: OSError, of the file."""

        async def take(done: tuple[ShardEntry, Line]) -> None:
            shard, line = done
            await run_in_thread(partial(sink.append, line))
            self.notice(f"{shard.collection}/{shard.shard_id}: {line.points:,} points")

        calls = [partial(self._read, at, *one) for at, one in enumerate(shards)]
        await run_in_order(calls, self.request.jobs, take)
        await run_in_thread(sink.finish)
        return sum(self.points.values())

    async def _read(
        self, at: int, shard: ShardEntry, selection: Selection
    ) -> tuple[ShardEntry, Line]:
        job = ShardJob(
            task="lines" if self.request.form is Format.JSONL else "table",
            out=str(self.scratch / f"{at}"),
            selection=selection,
            columns=self.columns,
            shard_key=shard.shard_key,
            expected=shard.count,
            text_keys=self.text_keys,
            payload_type=self.request.structs,
        )
        progress = partial(self._see, at)
        line = await run_shard(self.store, self.paths, shard, job, progress=progress)
        self.points[at] = line.points
        return shard, line

    def _see(self, at: int, points: int) -> None:
        self.points[at] = points
        if time.monotonic() - self.said_s >= _SAID_S:
            self.said_s = time.monotonic()
            self.notice(f"{sum(self.points.values()):,} points so far")


@contextmanager
def _sink(run: _Export, request: ExportRequest) -> Iterator[Sink]:
    """Where the parts go; the file is there once this ends without an error."""
    if request.form is Format.JSONL:
        if request.out == STDOUT:
            with writes_stdout() as file:
                yield LineSink(file)
            return
        with new_file(request.out) as path, path.open("wb") as lines:
            yield LineSink(lines)
        return
    if request.out != STDOUT:
        with new_file(request.out) as path, _table(run, path) as sink:
            yield sink
        return
    path = run.scratch / "table"
    with _table(run, path) as sink:
        yield sink
    with path.open("rb") as written, writes_stdout() as out:
        shutil.copyfileobj(written, out)
        out.flush()


@contextmanager
def _table(run: _Export, path: Path) -> Iterator[Sink]:
    if run.request.structs:
        yield HeldSink(partial(_table_sink, run, path))
        return
    sink = _table_sink(run, path, None)
    try:
        yield sink
    finally:
        sink.close()


def _table_sink(run: _Export, path: Path, payload: Type | None) -> TableSink:
    from cleancut.data.arrays import payload_column
    from cleancut.data.records import schema_of
    from cleancut.data.table_parts import key_type

    sample = next(iter(run.keys), None)
    schema = schema_of(
        run.columns,
        uuids=False,
        key_type=key_type(sample, text=run.text_keys),
        payload=None if payload is None else payload_column(payload),
    )
    manifest = run.manifest
    facts = {"backup": manifest.operation, "cut_at": manifest.cut_at, "cluster": manifest.cluster}
    return TableSink(path, run.request.form, schema, facts, payload=payload)

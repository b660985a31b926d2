"""Process that opens one shard: `python -m cleancut.data.shard_process`, a job on stdin.

Source: `cleancut.data.job` has what is asked and answered.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from cleancut.core.primitives.errors import Corrupt, Invalid
from cleancut.data.job import PROGRESS_S, Line, Part, ShardJob, answer, say
from cleancut.data.pages import PageSize, pages
from cleancut.engine.shard import EngineShard, id_of, opened, plain_vector, vector_of

Report = Callable[[int], None]
"""Takes the number of points so far."""


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=ShardJob)
    answer(partial(_do, job), job.out)


def _do(job: ShardJob) -> Line:
    with opened(Path(job.tar), Path(job.directory)) as shard:
        return _TASKS[job.task](shard, job)


class _Counter:
    """Points that were written; reports them once a second. Raises: Corrupt by `check`."""

    def __init__(self) -> None:
        self.points = 0
        self._said_s = time.monotonic()

    def add(self, points: int) -> None:
        self.points += points
        if time.monotonic() - self._said_s >= PROGRESS_S:
            self._said_s = time.monotonic()
            say(Line(points=self.points))

    def check(self, shard: EngineShard, job: ShardJob) -> None:
        """All points of the shard were read, if all were to be."""
        if not job.selection.is_all:
            return
        expected = shard.count() if job.expected is None else job.expected
        if self.points != expected:
            raise Corrupt(
                f"{self.points} points were read, the shard is to have {expected}",
                "`cleancut backup drill` examines the shards of a backup",
            )


def _records(shard: EngineShard, job: ShardJob, size: PageSize) -> Any:
    """Raises: Invalid, for a filter that the engine refuses."""
    try:
        yield from pages(shard, job.selection, size, vectors=bool(job.columns))
    except Corrupt as error:
        if job.selection.filter is None:
            raise
        raise Invalid(
            f"Qdrant's engine refuses the filter: {error.message}", "see --filter"
        ) from error


def _file(
    shard: EngineShard, job: ShardJob, write: Callable[[Sequence[Any], BinaryIO], int]
) -> Line:
    """All records in one file; `write` gives the bytes that a page took."""
    size, counter = PageSize(), _Counter()
    with Path(job.out).open("xb") as file:
        for records in _records(shard, job, size):
            size.wrote(len(records), write(records, file))
            counter.add(len(records))
    counter.check(shard, job)
    return Line(counter.points, (Part(job.out, counter.points),))


def _lines(shard: EngineShard, job: ShardJob) -> Line:
    from cleancut.data.records import lines_of

    def write(records: Sequence[Any], file: BinaryIO) -> int:
        return file.write(lines_of(records, job.columns, job.shard_key))

    return _file(shard, job, write)


def _table(shard: EngineShard, job: ShardJob) -> Line:
    """One file of points with numbers as ids, and one of those with UUIDs, which follow them."""
    from cleancut.core.points.payload_types import Type, merged_type, type_of
    from cleancut.data.table_parts import TableParts

    size, counter = PageSize(), _Counter()
    payload: Type = "null"
    with TableParts(job) as parts:
        for records in _records(shard, job, size):
            size.wrote(len(records), parts.write(records))
            if job.payload_type:
                types = (type_of(record.payload or {}) for record in records)
                payload = merged_type((payload, *types))
            counter.add(len(records))
    counter.check(shard, job)
    return Line(counter.points, tuple(parts.written), result=payload)


def _digests(shard: EngineShard, job: ShardJob) -> Line:
    from cleancut.data.digests import write_digests

    def write(records: Sequence[Any], file: BinaryIO) -> int:
        return write_digests(records, job.columns, file)

    return _file(shard, job, write)


def _search(shard: EngineShard, job: ShardJob) -> Line:
    """Hits, best first: id, score and payload of each."""
    from cleancut.engine.filters import to_filter, without_ids

    search, chosen = job.search, job.selection.filter
    assert search is not None
    condition = without_ids(search.without, chosen) if search.without else to_filter(chosen)
    found = shard.search(
        shard.target_of(search.target),
        search.using,
        search.limit,
        exact=search.exact,
        condition=condition,
        payload=True,
    )
    hits = [(id_of(point), float(point.score), point.payload or {}) for point in found]
    return Line(len(hits), result=hits)


def _vectors(shard: EngineShard, job: ShardJob) -> Line:
    """The vector in the only column, of each selected point."""
    (column,) = job.columns
    found = [
        plain_vector(vector_of(record, column.name))
        for records in pages(shard, job.selection, PageSize(), vectors=True, payload=False)
        for record in records
    ]
    return Line(len(found), result=found)


_TASKS: dict[str, Callable[[EngineShard, ShardJob], Line]] = {
    "lines": _lines,
    "table": _table,
    "digests": _digests,
    "search": _search,
    "vectors": _vectors,
}

if __name__ == "__main__":
    main()

"""Process that builds the shards of one shard key: `python -m cleancut.data.reshard_process`.

The engine holds the interpreter in every call, and what it does to memory ends with the process.
Shape: a JSON document a line on stdin: what to do, then for a fill one source after the other; on
stdout lines of `Line`: progress, then one with a `result` for each source, and the last one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.core.points.selection import Selection
from cleancut.core.primitives.errors import Corrupt
from cleancut.data.job import PROGRESS_S, Line, answer, say
from cleancut.data.pages import PageSize, pages
from cleancut.engine.builder import ShardBuilder, by_owner, tar_of
from cleancut.engine.shard import opened

_FLOAT_BYTES, _RECORD_BYTES = 32, 1_000
"""Of a number in a list, and of a record without them: what they take here, about."""
_FLUSHED_BYTES = 256 << 20


class Fill(msgspec.Struct, frozen=True, tag=True):
    """New shards in `directories`, by their ids, which get the points of the sources."""

    directories: dict[int, str]
    config: dict[str, Any]


class Source(msgspec.Struct, frozen=True):
    """A shard's `tar`, which is removed, to be unpacked into `directory`. `expected`: how many
    points it has, if that is known."""

    tar: str
    directory: str
    expected: int | None = None


class Finish(msgspec.Struct, frozen=True, tag=True):
    """The filled shard in `directory` gets payload indexes by `schema`, and is packed as `tar`."""

    directory: str
    config: dict[str, Any]
    schema: dict[str, Any]
    tar: str


def main() -> None:
    lines = iter(sys.stdin.buffer)
    job = msgspec.json.decode(next(lines), type=Fill | Finish)
    answer(
        partial(_fill, job, lines) if isinstance(job, Fill) else partial(_finish, job),
        "a new shard",
    )


def _fill(job: Fill, lines: Iterator[bytes]) -> Line:
    """Result: the number of points in each new shard."""
    ring = HashRing(job.directories)
    made = {
        shard: ShardBuilder.create(Path(directory), job.config)
        for shard, directory in job.directories.items()
    }
    points = 0
    for text in lines:
        points += _take(msgspec.json.decode(text, type=Source), ring, made, points)
        say(Line(points=points, result="next"))
    counts = {shard: one.count() for shard, one in made.items()}
    for one in made.values():
        one.close()
    if sum(counts.values()) != points:
        raise Corrupt(
            f"{points} points were read, and {sum(counts.values())} different ones are in the new"
            " shards: ids are in more than one shard of the backup",
            "restore it as it is, and reshard it then",
        )
    return Line(points=points, result=counts)


def _take(source: Source, ring: HashRing, made: dict[int, ShardBuilder], before: int) -> int:
    """How many points the source has. Raises: Corrupt, if that is not what is expected."""
    points, since_flush, said_s = 0, 0, time.monotonic()
    size = PageSize()
    with opened(Path(source.tar), Path(source.directory)) as shard:
        for records in pages(shard, Selection(), size, vectors=True):
            owners = ring.shards_of([record.id for record in records])
            for owner, part in by_owner(records, owners).items():
                made[owner].add(part)
            weight = len(records) * max(_weight(records[0]), _weight(records[-1]))
            size.wrote(len(records), weight)
            points, since_flush = points + len(records), since_flush + weight
            if since_flush >= _FLUSHED_BYTES:
                since_flush = 0
                for one in made.values():
                    one.flush()
            if time.monotonic() - said_s >= PROGRESS_S:
                said_s = time.monotonic()
                say(Line(points=before + points))
        expected = shard.count() if source.expected is None else source.expected
    if points != expected:
        raise Corrupt(
            f"{points} points were read, the shard is to have {expected}",
            "`cleancut backup drill` examines the shards of a backup",
        )
    return points


def _weight(record: Any) -> int:
    """About the bytes that a record takes in this process."""
    return _RECORD_BYTES + _numbers(record.vector) * _FLOAT_BYTES + len(str(record.payload))


def _numbers(vector: Any) -> int:
    if isinstance(vector, dict):
        return sum(map(_numbers, vector.values()))
    if isinstance(vector, list):
        nested = bool(vector) and isinstance(vector[0], list)
        return sum(map(len, vector)) if nested else len(vector)
    return 2 * len(vector.indices) if vector is not None else 0


def _finish(job: Finish) -> Line:
    """Result: the number of points in the shard."""
    shard = ShardBuilder.load(Path(job.directory), job.config)
    shard.index(job.schema)
    shard.optimize()
    count = shard.count()
    manifest = shard.close()
    with Path(job.tar).open("xb") as file:
        for chunk in tar_of(Path(job.directory), manifest):
            file.write(chunk)
    return Line(points=count, result=count)


if __name__ == "__main__":
    main()

"""A shard's tar whose log is exchanged while it streams."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Corrupt, Invalid
from cleancut.repository.shards.rolled_tar import Log, LogFile, with_log
from cleancut.repository.shards.tar_scanner import KeptMember, MemberStart, TarScan

TAR = gzip.decompress(
    (Path(__file__).parents[3] / "data/qdrant-1.18.3/t1-shard0.tar.gz").read_bytes()
)


def log_file(name: str, data: bytes) -> LogFile:
    return LogFile(name, len(data), lambda: iter([data[:3], data[3:]]))


async def rolled(tar: bytes, log: Log, step: int) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(tar), step):
            yield tar[at : at + step]

    async def decided() -> Log:
        return log

    return b"".join([piece async for piece in with_log(chunks(), decided)])


def members(tar: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            yield member.name, file.read() if file else b""


@pytest.mark.parametrize("step", [1000, 4096, 65536, 1 << 30])
def test_only_the_log_is_exchanged(step: int) -> None:
    entries = [log_file("closed-7", b"wal" * 300), log_file("closed-9", b"x" * 512)]
    before = dict(members(TAR))
    after = list(members(asyncio.run(rolled(TAR, entries, step))))
    assert [name for name, _ in after if name.startswith("wal")] == [
        "wal",
        "wal/closed-7",
        "wal/closed-9",
    ]
    kept = {name: data for name, data in after if not name.startswith("wal/")}
    assert kept == {name: data for name, data in before.items() if not name.startswith("wal/")}
    assert dict(after)["wal/closed-7"] == b"wal" * 300
    assert [name for name, _ in after][-2:] == ["replica_state.json", "shard_config.json"]


@pytest.mark.parametrize("step", [777, 1 << 20])
def test_without_a_log_the_tar_is_what_it_was(step: int) -> None:
    assert asyncio.run(rolled(TAR, None, step)) == TAR


def test_a_tar_that_ends_early_is_given_back_at_once() -> None:
    """What reads it knows what is missing; nothing waits for a log that it will not get."""

    async def read() -> bytes:
        async def chunks() -> AsyncIterator[bytes]:
            yield TAR[:-4096]

        async def never() -> Log:
            raise AssertionError("the log is not asked for")

        return b"".join([piece async for piece in with_log(chunks(), never)])

    assert asyncio.run(read()) == TAR[:-4096]


def test_the_log_is_asked_for_only_after_all_chunks() -> None:
    """A server whose stream is not read would hold its shard."""

    async def read() -> list[str]:
        said = []

        async def chunks() -> AsyncIterator[bytes]:
            yield TAR[: len(TAR) // 2]
            yield TAR[len(TAR) // 2 :]
            said.append("read")

        async def decided() -> Log:
            said.append("asked")
            return None

        async for _ in with_log(chunks(), decided):
            pass
        return said

    assert asyncio.run(read()) == ["read", "asked"]


def test_what_is_no_tar_is_refused() -> None:
    with pytest.raises(Corrupt):
        asyncio.run(rolled(b"x" * 2048, None, 512))


def test_kept_members_go_through_where_they_stand() -> None:
    """Between the members before the log; elsewhere nothing knows what they would be."""
    kept, log = KeptMember("segments/a/files/x"), [log_file("closed-7", b"wal" * 300)]
    starts = [one for one in TarScan().feed(TAR) if isinstance(one, MemberStart)]
    first, second = starts[1].offset, starts[2].offset
    behind = next(one.offset for one in starts if one.path == "replica_state.json")

    async def read(*cuts: int) -> list[bytes | KeptMember]:
        async def chunks() -> AsyncIterator[bytes | KeptMember]:
            for start, end in pairwise((0, *cuts, len(TAR))):
                yield TAR[start:end]
                if end < len(TAR):
                    yield kept

        async def decided() -> Log:
            return log

        return [piece async for piece in with_log(chunks(), decided)]

    found = asyncio.run(read(first, second))
    assert found[:4] == [TAR[:first], kept, TAR[first:second], kept]
    pieces = [one for one in found if isinstance(one, bytes)]
    assert b"".join(pieces) == asyncio.run(rolled(TAR, log, 4096))
    for cut in (first + 100, behind):
        with pytest.raises(Invalid):
            asyncio.run(read(cut))

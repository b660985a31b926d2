"""A shard's tar with the entries of an archive as its log: measured before, then streamed."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from cleancut.core.format.recipe import Recipe, TarMember
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import Sha256
from cleancut.core.wal.framing import HEADER_BYTES, parse_entries, seed_of
from cleancut.core.wal.segments import SegmentPlan, plan_segments
from cleancut.repository.shards.replayed_tar import replayed_bytes, replayed_tar
from cleancut.repository.shards.rolled_tar import LogFile, with_log
from cleancut.repository.shards.tar_scanner import MemberData, MemberEnd, MemberStart, TarScan

TAR = gzip.decompress(
    (Path(__file__).parents[3] / "data/qdrant-1.18.3/t1-shard0.tar.gz").read_bytes()
)
ENTRIES = [bytes([n]) * (n * 7 % 300) for n in range(60)]


async def parts(data: bytes, step: int) -> AsyncIterator[bytes | memoryview]:
    for at in range(0, len(data), step):
        yield memoryview(data)[at : at + step]


async def each(entries: Sequence[bytes]) -> AsyncIterator[bytes]:
    for one in entries:
        yield one


def replayed(
    tar: bytes, plans: Sequence[SegmentPlan], entries: Sequence[bytes], step: int = 4096
) -> bytes:
    async def read() -> bytes:
        pieces = replayed_tar(parts(tar, step), plans, each(entries))
        return b"".join([piece async for piece in pieces])

    return asyncio.run(read())


def rolled(tar: bytes) -> bytes:
    """As a backup stores it that was rolled forward."""

    async def log() -> list[LogFile]:
        return [LogFile("closed-3", 1000, lambda: iter([b"old" * 333 + b"."]))]

    async def bare() -> AsyncIterator[bytes]:
        yield tar

    async def read() -> bytes:
        return b"".join([piece async for piece in with_log(bare(), log)])

    return asyncio.run(read())


def recipe_of(tar: bytes) -> Recipe:
    members, path, header, stored = list[TarMember](), "", b"", 0
    for event in TarScan().feed(tar):
        match event:
            case MemberStart():
                path, header, stored = event.path, event.header, 0
            case MemberData():
                stored += len(event.piece)
            case MemberEnd():
                members.append(TarMember(path, header, stored, event.padding))
    members.append(TarMember("", b"", stored))
    return Recipe("", tuple(members), (), (), Sha256(""), sum(m.tar_bytes() for m in members))


def members(tar: bytes) -> list[tuple[str, bytes]]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            found.append((member.name, file.read() if file else b""))
    return found


def entries_of(segment: bytes) -> list[bytes]:
    body = segment[HEADER_BYTES:]
    return [frame.data for frame in parse_entries(body, seed_of(segment), len(body)).frames]


@pytest.mark.parametrize("step", [999, 65536, 1 << 30])
@pytest.mark.parametrize("limit", [500, 1 << 20])
@pytest.mark.parametrize("base", [TAR, rolled(TAR)], ids=["as cut", "rolled forward"])
def test_the_log_is_that_of_the_archive_and_the_length_known_before(
    base: bytes, limit: int, step: int
) -> None:
    plans = plan_segments(map(len, ENTRIES), 11, limit)
    found = replayed(base, plans, ENTRIES, step)
    assert len(found) == replayed_bytes(recipe_of(base), plans)
    log = [(name, data) for name, data in members(found) if name.startswith("wal/")]
    assert [name for name, _ in log] == [f"wal/{plan.name}" for plan in plans]
    assert [one for _, data in log for one in entries_of(data)] == ENTRIES
    others = [one for one in members(found) if not one[0].startswith("wal/")]
    assert others == [one for one in members(TAR) if not one[0].startswith("wal/")]
    assert [name for name, _ in members(found)][-2:] == ["replica_state.json", "shard_config.json"]


def test_entries_other_than_planned_end_it() -> None:
    plans = plan_segments([10, 10], 0)
    for entries in ([b"x" * 10], [b"x" * 10, b"x" * 30], [b"x" * 10, b""]):
        with pytest.raises(Corrupt):
            replayed(TAR, plans, entries)


def test_a_tar_that_ends_before_its_log_is_corrupt() -> None:
    at = TAR.index(b"wal/")
    with pytest.raises(Corrupt, match="before its log"):
        replayed(TAR[: at - at % 512], plan_segments([3], 0), [b"abc"])

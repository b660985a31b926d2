"""Files of snapshots: both forms in which Qdrant writes segments, and files that are not whole."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from pathlib import Path

import pytest

from cleancut.core.capture.member_header import UNIT, MemberFacts, member_header, renamed
from cleancut.core.format.snapshot_choice import ALONE
from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.importing.snapshot_file import SnapshotFile, read_shard, read_snapshot
from cleancut.repository.shards.tar_scanner import MemberData, MemberEnd, MemberStart, TarScan
from tests.support.capturing import recorded

END = bytes(2 * UNIT)


def members(tar: bytes) -> list[tuple[str, bytes, bytes]]:
    """Path, header and padded bytes of each."""
    found, body = [], b""
    for event in TarScan().feed(tar):
        match event:
            case MemberStart():
                start, body = event, b""
            case MemberData(piece):
                body += piece
            case MemberEnd():
                found.append((start.path, start.header, body + bytes(-len(body) % UNIT)))
    return found


def regular(stream: bytes, folder: str = "") -> bytes:
    """The same shard as Qdrant's snapshot has it: each segment in a tar without an end."""
    segments: dict[str, bytes] = {}
    others = b""
    for path, header, body in members(stream):
        parts = path.split("/", 2)
        if parts[0] == "segments" and len(parts) > 2:
            inner = renamed(header, f"snapshot/{parts[2]}") + body
            segments[parts[1]] = segments.get(parts[1], b"") + inner
        elif parts[0] != "segments":
            others += renamed(header, folder + path) + body
    packed = b"".join(
        member_header(MemberFacts(f"{folder}segments/{name}.tar", 0o644, 0, 0, 0, len(inner)))
        + inner
        + bytes(-len(inner) % UNIT)
        for name, inner in segments.items()
    )
    return packed + others


def document(path: str, data: bytes) -> bytes:
    facts = MemberFacts(path, 0o644, 0, 0, 0, len(data))
    return member_header(facts) + data + bytes(-len(data) % UNIT)


def read(tmp_path: Path, data: bytes) -> SnapshotFile:
    file = tmp_path / "x.snapshot"
    file.write_bytes(data)
    return read_snapshot(file, "x.snapshot")


def given(file: SnapshotFile, shard: int) -> bytes:
    async def body() -> bytes:
        return b"".join([piece async for piece in read_shard(file, shard)])

    found = asyncio.run(body())
    assert len(found) == file.size_bytes(shard)
    return found


def unpacked(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {one.name: file.read() for one in archive if (file := archive.extractfile(one))}


def test_both_forms_of_a_shard_become_what_qdrant_streams(tmp_path: Path) -> None:
    stream = recorded("t0-shard0")
    streamed = read(tmp_path, stream)
    assert streamed.contents.shards == {ALONE}
    assert given(streamed, ALONE) == stream[: streamed.size_bytes(ALONE)]
    packed = read(tmp_path, regular(stream) + END)
    assert packed.contents.shards == {ALONE}
    assert unpacked(given(packed, ALONE)) == unpacked(stream)


def test_a_snapshot_of_a_collection_has_the_shards_of_its_node(tmp_path: Path) -> None:
    """Of the others it has what says that they are elsewhere."""
    streams = {number: recorded(f"t0-shard{number}") for number in (0, 1)}
    parts = [regular(stream, f"{number}/") for number, stream in streams.items()]
    remote = document("2/replica_state.json", b"{}") + document("2/shard_config.json", b"{}")
    documents = document("config.json", b"{}") + document("version.info", b"0.4.2")
    file = read(tmp_path, b"".join(parts) + remote + documents + END)
    assert file.contents.shards == {0, 1}
    assert file.contents.documents == {"config.json": b"{}"}
    for number, stream in streams.items():
        assert unpacked(given(file, number)) == unpacked(stream)


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, cut: int) -> None:
    data = regular(recorded("t0-shard0")) + END
    with pytest.raises(Corrupt, match=r"x\.snapshot is not a whole snapshot"):
        read(tmp_path, data[: len(data) * cut // 10])


def test_a_shard_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    """Qdrant would recover it, as a shard without that segment."""
    stream = recorded("t0-shard0")
    rest = [one for one in members(stream) if not one[0].endswith("version.info")]
    data = b"".join(header + body for _, header, body in rest) + END
    with pytest.raises(Corrupt, match=r"its shard is not whole: no version\.info of segment"):
        read(tmp_path, data)


@pytest.mark.parametrize("data", [b"", b"hello" * 500, document("a.txt", b"hello") + END])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Corrupt, match=r"x\.snapshot is"):
        read(tmp_path, data)


def test_a_file_that_another_one_replaced_is_refused(tmp_path: Path) -> None:
    """Also one of the same size and time: what was checked would not be what is stored."""
    stream = recorded("t0-shard0")
    file = read(tmp_path, stream)
    other = tmp_path / "other"
    other.write_bytes(stream)
    before = file.path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file.path)
    with pytest.raises(Refused, match="changed while it was read"):
        given(file, ALONE)


@pytest.mark.parametrize(
    "folder", ["00", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 90]
)
def test_only_the_number_of_a_shard_names_one(tmp_path: Path, folder: str) -> None:
    """Two folders are never one shard."""
    stream = recorded("t0-shard0")
    data = regular(stream, "0/") + document(f"{folder}/segments/x/version.info", b"{}")
    file = read(tmp_path, data + document("config.json", b"{}") + END)
    assert file.contents.shards == {0}
    assert unpacked(given(file, 0)) == unpacked(stream)

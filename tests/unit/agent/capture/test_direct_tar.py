"""Tars that are put together of a stream, of files on a real disk and of the parent's members."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleancut.core.capture.proof import SETTLED_NS
from cleancut.core.primitives.errors import Corrupt
from cleancut.repository.shards.tar_scanner import KeptMember, MemberEnd, MemberStart, TarScan
from cleancut_agent.capture.direct_tar import DirectTar, OtherFiles, UnprovenFiles, UnreadableFile
from cleancut_agent.capture.disk_reads import DiskReads
from cleancut_agent.capture.handles import Handles
from cleancut_agent.capture.segment_files import SegmentFiles, segments_path
from cleancut_agent.capture.selection import Selection
from tests.support.capturing import END, member, shard_tar, stream, tail_members
from tests.support.segment_dirs import later_ns, made, needs_proving_disk

CHUNK, INDEX = "s1/vector_storage/vectors/chunk_0.mmap", "s1/vector_index/graph.bin"
VERSION = b"0.6.0"
LATER_NS = 2 * SETTLED_NS


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    needs_proving_disk(tmp_path)
    path = segments_path(tmp_path, "c", 0)
    for name in (CHUNK, INDEX):
        made(path, name)
    for name in ("s1/segment.json", "s1/version.info"):
        (path / name).write_bytes(VERSION)
    return path


@pytest.fixture
def selection(segments: Path) -> Iterator[Selection]:
    with SegmentFiles(segments, Handles(100)) as files, files.select({}, later_ns()) as found:
        yield found


def listed(segment: str, *paths: str) -> bytes:
    """The list that a segment's part of a stream begins with."""
    versions = dict.fromkeys([*paths, "segment.json", "version.info"], 1)
    body = {"segment_id": segment, "segment_version": 1, "file_versions": versions}
    name = f"segments/{segment}/files/segment_manifest.json"
    return member(name, json.dumps(body).encode())


def part(segment: str, *paths: str, version: bytes = VERSION) -> bytes:
    """A segment of which nothing but small files is streamed, although it has `paths`."""
    small = [
        member(f"segments/{segment}/files/{name}", version)
        for name in ("segment.json", "version.info")
    ]
    return listed(segment, *paths) + b"".join(small)


def whole(*parts: bytes) -> bytes:
    return b"".join([*parts, *tail_members(), END])


def relative(path: str) -> str:
    return path.partition("/")[2]


def put_together(
    selection: Selection, segments: Path, tar: bytes, steps: Iterator[int] | None = None
) -> tuple[DirectTar, list[bytes | KeptMember]]:
    """What becomes of the answer `tar`. `steps`: what the clock says at each look, if not later
    than all that is on the disk has settled."""

    def now_ns() -> int:
        return next(steps) if steps else time.time_ns() + LATER_NS

    direct = DirectTar(
        selection, segments, lambda _path: 0, piece_bytes=1 << 16, reads=DiskReads(), now_ns=now_ns
    )

    async def run() -> list[bytes | KeptMember]:
        async with asyncio.timeout(30):
            return [piece async for piece in direct.pieces(stream(tar, iter([1000] * len(tar))))]

    return direct, asyncio.run(run())


def paths_of(pieces: list[bytes | KeptMember]) -> list[str]:
    scan, found = TarScan(), []
    for piece in pieces:
        assert isinstance(piece, bytes | bytearray | memoryview)
        found += [one.path for one in scan.feed(bytes(piece)) if isinstance(one, MemberStart)]
    assert scan.ended
    return found


def test_files_from_the_disk_follow_what_is_streamed(segments: Path, selection: Selection) -> None:
    tar = whole(part("s1", relative(CHUNK), relative(INDEX)))
    direct, pieces = put_together(selection, segments, tar)
    paths = paths_of(pieces)
    assert paths[:4] == [
        f"segments/s1/files/{name}"
        for name in ("segment.json", "version.info", relative(INDEX), relative(CHUNK))
    ]
    assert paths[4].startswith("wal")
    assert not any("manifest" in path for path in paths)
    assert set(direct.proven) == {CHUNK, INDEX}
    scan = TarScan()
    content: dict[str, bytes] = {}
    for event in (one for piece in pieces for one in scan.feed(bytes(piece))):  # type: ignore[arg-type]
        if isinstance(event, MemberStart):
            path = event.path
            content[path] = b""
        elif not isinstance(event, MemberEnd):
            content[path] += event.piece
    for name in (CHUNK, INDEX):
        assert content[f"segments/s1/files/{relative(name)}"] == (segments / name).read_bytes()


def test_a_file_that_the_stream_has_is_not_taken_from_the_disk(
    segments: Path, selection: Selection
) -> None:
    sent = member(f"segments/s1/files/{relative(CHUNK)}", b"newer")
    tar = whole(listed("s1", relative(CHUNK)) + sent + part("s1")[len(listed("s1")) :])
    direct, pieces = put_together(selection, segments, tar)
    assert paths_of(pieces).count(f"segments/s1/files/{relative(CHUNK)}") == 1
    assert direct.proven == {}
    assert direct.sources.direct_bytes == 0


def test_a_file_that_came_from_nowhere_ends_the_capture(
    segments: Path, selection: Selection
) -> None:
    tar = whole(part("s1", relative(CHUNK), "payload_storage/page_0.dat"))
    with pytest.raises(UnprovenFiles, match=r"came from nowhere.*page_0\.dat") as caught:
        put_together(selection, segments, tar)
    assert caught.value.files == {"s1/payload_storage/page_0.dat"}


def test_a_changed_file_of_a_segment_that_is_there_ends_the_capture(
    segments: Path, selection: Selection
) -> None:
    (segments / CHUNK).write_bytes(b"other")
    with pytest.raises(UnprovenFiles, match="written to since the request") as caught:
        put_together(selection, segments, whole(part("s1", relative(CHUNK), relative(INDEX))))
    assert caught.value.files == {CHUNK}


def test_a_segment_that_was_gone_at_the_cut_is_not_asked_about(segments: Path) -> None:
    """An optimizer drops it between the request and the cut."""
    made(segments, "s2/vector_index/graph.bin")
    (segments / "s2/version.info").write_bytes(VERSION)
    with SegmentFiles(segments, Handles(100)) as files:
        before = files.select({}, later_ns())
        state = before.direct[INDEX].state
        before.close()
        with files.select({INDEX: state}, later_ns()) as selection:
            assert set(selection.kept) == {INDEX}
            (segments / INDEX).unlink()
            (segments / CHUNK).unlink()
            tar = whole(part("s2", "vector_index/graph.bin"))
            direct, pieces = put_together(selection, segments, tar)
    assert paths_of(pieces)[2] == "segments/s2/files/vector_index/graph.bin"
    assert set(direct.proven) == {"s2/vector_index/graph.bin"}


def test_a_segment_that_is_removed_while_it_is_read_is_whole(
    segments: Path, selection: Selection
) -> None:
    """The clock is one that a removal is later than: the small files are compared by it, too."""
    tar = whole(part("s1", relative(CHUNK), relative(INDEX)))
    direct = DirectTar(
        selection,
        segments,
        lambda _path: 0,
        piece_bytes=1 << 16,
        reads=DiskReads(),
        now_ns=lambda: time.time_ns() + LATER_NS,
    )

    async def run() -> list[bytes | KeptMember]:
        found: list[bytes | KeptMember] = []
        async for piece in direct.pieces(stream(tar)):
            found.append(piece)
            if direct.sources.direct_bytes:
                (segments / INDEX).unlink(missing_ok=True)
                (segments / CHUNK).unlink(missing_ok=True)
        return found

    assert len(paths_of(asyncio.run(run()))) > 4
    assert set(direct.proven) == {CHUNK, INDEX}


def test_a_file_that_the_disk_does_not_give_back_is_named(
    segments: Path, selection: Selection
) -> None:
    """Its handle becomes one that cannot be read from."""
    tar = whole(part("s1", relative(CHUNK), relative(INDEX)))
    direct = DirectTar(
        selection,
        segments,
        lambda _path: 0,
        piece_bytes=1 << 16,
        reads=DiskReads(),
        now_ns=lambda: time.time_ns() + LATER_NS,
    )

    handle = os.open(segments / CHUNK, os.O_WRONLY)
    os.dup2(handle, selection.direct[CHUNK].handle)
    os.close(handle)

    async def run() -> None:
        async for _ in direct.pieces(stream(tar)):
            pass

    with pytest.raises(UnreadableFile, match=r"cannot be read.*descriptor") as caught:
        asyncio.run(run())
    assert caught.value.files == {CHUNK}


def test_nothing_is_another_shard_while_the_clock_is_set_back(
    segments: Path, selection: Selection
) -> None:
    """A file that was written after the cut may look as if it had been there for long."""
    later_ns = time.time_ns() + LATER_NS
    steps = iter([later_ns, later_ns - 60 * 10**9])
    tar = whole(part("s1", relative(CHUNK), version=b"0.6.1"))
    with pytest.raises(UnprovenFiles, match="clock was set back"):
        put_together(selection, segments, tar, steps)


def test_other_small_files_than_on_the_disk_are_another_shard(
    segments: Path, selection: Selection
) -> None:
    with pytest.raises(OtherFiles, match="is not what Qdrant streams"):
        put_together(selection, segments, whole(part("s1", relative(CHUNK), version=b"0.6.1")))


def test_small_files_that_are_young_prove_nothing_and_are_no_other_shard(
    segments: Path, selection: Selection
) -> None:
    """A segment whose version was written a few seconds after its large files."""
    tar = whole(part("s1", relative(CHUNK)))
    with pytest.raises(UnprovenFiles, match="known to be what Qdrant streams") as caught:
        put_together(selection, segments, tar, iter([time.time_ns()]))
    assert caught.value.files == {CHUNK}


def test_small_files_of_segments_that_are_streamed_whole_do_not_displace_the_others(
    segments: Path, selection: Selection
) -> None:
    young = [part(f"new{number}") for number in range(40)]
    tar = whole(*young, part("s1", relative(CHUNK)))
    direct, _ = put_together(selection, segments, tar)
    assert set(direct.proven) == {CHUNK}


@pytest.mark.parametrize("length", [1, 600, 2000, 4000])
def test_a_tar_that_is_cut_short_is_given_back_as_short(
    segments: Path, selection: Selection, length: int
) -> None:
    """What stores it refuses it; nothing is read from the disk for it."""
    tar = whole(part("s1", relative(CHUNK)))[:length]
    direct, pieces = put_together(selection, segments, tar)
    assert direct.sources.direct_bytes == 0
    scan = TarScan()
    for piece in pieces:
        scan.feed(bytes(piece))  # type: ignore[arg-type]
    assert not scan.ended


def test_a_list_of_another_segment_is_corrupt(segments: Path, selection: Selection) -> None:
    other = listed("s2").replace(b"segments/s2/", b"segments/s1/")
    with pytest.raises(Corrupt):
        put_together(selection, segments, whole(other))


def test_an_answer_without_lists_is_a_whole_tar(segments: Path, selection: Selection) -> None:
    """Of a Qdrant that sends everything, whatever is asked for."""
    tar = shard_tar({relative(CHUNK): b"all of it"})
    direct, pieces = put_together(selection, segments, tar)
    assert b"".join(bytes(piece) for piece in pieces) == tar  # type: ignore[arg-type]
    assert direct.proven == {}


def test_a_file_that_was_replaced_before_the_cut_is_not_proven_whatever_the_clock_says(
    segments: Path, selection: Selection
) -> None:
    draft = made(segments, "s1/draft")
    os.replace(draft, segments / CHUNK)
    tar = whole(part("s1", relative(CHUNK), relative(INDEX)))
    with pytest.raises(UnprovenFiles, match="removed since the request") as caught:
        put_together(selection, segments, tar, iter([time.time_ns() - 3600 * 10**9]))
    assert caught.value.files == {CHUNK}

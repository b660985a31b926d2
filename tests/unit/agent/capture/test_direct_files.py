"""Members of a tar that are read from files on the disk."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Unavailable
from cleancut_agent.capture.direct_files import DONTCACHE, DirectFile
from cleancut_agent.capture.page_cache import cached_pages, drop_pages
from cleancut_agent.capture.selection import OpenFile, state_of

HOLE = 256 << 10


def opened(file: Path) -> OpenFile:
    handle = os.open(file, os.O_RDONLY)
    status = os.fstat(handle)
    return OpenFile("s/vectors/" + file.name, handle, status, state_of(status))


def read(file: Path, piece_bytes: int = 4 << 20) -> tuple[DirectFile, bytes]:
    source = opened(file)
    try:
        direct = DirectFile(source)
        return direct, b"".join(direct.pieces(piece_bytes))
    finally:
        os.close(source.handle)


def unpacked(direct: DirectFile, stored: bytes) -> bytes:
    raw = direct.header + stored + bytes(-len(stored) % 512) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        (member,) = tar.getmembers()
        assert member.name == direct.path
        reader = tar.extractfile(member)
        assert reader is not None
        return reader.read()


@pytest.mark.parametrize("size", [0, 1, 4096, 70_001])
def test_a_file_without_holes_is_a_plain_member(tmp_path: Path, size: int) -> None:
    file = tmp_path / "chunk"
    file.write_bytes(os.urandom(size))
    direct, stored = read(file, piece_bytes=1000)
    assert direct.path == "segments/s/files/vectors/chunk"
    assert direct.header[156:157] == b"0"
    assert stored == file.read_bytes()
    assert unpacked(direct, stored) == file.read_bytes()


@pytest.mark.parametrize("holes", [1, 2, 4, 9, 30, 60])
@pytest.mark.parametrize("begins_with", ["data", "hole"])
@pytest.mark.parametrize("ends_with", ["data", "hole"])
def test_holes_are_not_stored(tmp_path: Path, holes: int, begins_with: str, ends_with: str) -> None:
    file = tmp_path / ("chunk" * 30)
    with file.open("wb") as out:
        for number in range(holes):
            if number or begins_with == "data":
                out.write(os.urandom(4096))
            out.seek(HOLE, os.SEEK_CUR)
        if ends_with == "data":
            out.write(os.urandom(4096))
        else:
            out.truncate()
    if os.stat(file).st_blocks * 512 >= os.stat(file).st_size:
        pytest.skip("the file system keeps no holes")
    direct, stored = read(file)
    assert b"S" in {direct.header[156:157], direct.header[1180:1181]}
    assert direct.stored_bytes == len(stored) < HOLE
    assert unpacked(direct, stored) == file.read_bytes()


def test_a_file_of_holes_alone_stores_nothing(tmp_path: Path) -> None:
    file = tmp_path / "chunk"
    file.touch()
    os.truncate(file, HOLE)
    direct, stored = read(file)
    assert stored == b""
    assert unpacked(direct, stored) == bytes(HOLE)


def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "chunk"
    file.write_bytes(os.urandom(10_000))
    source = opened(file)
    direct = DirectFile(source)
    os.truncate(file, 5_000)
    with pytest.raises(Unavailable, match="ends at byte 5000"):
        list(direct.pieces())
    os.close(source.handle)


def test_a_file_system_that_does_not_take_the_flag_is_read_without_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chunk"
    file.write_bytes(os.urandom(10_000))
    source = opened(file)
    stored = b"".join(DirectFile(source, flags=1 << 30).pieces(4096))
    os.close(source.handle)
    assert stored == file.read_bytes()


@pytest.mark.parametrize("flags", [DONTCACHE, 1 << 30], ids=["by flag", "by hand"])
def test_a_cold_file_leaves_nothing_in_the_page_cache_and_a_warm_one_all(
    tmp_path: Path, flags: int
) -> None:
    file = tmp_path / "chunk"
    file.write_bytes(os.urandom(1 << 20))
    source = opened(file)
    if cached_pages(source.handle, 0, 1 << 20) != (1 << 20) // os.sysconf("SC_PAGESIZE"):
        pytest.skip("the kernel does not say what is in the page cache")
    os.fsync(source.handle)
    warm = cached_pages(source.handle, 0, 1 << 20)
    assert b"".join(DirectFile(source, flags).pieces(200_000)) == file.read_bytes()
    assert cached_pages(source.handle, 0, 1 << 20) == warm
    drop_pages(source.handle, 0, 0)
    assert cached_pages(source.handle, 0, 1 << 20) == 0
    assert len(b"".join(DirectFile(source, flags).pieces(1 << 18))) == 1 << 20
    assert cached_pages(source.handle, 0, 1 << 20) == 0
    os.close(source.handle)

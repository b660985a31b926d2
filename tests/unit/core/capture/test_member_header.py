"""Headers of members: byte for byte what Qdrant's own writer makes of the same files."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from cleancut.core.capture.member_header import UNIT, MemberFacts, member_header
from cleancut.repository.shards.tar_scanner import MemberStart, TarScan

TARS = sorted(Path("tests/data").glob("qdrant-*/*.tar.gz"))


def field(unit: bytes, at: int, width: int) -> int:
    return int(unit[at : at + width].strip(b"\0 ") or b"0", 8)


def facts_of(path: str, header: bytes) -> MemberFacts:
    """What a header of up to four extents says."""
    unit = header[UNIT + (field(header, 124, 12) + UNIT - 1) // UNIT * UNIT :]
    unit = unit if header[156:157] == b"L" else header
    extents = None
    if unit[156:157] == b"S":
        found = [(field(unit, at, 12), field(unit, at + 12, 12)) for at in range(386, 482, 24)]
        extents = tuple(one for one in found if one[1])
    return MemberFacts(
        path,
        mode=field(unit, 100, 8),
        uid=field(unit, 108, 8),
        gid=field(unit, 116, 8),
        mtime_s=field(unit, 136, 12),
        size_bytes=field(unit, 124, 12) if extents is None else field(unit, 483, 12),
        extents=extents,
    )


@pytest.mark.parametrize("tar", TARS, ids=lambda path: path.name)
def test_headers_are_those_of_qdrant(tar: Path) -> None:
    kinds = set()
    for event in TarScan().feed(gzip.decompress(tar.read_bytes())):
        if isinstance(event, MemberStart) and "/files/" in event.path:
            facts = facts_of(event.path, event.header)
            assert member_header(facts) == event.header, event.path
            assert facts.stored_bytes == event.stored_bytes
            kinds.add((facts.extents is not None, len(event.header) > UNIT))
    assert len(kinds) == 4  # with and without holes, short names and long ones


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 24, 25, 26, 46, 200])
@pytest.mark.parametrize("length", [30, 100, 101, 511, 512, 900])
def test_any_number_of_extents_and_any_name_is_read_back(count: int, length: int) -> None:
    name = "n" * 40 + "é" * ((length - 40) // 2) if length > 40 else "n" * length
    extents = tuple((8192 * one, 4096) for one in range(count))
    facts = MemberFacts(name, 0o100600, 1000, 1000, 1_700_000_000, 1 << 21, extents)
    data = b"".join(bytes([1 + one % 255]) * 4096 for one in range(count))
    raw = member_header(facts) + data + bytes(1024)
    starts = [one for one in TarScan().feed(raw) if isinstance(one, MemberStart) and one.header]
    assert [(one.path, one.stored_bytes) for one in starts] == [(name, 4096 * count)]
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.size, member.mode & 0o777) == (name, 1 << 21, 0o600)
        reader = tar.extractfile(member)
        assert reader is not None
        whole = reader.read()
    expected = bytearray(1 << 21)
    for number, (at, size) in enumerate(extents):
        expected[at : at + size] = bytes([1 + number % 255]) * size
    assert whole == expected


def test_a_file_of_more_than_eight_gibibytes_has_its_size_in_binary() -> None:
    facts = MemberFacts("x", 0o100644, 0, 3_000_000, -1, 9 << 30)
    (start,) = TarScan().feed(member_header(facts))
    assert isinstance(start, MemberStart)
    assert start.stored_bytes == 9 << 30

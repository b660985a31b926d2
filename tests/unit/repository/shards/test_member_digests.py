"""Digests of files in tars: by their content once holes are filled."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.capture.member_header import MemberFacts, extents_of, member_header
from cleancut.core.primitives.errors import Corrupt
from cleancut.repository.shards.member_digests import digest_members
from tests.support.capturing import END, recorded

HOLE = 8192


def tar_of(path: str, data: bytes, extents: tuple[tuple[int, int], ...] | None) -> bytes:
    facts = MemberFacts(path, 0o644, 0, 0, 0, len(data), extents)
    parts = [data] if extents is None else [data[at : at + size] for at, size in extents]
    stored = b"".join(parts)
    return member_header(facts) + stored + bytes(-len(stored) % 512) + END


def digests_of(tar: bytes, piece: int) -> dict[str, tuple[int, str]]:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(tar), piece):
            yield tar[at : at + piece]

    found = asyncio.run(digest_members(chunks()))
    return {path: (one.size_bytes, one.digest) for path, one in found.items()}


@given(st.integers(0, 60), st.booleans(), st.integers(500, 9000))
def test_holes_make_no_difference(holes: int, ends_with_data: bool, piece: int) -> None:
    """However many there are: in the header, and in units behind it."""
    data, extents = b"", []
    for number in range(holes):
        data += bytes(HOLE)
        if number + 1 < holes or ends_with_data:
            extents.append((len(data), 1000))
            data += os.urandom(1000)
    path = "segments/s/files/" + "long/" * 30 + "chunk"
    header = member_header(MemberFacts(path, 0o644, 0, 0, 0, len(data), tuple(extents)))
    assert extents_of(header) == (len(data), tuple(extents))
    expected = {path: (len(data), blake3(data).hexdigest())}
    assert digests_of(tar_of(path, data, tuple(extents)), piece) == expected
    assert digests_of(tar_of(path, data, None), piece) == expected


def test_a_recorded_shard_has_all_its_files() -> None:
    found = digests_of(recorded("t0-shard0"), 1 << 16)
    assert {path.split("/")[0] for path in found} >= {"segments", "wal"}
    assert not any(path.endswith("/") for path in found)


def test_a_tar_that_ends_early_is_refused(tmp_path: Path) -> None:
    tar = recorded("t0-shard0")
    with pytest.raises(Corrupt, match="ended early"):
        digests_of(tar[: len(tar) // 2], 1 << 16)

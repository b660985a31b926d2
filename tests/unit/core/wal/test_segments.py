"""New segment files: named, measured beforehand, and read back as what they were made of."""

from __future__ import annotations

import random

import pytest

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.wal.framing import HEADER_BYTES, parse_entries, seed_of
from cleancut.core.wal.segments import (
    acknowledged_in,
    build_segments,
    closed_at,
    open_as,
    plan_segments,
)


@pytest.mark.parametrize("limit", [8, 64, 300, 1 << 20])
def test_files_hold_exactly_the_entries_in_the_size_that_was_planned(limit: int) -> None:
    rng = random.Random(limit)
    for count in (0, 1, 2, 40):
        entries = [rng.randbytes(rng.randrange(200)) for _ in range(count)]
        plans = plan_segments(map(len, entries), 17, limit)
        read: list[bytes] = []
        for segment in build_segments(plans, iter(entries)):
            raw = b"".join(segment.chunks)
            assert len(raw) == segment.size_bytes
            assert segment.name == f"closed-{17 + len(read)}"
            body = raw[HEADER_BYTES:]
            read += [f.data for f in parse_entries(body, seed_of(raw), len(body)).frames]
        assert read == entries
        assert sum(plan.count for plan in plans) == count


def test_entries_other_than_planned_are_refused() -> None:
    plans = plan_segments([10, 10], 0)
    for entries in ([b"x" * 10], [b"x" * 10, b"x" * 30], [b"x" * 10, b""]):
        with pytest.raises(Corrupt):
            [b"".join(segment.chunks) for segment in build_segments(plans, iter(entries))]


def test_names() -> None:
    assert (closed_at("closed-12"), closed_at("open-12"), closed_at("closed-x")) == (12, None, None)
    assert (open_as("open-3"), open_as("tmp-open-3"), open_as("open-")) == (3, None, None)


def test_the_acknowledged_index() -> None:
    assert acknowledged_in(b'{"ack_index":12}') == 12
    assert acknowledged_in(None) is None
    assert acknowledged_in(b"{") is None
    assert acknowledged_in(b'{"ack_index":"x"}') is None

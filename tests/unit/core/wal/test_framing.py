"""Framing: entries in a chain of checksums, and torn ones that are not there yet."""

from __future__ import annotations

import random

import pytest

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.wal.framing import (
    HEADER_BYTES,
    frame,
    frame_bytes,
    header,
    parse_entries,
    seed_of,
    stored,
)

REAL = bytes.fromhex("77616c00d20c1bf2")
"""The header of a segment as Qdrant 1.18.3 writes it."""


def chain(seed: int, datas: list[bytes]) -> tuple[bytes, int]:
    out, crc = b"", seed
    for data in datas:
        entry = frame(crc, data)
        out, crc = out + stored(entry), entry.crc
    return out, crc


def some(rng: random.Random, count: int) -> list[bytes]:
    return [rng.randbytes(rng.choice((0, 1, 3, 4, 5, 8, 100))) for _ in range(count)]


def test_what_is_framed_is_parsed() -> None:
    rng = random.Random(1)
    for seed in range(50):
        datas = some(rng, 12)
        raw, crc = chain(seed, datas)
        parsed = parse_entries(raw, seed, len(raw))
        assert [entry.data for entry in parsed.frames] == datas
        assert parsed.frames[-1].crc == crc
        assert parsed.size_bytes == len(raw) == sum(frame_bytes(len(data)) for data in datas)
        assert all(entry.size_bytes % 8 == 0 for entry in parsed.frames)


def test_a_tail_torn_at_any_byte_is_not_there_yet() -> None:
    """Whatever part of the last entry is written, those before it are read, and it is not."""
    datas = [b"first", b"the second", b"\x00" * 21]
    raw, _ = chain(7, datas)
    whole = len(raw) - frame_bytes(21)
    for written in range(len(raw) + 1):
        buffer = raw[:written] + bytes(len(raw) + 64 - written)
        found = parse_entries(buffer, 7, len(buffer)).frames
        expected = sum(1 for end in (16 + 8, whole, len(raw)) if written >= end)
        assert len(found) in {expected, expected + (raw[written:].strip(b"\0") == b"")}
        assert [entry.data for entry in found] == datas[: len(found)]


def test_a_short_buffer_says_how_much_it_needs() -> None:
    raw, _ = chain(7, [b"x" * 1000])
    for length in range(len(raw)):
        parsed = parse_entries(raw[:length], 7, len(raw))
        assert parsed.frames == ()
        assert length < parsed.need_bytes <= len(raw)
    assert parse_entries(raw, 7, len(raw)).need_bytes == 0


def test_a_length_beyond_the_file_is_no_entry() -> None:
    raw = (1 << 62).to_bytes(8, "little") + bytes(64)
    parsed = parse_entries(raw, 7, len(raw))
    assert (parsed.frames, parsed.need_bytes, parsed.torn) == ((), 0, True)


def test_a_flipped_byte_ends_the_chain() -> None:
    datas = [b"one", b"two", b"three"]
    raw, _ = chain(9, datas)
    for at in range(len(raw)):
        harmed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        found = parse_entries(harmed, 9, len(harmed)).frames
        assert len(found) < 3
        assert [entry.data for entry in found] == datas[: len(found)]


def test_a_header_names_its_seed_or_is_refused() -> None:
    assert seed_of(header(0xF21B0CD2)) == 0xF21B0CD2
    assert header(0xF21B0CD2) == REAL
    for head in (b"", b"wal", b"wal\1\0\0\0\0", b"lsm\0\0\0\0\0"):
        with pytest.raises(Corrupt):
            seed_of(head)
    assert HEADER_BYTES == 8

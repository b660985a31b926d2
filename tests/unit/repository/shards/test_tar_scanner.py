"""The scan of a tar stream: every byte accounted for, whatever the chunks."""

from __future__ import annotations

import io
import random
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.repository.shards.tar_scanner import (
    Event,
    MemberData,
    MemberEnd,
    MemberStart,
    TarScan,
)
from tests.support.capturing import END, UNIT, member, recorded


def scan(tar: bytes, size: int) -> list[Event]:
    scanner = TarScan()
    events = [e for at in range(0, len(tar), size) for e in scanner.feed(tar[at : at + size])]
    assert scanner.offset == len(tar)
    return events


def joined(events: list[Event]) -> list[tuple[str, bytes, bytes, bytes | None]]:
    """Members as (path, header, data, padding), the end of the archive as the last one."""
    found: list[tuple[str, bytes, bytes, bytes | None]] = []
    for event in events:
        match event:
            case MemberStart():
                found.append((event.path, event.header, b"", None))
            case MemberData():
                path, header, data, _ = found[-1]
                found[-1] = (path, header, data + bytes(event.piece), None)
            case MemberEnd():
                path, header, data, _ = found[-1]
                found[-1] = (path, header, data, event.padding or bytes(-len(data) % UNIT))
    return found


@pytest.mark.parametrize("version", ["1.18.3", "1.19.0"])
def test_real_streams_come_out_as_tarfile_reads_them(version: str) -> None:
    """Names, order and stored sizes are those that Python's own reader sees, sparse ones too."""
    for name in ("t0-shard0", "t0-shard1", "t1-shard0", "t1-shard1"):
        tar = recorded(name, version)
        found = joined(scan(tar, 5000))
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            known = archive.getmembers()
        assert [path.rstrip("/") for path, *_ in found[:-1]] == [m.name for m in known]
        assert [p for p, *_ in found if p.endswith("version.info")]
        assert sum(m.issparse() for m in known) > 5, "the recording shows sparse members"
        for (path, _, data, _), entry in zip(found, known, strict=False):
            if not entry.issparse():
                assert len(data) == entry.size, path
        assert b"".join(h + d + (p or b"") for _, h, d, p in found) == tar


names = st.one_of(
    st.sampled_from(["wal", "a/b"]),
    st.text("abc/é", min_size=1, max_size=300).map(lambda t: "x" + t),
)
members = st.builds(
    member,
    names,
    st.integers(0, 3000).map(lambda n: random.Random(n).randbytes(n)),
    map_units=st.integers(0, 4),
    padding=st.sampled_from([b"", b"\1" * 511]),
)


@settings(max_examples=150)
@given(st.lists(members, max_size=5), st.integers(1, 2000), st.binary(max_size=700))
def test_no_byte_is_lost(parts: list[bytes], size: int, trailing: bytes) -> None:
    """Headers, data, padding and what ends the archive, put together again, are the tar; and the
    events do not depend on the chunks."""
    tar = b"".join(parts) + END + trailing
    found = joined(scan(tar, size))
    assert b"".join(h + d + (p or b"") for _, h, d, p in found) == tar
    assert len(found) == len(parts) + 1
    assert found == joined(scan(tar, len(tar)))
    assert found[-1] == ("", b"", END + trailing, None)


def test_long_names_and_extensions_belong_to_the_header() -> None:
    name = "segments/" + "n" * 300
    tar = member(name, b"abc", map_units=3) + END
    first = joined(scan(tar, 100))[0]
    assert first == (name, tar[: 5 * UNIT], b"abc", bytes(509))


def test_sizes_over_eight_gib_are_read() -> None:
    """GNU tar writes these in base 256; the scan must not take them for text."""
    header = member("big", b"")[:124] + b"\x80" + (10 << 30).to_bytes(11, "big")
    header += member("big", b"")[136:UNIT]
    header = header[:148] + b" " * 8 + header[156:]
    header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
    assert scan(header, 512) == [MemberStart("big", header, 10 << 30)]


def test_ended_only_after_the_first_zero_block() -> None:
    scanner = TarScan()
    scanner.feed(member("a", b"1"))
    assert not scanner.ended
    scanner.feed(bytes(UNIT))
    assert scanner.ended


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda t: t[:5] + b"!" + t[6:], Corrupt),
        (lambda t: random.Random(1).randbytes(2048), Corrupt),
        (lambda t: t[:3000] + b"x" * 2000, Corrupt),
        (lambda t: member("p", b"a=b", kind=b"x") + t, Refused),
        (lambda t: member("link", kind=b"2") + t, Refused),
        (lambda t: member("", b"") + t, Corrupt),
        (lambda t: member("n" * 150)[: 2 * UNIT] + END, Corrupt),
    ],
    ids=["flipped", "garbage", "html", "pax", "symlink", "nameless", "name-only"],
)
def test_what_is_no_such_tar_is_refused(damage, kind) -> None:  # type: ignore[no-untyped-def]
    """Damage shows at once, before anything is called a backup."""
    with pytest.raises(kind):
        scan(damage(member("a", b"1" * 2048) + END), 512)

"""Records of the archive: chunks come back as written, and damage is found; marks are judged."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from cleancut.core.archive.chunk import (
    START_BYTES,
    compress_body,
    head_bytes,
    make_chunk,
    open_body,
    parse_head,
)
from cleancut.core.archive.records import ChunkHead, ChunkPart, Look, Mark, MarkEnd, MarkRound
from cleancut.core.format.paths import ChunkPath, parse_chunk_name, parse_mark_ms
from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.wal.tail import Position

ENTRIES = [b"first", b"", b"x" * 5000]


def part(chain: str = "c1", first: int = 7) -> ChunkPart:
    return ChunkPart(
        chain=chain,
        collection="col",
        shard=ShardId(2),
        first=first,
        last=first + len(ENTRIES) - 1,
        lengths=tuple(map(len, ENTRIES)),
        looks=(Look(at_ms=1000, last=first),),
        position=Position(seed=1, start=0, count=first + 3, offset=900, crc=5),
    )


def chunk(*parts: ChunkPart) -> tuple[ChunkHead, str, bytes]:
    body = compress_body(b"".join(ENTRIES) * len(parts))
    return make_chunk(body, parts, stream="s", number=3, previous="ab", made_at_ms=1)


def split(data: bytes) -> tuple[bytes, bytes]:
    end = START_BYTES + head_bytes(data[:START_BYTES], "here")
    return data[START_BYTES:end], data[end:]


@pytest.mark.parametrize("count", [1, 2, 2000])
def test_a_chunk_comes_back_as_it_was_written(count: int) -> None:
    written, digest, data = chunk(*(part(f"c{n}") for n in range(count)))
    head, body = split(data)
    assert parse_head(head, "here") == (written, digest)
    assert open_body(written, body, "here") == b"".join(ENTRIES) * count


def test_damage_is_found_wherever_it_is() -> None:
    head, _, data = chunk(part())
    stored, body = split(data)
    for at in (0, len(body) // 2, len(body) - 1):
        hurt = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises(Corrupt):
            open_body(head, hurt, "here")
    with pytest.raises(Corrupt):
        open_body(head, body[:-1], "here")
    with pytest.raises(Corrupt):
        parse_head(stored[:-1], "here")
    for start in (b"", b"CLEANPAK" + data[8:16], b"CLEANWAL" + b"\1\0\0\0" + b"\xff" * 4):
        with pytest.raises(Corrupt):
            head_bytes(start, "here")


def test_a_later_format_is_refused() -> None:
    with pytest.raises(Refused, match="format 2"):
        head_bytes(b"CLEANWAL" + b"\2\0\0\0" + b"\1\0\0\0", "here")


def test_a_head_that_contradicts_itself_is_corrupt() -> None:
    wrong = replace(part(), last=20)
    _, _, data = chunk(wrong)
    with pytest.raises(Corrupt, match=r"7\.\.20"):
        parse_head(split(data)[0], "here")


def test_names_of_chunks_and_marks_say_when_they_were_made() -> None:
    assert parse_chunk_name("s/000000000007-1764461449000") == ChunkPath("s", 7, 1764461449000)
    assert parse_chunk_name("s/x-1") is None
    assert parse_mark_ms("1764461449000-before-deploy") == 1764461449000
    assert parse_mark_ms("note") is None


def ends(*lasts: int) -> tuple[MarkEnd, ...]:
    return tuple(
        MarkEnd(collection="col", shard=ShardId(n), peer=PeerId(1), chain=f"c{n}", last=last)
        for n, last in enumerate(lasts)
    )


def test_a_mark_is_one_instant_only_if_nothing_moved_between_its_rounds() -> None:
    good = Mark(
        at_ms=5,
        before=MarkRound(number=3, ends=ends(4, 9)),
        after=MarkRound(number=4, ends=ends(4, 9)),
    )
    assert not good.doubt
    assert [end.last for end in good.ends] == [4, 9]
    for worse, word in [
        (replace(good, after=MarkRound(number=4, ends=ends(4, 10))), "shard 1"),
        (replace(good, after=MarkRound(number=4, ends=ends(4))), "shard 1"),
        (replace(good, after=MarkRound(number=3, ends=ends(4, 9))), "does not follow"),
        (
            replace(good, before=MarkRound(number=1, ends=()), after=MarkRound(number=2, ends=())),
            "no shard",
        ),
        (
            replace(
                good,
                before=MarkRound(number=1, ends=ends(4) * 2),
                after=MarkRound(number=2, ends=ends(4) * 2),
            ),
            "twice",
        ),
    ]:
        assert word in worse.doubt


def test_chunks_of_a_stream_hang_together_by_their_heads() -> None:
    previous, heads = "", []
    for number in range(3):
        head, digest, _ = make_chunk(
            compress_body(b""), (), stream="s", number=number, previous=previous, made_at_ms=number
        )
        heads.append((head, digest))
        previous = digest
    assert all(after.previous == digest for (_, digest), (after, _) in pairwise(heads))

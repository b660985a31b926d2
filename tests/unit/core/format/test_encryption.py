"""Encrypted objects: what was written comes back, and whatever was changed is found."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.format.encryption import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
    Span,
    WrappedKey,
    decrypt,
    encrypt,
    encrypted_bytes,
    parse_header,
    plain_bytes,
    unwrap,
    wrap,
)
from cleancut.core.format.store_keys import StoreKey, parse_store_keys
from cleancut.core.primitives.errors import Corrupt, Invalid

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PATH = "c/packs/1"
WHOLE = SEGMENT_BYTES + TAG_BYTES
edges = st.sampled_from([0, 1, SEGMENT_BYTES, 2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES])
sizes = st.builds(lambda edge, off: max(0, edge + off), edges, st.integers(-2, 2))


def content(size_bytes: int) -> bytes:
    return (bytes(range(251)) * (size_bytes // 251 + 1))[:size_bytes]


def opened(
    stored: bytes, offset: int = 0, length: int | None = None, *, key: bytes = KEY, path: str = PATH
) -> bytes:
    """A range of the contents, read as a store would."""
    span = Span.of(offset, length)
    end = None if span.length is None else span.start + span.length
    data = decrypt(
        key, parse_header(stored, path), path, span=span, stored=stored[span.start : end]
    )
    start = offset - span.offset
    return data[start : None if length is None else start + length]


@given(sizes, sizes, st.none() | sizes)
def test_every_range_is_what_was_written(size: int, offset: int, length: int | None) -> None:
    """Also those that begin or end where segments do, or past the end."""
    data = content(size)
    stored = encrypt(KEY, 1, PATH, data)
    end = None if length is None else offset + length
    assert opened(stored, offset, length) == data[offset:end]
    assert len(stored) == encrypted_bytes(size)
    assert plain_bytes(len(stored)) == size


@given(sizes, st.data())
def test_a_changed_byte_is_found_wherever_it_is(size: int, data: st.DataObject) -> None:
    """Of the header too: magic, version, flags, key number, salt and what is kept free."""
    stored = bytearray(encrypt(KEY, 1, PATH, content(size)))
    at = data.draw(st.integers(0, len(stored) - 1) | st.integers(0, HEADER_BYTES - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Corrupt):
        opened(bytes(stored))


@given(sizes, st.data())
def test_an_object_that_was_cut_off_is_found(size: int, data: st.DataObject) -> None:
    """Where segments end too: the last one is marked as such."""
    stored = encrypt(KEY, 1, PATH, content(size))
    ends = [end for n in range(5) if (end := HEADER_BYTES + n * WHOLE) < len(stored)]
    cut = data.draw(st.integers(0, len(stored) - 1) | st.sampled_from(ends))
    with pytest.raises(Corrupt):
        opened(stored[:cut])


def test_segments_cannot_change_places_and_nothing_follows_the_last() -> None:
    stored = encrypt(KEY, 1, PATH, content(3 * SEGMENT_BYTES))
    start, parts = (
        stored[:HEADER_BYTES],
        [stored[HEADER_BYTES + n * WHOLE :][:WHOLE] for n in (0, 1, 2)],
    )
    for order in ((1, 0, 2), (0, 0, 2), (0, 1, 1), (0, 1, 2, 2), (0, 2)):
        with pytest.raises(Corrupt, match="authentication"):
            opened(start + b"".join(parts[n] for n in order))


def test_an_object_belongs_to_its_path_and_its_key() -> None:
    """What was copied to another path, or made with another key, is not taken for what is there."""
    stored = encrypt(KEY, 1, PATH, b"content")
    with pytest.raises(Corrupt):
        opened(stored, path="c/packs/2")
    with pytest.raises(Corrupt):
        opened(stored, key=OTHER)
    with pytest.raises(Corrupt, match="is not encrypted"):
        opened(b"content")


def test_the_same_put_is_the_same_object_and_no_two_have_a_key_in_common() -> None:
    """A repeat puts equal bytes; another content, path or data key has another salt."""
    stored = encrypt(KEY, 1, PATH, b"content")
    assert encrypt(KEY, 1, PATH, b"content") == stored
    others = [
        encrypt(KEY, 1, PATH, b"Content"),
        encrypt(KEY, 1, PATH + "1", b"content"),
        encrypt(KEY, 1, "c/packs/1c", b"ontent"),
        encrypt(OTHER, 1, PATH, b"content"),
    ]
    assert len({parse_header(one, PATH).salt for one in (stored, *others)}) == 5


def store_key(secret: bytes = KEY) -> StoreKey:
    return parse_store_keys(base64.b64encode(secret).decode())[0]


def test_what_a_store_key_looks_like() -> None:
    """One a line, comments aside; errors and representations never show a secret."""
    first, second = (base64.b64encode(one).decode() for one in (KEY, OTHER))
    keys = parse_store_keys(f"# ours\n{first}\n\n  {second}\n{first}\n")
    assert [one.secret for one in keys] == [KEY, OTHER]
    assert first not in repr(keys)
    assert KEY.hex() not in repr(keys)
    for wrong in ("", "# none", "not base64!", first[:-4], f"{first}\nxx"):
        with pytest.raises(Invalid) as refused:
            parse_store_keys(wrong)
        assert "cleancut key new" in refused.value.hint
        assert first not in str(refused.value)


def test_a_data_key_is_opened_by_its_store_key_alone() -> None:
    """Not by another one, not as another number or of another cluster, not if it was changed."""
    mine, other = store_key(), store_key(OTHER)
    text = wrap(mine, "c", 1, OTHER, nonce=bytes(12))
    wrapped = WrappedKey(number=1, id=mine.id, wrapped=text, created_at="")
    assert unwrap([other, mine], "c", wrapped) == OTHER
    assert unwrap([other], "c", wrapped) is None
    flipped = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
    for cluster, changed in (
        ("d", wrapped),
        ("c", WrappedKey(number=2, id=mine.id, wrapped=text, created_at="")),
        ("c", WrappedKey(number=1, id=mine.id, wrapped=flipped, created_at="")),
        ("c", WrappedKey(number=1, id=mine.id, wrapped="?", created_at="")),
    ):
        with pytest.raises(Corrupt):
            unwrap([mine], cluster, changed)

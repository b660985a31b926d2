"""Recipes, pages and the rules of a complete shard tar, as pure values."""

from __future__ import annotations

import random

import msgspec
import pytest
import zstandard
from blake3 import blake3

from cleancut.core.format.pack_uses import PackUse
from cleancut.core.format.page import (
    BLOCK_BYTES,
    PACK_HEADER_BYTES,
    PAGE_BLOCKS,
    PAGE_LITERAL_BYTES,
    Block,
    BlockKind,
    Page,
    PageBuilder,
    open_page,
    pack_header,
    seal,
)
from cleancut.core.format.recipe import (
    Completeness,
    PageRef,
    Recipe,
    RecipeIndex,
    TarMember,
    block_labels,
    check_format,
    encode_format,
    marks_cut,
    open_recipe,
)
from cleancut.core.primitives.errors import Corrupt, Invalid, Refused
from cleancut.core.primitives.ids import Sha256

ORIGIN = "000000000007/aa"
BLOCKS = [
    Block(BlockKind.ZERO),
    Block(BlockKind.LITERAL, bytes([1]) * 32, literal=b"small"),
    Block(BlockKind.PACKED, bytes([2]) * 32, "7/aa/0", 64, BLOCK_BYTES),
    Block(BlockKind.LITERAL_ZSTD, bytes([3]) * 32, literal=b"zip"),
    Block(BlockKind.PACKED_ZSTD, bytes([4]) * 32, "6/bb/3", 4096, 1000),
    Block(BlockKind.PACKED, bytes([5]) * 32, "7/aa/0", 9000, 77),
]


def build(blocks: list[Block]) -> Page:
    builder = PageBuilder()
    for block in blocks:
        builder.add(block)
    return builder.page(ORIGIN)


def test_a_page_gives_back_its_blocks() -> None:
    """Through the encoding and its digest, each kind of entry comes back as it was."""
    digest, stored = seal(build(BLOCKS))
    page = open_page(digest, stored)
    assert [page.block(n) for n in range(len(page))] == BLOCKS
    assert page.packs == ("7/aa/0", "6/bb/3")


def test_the_encoding_is_canonical() -> None:
    """The digest is that of known bytes: another program can compute it."""
    page = build(BLOCKS[:2])
    digest, _ = seal(page)
    known = msgspec.msgpack.encode(
        [ORIGIN, [], b"\0\1", bytes(32) + bytes([1]) * 32,
         bytes(12) + bytes(8) + b"\5\0\0\0", b"small"]
    )  # fmt: skip
    assert digest == blake3(known).hexdigest()


def test_pages_are_full_by_count_or_by_literals() -> None:
    """Both bounds hold, so that a page never needs much memory."""
    by_count, by_size = PageBuilder(), PageBuilder()
    for _ in range(PAGE_BLOCKS):
        assert not by_count.full()
        by_count.add(Block(BlockKind.ZERO))
    assert by_count.full()
    for _ in range(PAGE_LITERAL_BYTES // 4096):
        assert not by_size.full()
        by_size.add(Block(BlockKind.LITERAL, literal=bytes(4096)))
    assert by_size.full()


@pytest.mark.parametrize(
    "change",
    [
        {"digests": bytes(32)},
        {"places": bytes(12)},
        {"kinds": bytes([9]) * len(BLOCKS)},
        {"packs": ("only one",)},
        {"literals": b""},
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_page_that_makes_no_sense_is_corrupt(change: dict[str, object]) -> None:
    """Even under its right digest a page has to point inside of itself."""
    with pytest.raises(Corrupt):
        open_page(*seal(msgspec.structs.replace(build(BLOCKS), **change)))


def test_damaged_documents_are_corrupt() -> None:
    """Another digest, a flipped byte, a cut, another type, a bomb: never read as a page."""
    digest, stored = seal(build(BLOCKS))
    bomb = zstandard.ZstdCompressor().compress(bytes(9 * 1024 * 1024))
    recipe = seal(make_recipe([3 * BLOCK_BYTES + 1]))
    for name, data in [
        ("0" * 64, stored),
        (digest, stored[:-1]),
        (digest, b""),
        (digest, bytes([*stored[:-3], stored[-3] ^ 1, *stored[-2:]])),
        (blake3(bytes(9 * 1024 * 1024)).hexdigest(), bomb),
        recipe,
    ]:
        with pytest.raises(Corrupt):
            open_page(name, data)


def make_recipe(sizes: list[int], page_sizes: list[int] | None = None) -> Recipe:
    members = [TarMember(f"m{n}", bytes(512), size) for n, size in enumerate(sizes)]
    members.append(TarMember("", b"", 1024))
    count = sum(-(-m.stored_bytes // BLOCK_BYTES) for m in members)
    refs = [PageRef(f"{n:064d}", size) for n, size in enumerate(page_sizes or [count])]
    total = sum(m.tar_bytes() for m in members)
    uses = (PackUse("7/aa/0", 5),)
    return Recipe(ORIGIN, tuple(members), tuple(refs), uses, Sha256("0" * 64), total)


def test_a_recipe_comes_back() -> None:
    recipe = make_recipe([0, 5, BLOCK_BYTES * 2 + 1])
    assert open_recipe(*seal(recipe)) == recipe
    labels = list(block_labels(recipe))
    assert labels[0] == "block 0 of m1"
    assert labels[3:] == ["block 2 of m2", "block 0 of the end of the archive"]


@pytest.mark.parametrize("change", [{"tar_bytes": 7}, {"pages": ()}])
def test_a_recipe_has_to_add_up(change: dict[str, object]) -> None:
    with pytest.raises(Corrupt):
        open_recipe(*seal(msgspec.structs.replace(make_recipe([9]), **change)))


def test_a_recipe_that_claims_blocks_without_end_is_refused_at_once() -> None:
    """By its numbers alone: nothing is made for each claimed block."""
    blocks = 10**10
    hostile = make_recipe([blocks * BLOCK_BYTES], [blocks + 1])
    with pytest.raises(Corrupt, match="page of more than"):
        open_recipe(*seal(hostile))
    with pytest.raises(Corrupt):
        open_recipe(*seal(make_recipe([9], [0, 2])))


def test_a_block_of_more_bytes_than_a_block_is_refused() -> None:
    huge = Block(BlockKind.PACKED, b"1" * 32, "1/a/0", 64, BLOCK_BYTES + 1)
    with pytest.raises(Corrupt, match="claims"):
        open_page(*seal(build([huge])))


def test_blocks_are_found_by_member_and_index() -> None:
    """As counting through all members and pages finds them, and never past a member's end."""
    recipe = make_recipe([5, 0, 3 * BLOCK_BYTES, 4 * BLOCK_BYTES + 1], [2, 4, 1, 3])
    index = RecipeIndex.of(recipe)
    slots = [(ref, slot) for ref in recipe.pages for slot in range(ref.blocks)]
    expected = [("m0", 0), *[("m2", n) for n in range(3)], *[("m3", n) for n in range(5)]]
    assert [index.find(path, n) for path, n in expected] == slots[:9]
    for path, n in [("m0", 1), ("m1", 0), ("m2", 3), ("m3", 5), ("none", 0), ("", 0)]:
        assert index.find(path, n) is None


def test_format() -> None:
    """Our own is accepted; another is refused with what to do; nonsense is corrupt."""
    check_format(encode_format())
    assert msgspec.json.decode(encode_format()) == {
        "format": 1, "digest": "blake3-256", "block_size_bytes": 131072,
    }  # fmt: skip
    for key, value in [("format", 2), ("digest", "sha256"), ("block_size_bytes", 65536)]:
        other = msgspec.json.encode(msgspec.json.decode(encode_format()) | {key: value})
        with pytest.raises(Refused) as refused:
            check_format(other)
        assert "release" in refused.value.hint
    for nonsense in (b"", b"{", b"[]", b"{}", b'{"format": null}'):
        with pytest.raises(Corrupt):
            check_format(nonsense)


def test_pack_headers() -> None:
    header = pack_header(bytes(range(32)))
    assert len(header) == PACK_HEADER_BYTES
    assert header[:12] == b"CLEANPAK\1\0\0\0"
    assert header[12:44] == bytes(range(32))
    assert not any(header[44:])
    with pytest.raises(Invalid):
        pack_header(b"short")


WHOLE = [
    "segments/a/files/x", "segments/a/files/version.info", "segments/b/files/version.info",
    "newest_clocks.json", "wal/", "wal/closed-1", "replica_state.json", "shard_config.json",
]  # fmt: skip


def complete(paths: list[str], end: bytes = bytes(1024)) -> None:
    shown = Completeness()
    for path in paths:
        shown.see(path)
    shown.check(end)


def test_a_whole_tar_is_complete_in_any_order() -> None:
    for seed in range(20):
        complete(random.Random(seed).sample(WHOLE, len(WHOLE)))
    complete(["wal", "replica_state.json", "shard_config.json"])


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("segments/a/files/version.info", "version.info of segment a"),
        ("replica_state.json", "replica_state.json"),
        ("shard_config.json", "shard_config.json"),
    ],
)
def test_each_missing_piece_is_named(missing: str, told: str) -> None:
    """Without it Qdrant restores less than there was, and says 200."""
    with pytest.raises(Corrupt, match=f"shard stream ended early: no {told}"):
        complete([p for p in WHOLE if p != missing])


def test_wal_and_end_are_needed_and_members_are_unique() -> None:
    with pytest.raises(Corrupt, match="no wal/"):
        complete([p for p in WHOLE if not p.startswith("wal")])
    for end in (b"", bytes(512), bytes(1023) + b"x"):
        with pytest.raises(Corrupt, match="two zero blocks"):
            complete(WHOLE, end)
    with pytest.raises(Corrupt, match="twice"):
        complete([*WHOLE, "wal/closed-1"])
    with pytest.raises(Corrupt, match=r"version.info of segment c"):
        complete([*WHOLE, "segments/c/"])


def test_what_marks_the_cut() -> None:
    """A segment's member, or one that is written after all segments; never one written before."""
    for path in ("segments/a/files/x", "newest_clocks.json", "wal", "wal/closed-1"):
        assert marks_cut(path)
    for path in ("segments_manifest.json", "", "other", "segments", "walnut"):
        assert not marks_cut(path)

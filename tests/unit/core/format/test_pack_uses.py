"""Uses of packs by page: they add up, come along to another recipe, and are checked when read."""

from __future__ import annotations

import struct

import msgspec
import pytest

from cleancut.core.format.pack_uses import PackUse, UseTally, is_use_of, packs_of
from cleancut.core.format.page import BLOCK_BYTES, Block, BlockKind, Page, PageBuilder, seal
from cleancut.core.format.recipe import PageRef, Recipe, TarMember, open_recipe
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import Sha256


def page_of(*places: tuple[str, int, int]) -> Page:
    builder = PageBuilder()
    for pack, offset, length in places:
        builder.add(Block(BlockKind.PACKED, bytes(32), pack, offset, length))
    return builder.page("origin")


def tally_of(*pages: list[tuple[str, int, int]]) -> tuple[list[bytes], tuple[PackUse, ...]]:
    tally, found = UseTally(), []
    for page in pages:
        for place in page:
            tally.add(*place)
        found.append(tally.end_page())
    return found, tally.packs


def test_uses_add_up() -> None:
    first, second = [("a", 64, 100), ("b", 64, 7), ("a", 500, 10)], [("b", 1000, 3)]
    uses, packs = tally_of(first, second, [])
    assert packs == (PackUse("a", 110, 510), PackUse("b", 10, 1003))
    assert [list(packs_of(one)) for one in uses] == [[0, 1], [1], []]
    assert is_use_of(page_of(*first), uses[0], packs)
    assert is_use_of(page_of(*second), uses[1], packs)
    assert not is_use_of(page_of(*first), uses[1], packs)


def test_uses_come_along_to_another_recipe() -> None:
    """Where the packs have other indexes; the sums are those of the pages that came along."""
    uses, packs = tally_of([("a", 64, 100), ("b", 64, 7)], [("b", 1000, 3)])
    tally = UseTally()
    tally.add("b", 64, 1)
    tally.add("c", 64, 2)
    own = tally.end_page()
    tally.add("d", 64, 5)
    taken = tally.take_over(uses[0], packs)
    assert tally.names() == {"a", "b", "c", "d"}
    last = tally.end_page()
    assert tally.packs == (
        PackUse("b", 8, 71), PackUse("c", 2, 66), PackUse("a", 100, 164), PackUse("d", 5, 69),
    )  # fmt: skip
    assert [list(packs_of(one)) for one in (own, taken, last)] == [[0, 1], [0, 2], [3]]
    assert is_use_of(page_of(("a", 64, 100), ("b", 64, 7)), taken, tally.packs)


def recipe(uses: list[bytes | None], packs: tuple[PackUse, ...]) -> Recipe:
    members = (TarMember("m", bytes(512), len(uses) * BLOCK_BYTES),)
    pages = tuple(PageRef("0" * 64, 1, one) for one in uses)
    size = sum(one.tar_bytes() for one in members)
    return Recipe("7/aa", members, pages, packs, Sha256(""), size)


def test_a_recipe_with_uses_comes_back() -> None:
    uses, packs = tally_of([("a", 64, 100), ("b", 64, 7)], [])
    made = recipe([*uses], packs)
    assert open_recipe(*seal(made)) == made
    assert open_recipe(*seal(recipe([None, None], packs))).pages[0].uses is None


def test_recipes_without_uses_are_read() -> None:
    """As they were written before: a page is its digest and its number of blocks."""
    made = recipe([None], (PackUse("a", 1, 65),))
    raw = msgspec.msgpack.decode(msgspec.msgpack.encode(made))
    raw[2] = [one[:2] for one in raw[2]]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(raw), type=Recipe) == made


A, B = PackUse("a", 100, 164), PackUse("b", 7, 71)


def triple(at: int, live: int = 100, end: int = 164) -> bytes:
    return struct.pack("<III", at, live, end)


@pytest.mark.parametrize(
    ("uses", "packs"),
    [
        ([triple(1)], (A,)),
        ([triple(2**32 - 1)], (A,)),
        ([triple(0)[:-1]], (A,)),
        ([triple(0) + b"x"], (A,)),
        ([triple(0, 50) * 2], (A,)),
        ([triple(1, 7, 71) + triple(0)], (A, B)),
        ([triple(0)], (A, B)),
        ([triple(0), triple(0)], (A,)),
        ([triple(0, live=99)], (A,)),
        ([triple(0, end=165)], (A,)),
        ([triple(0), None], (A,)),
        ([triple(0) + triple(1)], (A, A)),
        ([b""], (A,)),
        ([None], (PackUse("a", -1, 64),)),
        ([None], (PackUse("a", 1, -64),)),
        ([triple(0, 2**32 - 1), triple(0, 1)], (PackUse("a", 0, 164),)),
    ],
)
def test_uses_that_make_no_sense_are_corrupt(
    uses: list[bytes | None], packs: tuple[PackUse, ...]
) -> None:
    """Indexes out of range, cut off, doubled, out of order, or with other sums."""
    with pytest.raises(Corrupt):
        open_recipe(*seal(recipe(uses, packs)))


def test_hostile_numbers_are_refused() -> None:
    """Counts that no integer of the encoding holds, and uses that are not bytes."""
    raw = msgspec.msgpack.decode(msgspec.msgpack.encode(recipe([triple(0)], (A,))))
    for change in (2**64 - 1, -(2**63), "x", [[0, 100, 164]], 1.5):
        raw[2][0][2] = change
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(raw), type=Recipe)

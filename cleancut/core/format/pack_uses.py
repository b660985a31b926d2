"""Uses of packs: what a recipe needs of each pack, as a whole and for each of its pages.

Pure. Uses of a page let a later capture take the page over without reading it.
Shape: uses of a page are 12 bytes each, u32 little-endian: index into the recipe's packs, bytes
that the page's blocks take there, and the end of the last of them. Indexes ascend.
Source: proto/FORMAT.md restates this for other programs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from cleancut.core.format.page import PACKED_KINDS, Page
from cleancut.core.primitives.errors import Corrupt

_USE = struct.Struct("<III")
_NONE = (0, 0)


class PackUse(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of `pack` that this recipe needs: what a gc run counts as live. `end_bytes`: how long
    the pack has to be at least, so that all of them are in it."""

    pack: str
    live_bytes: int
    end_bytes: int = 0


class UseTally:
    """Adds up what the pages of one recipe need; `packs` are all of them, in order of first use."""

    def __init__(self) -> None:
        self._indexes: dict[str, int] = {}
        self._sums: list[tuple[int, int]] = []
        self._page: dict[str, tuple[int, int]] = {}

    def add(self, pack: str, offset: int, length: int) -> None:
        """A block of the page that is being built."""
        live, end = self._page.get(pack, _NONE)
        self._page[pack] = live + length, max(end, offset + length)

    def end_page(self) -> bytes:
        """The uses of the page that was being built."""
        page, self._page = self._page, {}
        return self._count(page)

    def take_over(self, uses: bytes, packs: Sequence[PackUse]) -> bytes:
        """The uses of a page of another recipe, which has `packs`, as uses of this one."""
        return self._count(
            {packs[at].pack: (live, end) for at, live, end in _USE.iter_unpack(uses)}
        )

    def _count(self, page: dict[str, tuple[int, int]]) -> bytes:
        found = []
        for pack, (live, end) in page.items():
            at = self._indexes.setdefault(pack, len(self._indexes))
            if at == len(self._sums):
                self._sums.append(_NONE)
            before, other = self._sums[at]
            self._sums[at] = before + live, max(other, end)
            found.append((at, live, end))
        return b"".join(_USE.pack(*use) for use in sorted(found))

    def names(self) -> frozenset[str]:
        """Of the packs that are used by now, by the page that is being built too."""
        return frozenset((*self._indexes, *self._page))

    @property
    def packs(self) -> tuple[PackUse, ...]:
        return tuple(
            PackUse(pack, live, end)
            for pack, (live, end) in zip(self._indexes, self._sums, strict=True)
        )


def packs_of(uses: bytes) -> Iterator[int]:
    """The indexes of the packs that a page uses."""
    return (at for at, _, _ in _USE.iter_unpack(uses))


def is_use_of(page: Page, uses: bytes, packs: Sequence[PackUse]) -> bool:
    """Whether `uses`, of a recipe that has `packs`, are those of `page`."""
    tally = UseTally()
    for slot in range(len(page)):
        block = page.block(slot)
        if block.kind in PACKED_KINDS:
            tally.add(block.pack, block.offset, block.length)
    tally.end_page()
    claimed = UseTally()
    claimed.take_over(uses, packs)
    return sorted(tally.packs, key=_name) == sorted(claimed.packs, key=_name)


def _name(use: PackUse) -> str:
    return use.pack


def check_uses(what: str, uses: Iterable[bytes | None], packs: Sequence[PackUse]) -> None:
    """`uses`: of all pages of a recipe; all None, if it was written without them.

    Raises: Corrupt, unless they make sense and add up to `packs`.
    """
    if any(use.live_bytes < 0 or use.end_bytes < 0 for use in packs):
        raise Corrupt(f"{what} needs less than nothing of a pack")
    pages = list(uses)
    known = [one for one in pages if one is not None]
    if not known:
        return
    if len(known) < len(pages):
        raise Corrupt(f"{what} has uses of packs for some of its pages only")
    lives, ends = [0] * len(packs), [0] * len(packs)
    for one in known:
        if len(one) % _USE.size:
            raise Corrupt(f"{what} has uses of packs that are cut off")
        last = -1
        for at, live, end in _USE.iter_unpack(one):
            if not last < at < len(packs):
                raise Corrupt(f"{what} has a page that uses pack {at} of {len(packs)}")
            last = at
            lives[at] += live
            ends[at] = max(ends[at], end)
    if len({use.pack for use in packs}) < len(packs):
        raise Corrupt(f"{what} names a pack twice")
    for use, live, end in zip(packs, lives, ends, strict=True):
        if (use.live_bytes, use.end_bytes) != (live, end):
            raise Corrupt(f"{what} has pages that do not add up to what it needs of {use.pack}")

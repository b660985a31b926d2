"""Keeping of members: which members of a parent's recipe a capture may take over unread.

Pure. That a member did not change is for the caller to prove.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from cleancut.core.format.pack_uses import packs_of
from cleancut.core.format.page import blocks_of
from cleancut.core.format.recipe import OWN_PAGE_BLOCKS, PageRef, Recipe, TarMember


class KeepableMembers:
    """The members of `recipe` that may be kept: all pages that hold their blocks have known uses
    of packs, and `avoided` has neither these pages nor a pack that they use.

    `avoided`: packs by name and pages by digest that are marked, damaged or nearly dead, or that
    the store has not: pages of large members are not read, so a lost one would not be noticed.
    """

    def __init__(self, recipe: Recipe, avoided: frozenset[str]) -> None:
        self.packs = recipe.packs
        self._pages = recipe.pages
        self._starts = list(accumulate((ref.blocks for ref in recipe.pages), initial=0))
        bad_packs = {at for at, use in enumerate(recipe.packs) if use.pack in avoided}
        bad = (_is_bad(ref, avoided, bad_packs) for ref in recipe.pages)
        self._bad_before = list(accumulate(bad, initial=0))
        self._members: dict[str, tuple[TarMember, int, int]] = {}
        first = 0
        for member in recipe.members:
            count = blocks_of(member.stored_bytes)
            if member.path:
                self._members[member.path] = member, first, count
            first += count

    def __contains__(self, path: str) -> bool:
        if path not in self._members:
            return False
        start, end = self._pages_of(path)
        return self._bad_before[start] == self._bad_before[end]

    def member(self, path: str) -> TarMember:
        """Raises: KeyError."""
        return self._members[path][0]

    def own_pages(self, path: str) -> list[tuple[PageRef, bytes]] | None:
        """The pages of a member that is large enough to have pages of its own, and what they use
        of `packs`; else None. Order: of a member that can be kept."""
        _, first, count = self._members[path]
        start, end = self._pages_of(path)
        whole = (self._starts[start], self._starts[end]) == (first, first + count)
        if not whole or count < OWN_PAGE_BLOCKS:
            return None
        pages = self._pages[start:end]
        return [(PageRef(ref.digest, ref.blocks), ref.uses or b"") for ref in pages]

    def _pages_of(self, path: str) -> tuple[int, int]:
        """The range of pages that hold its blocks."""
        _, first, count = self._members[path]
        if not count:
            return 0, 0
        start = bisect_right(self._starts, first) - 1
        return start, bisect_right(self._starts, first + count - 1, lo=start)


def _is_bad(ref: PageRef, avoided: frozenset[str], bad_packs: set[int]) -> bool:
    if ref.uses is None or ref.digest in avoided:
        return True
    return bool(bad_packs) and not bad_packs.isdisjoint(packs_of(ref.uses))

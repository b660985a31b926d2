"""Finds the blocks that a store already has of a shard: by the same member and index, in what the
last attempt has left, else in the parent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from cleancut.core.format.page import PACKED_KINDS, BlockKind, Page
from cleancut.core.format.partial_recipe import PartialRecipe
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import PageRef, Recipe, RecipeIndex
from cleancut.core.primitives.errors import Corrupt, NotFound
from cleancut.ports.store import Store
from cleancut.repository.shards.chunker import ParentSlot, PendingBlock
from cleancut.repository.shards.recipe_reader import load_page
from cleancut.runtime.concurrency import run_all

HELD_PAGES = 2
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class EarlierCapture:
    """A partial recipe, and the packs that the store has of its sessions, with their sizes."""

    partial: PartialRecipe
    packs: Mapping[str, int]


async def list_packs(store: Store, paths: Paths, origins: Iterable[str]) -> dict[str, int]:
    """The packs that these sessions have stored, and their sizes in bytes. Raises: what the store
    does."""

    async def of_origin(origin: str) -> list[tuple[str, int]]:
        prefix = f"{paths.pack(origin)}/"
        return [
            (f"{origin}/{info.path.removeprefix(prefix)}", info.size_bytes)
            async for info in store.list(prefix)
        ]

    found = await run_all([partial(of_origin, origin) for origin in origins], _AT_ONCE)
    return {pack: size for one in found for pack, size in one}


async def lost_packs(store: Store, paths: Paths, recipes: Iterable[Recipe]) -> frozenset[str]:
    """Packs that these recipes need and the store has not, or not all of. Limits: one listing for
    each session that has stored them. Raises: what the store does."""
    ends: dict[str, int] = {}
    for recipe in recipes:
        for use in recipe.packs:
            ends[use.pack] = max(ends.get(use.pack, 0), use.end_bytes, use.live_bytes)
    origins = sorted({pack.rpartition("/")[0] for pack in ends})
    there = await list_packs(store, paths, origins)
    return frozenset(pack for pack, end in ends.items() if there.get(pack, -1) < end)


class Deduplicator:
    """One stream's. Limits: the last two pages of each source are held, and what `earlier` holds.
    `lost`: how many pages could not be read."""

    def __init__(
        self, store: Store, paths: Paths, parent: Recipe | None, earlier: EarlierCapture | None
    ) -> None:
        self._parent = _SourcePages(store, paths, RecipeIndex.of(parent) if parent else None, {})
        self._earlier = earlier
        index = RecipeIndex(earlier.partial.members, earlier.partial.pages) if earlier else None
        self._left = _SourcePages(
            store, paths, index, dict(earlier.partial.kept) if earlier else {}
        )

    @property
    def lost(self) -> int:
        return self._parent.lost

    async def find(self, block: PendingBlock) -> ParentSlot | None:
        """Where it may be: only its digest shows whether it is the same."""
        found = await self._left.find(block.path, block.index)
        if found is not None and self._has(found):
            return found._replace(whole_page=False)
        return await self._parent.find(block.path, block.index)

    async def parents_blocks(self, path: str, count: int) -> AsyncGenerator[ParentSlot, None]:
        """The first `count` blocks of the parent's member. Raises: Corrupt, if one cannot be
        read; its `context` names the `member`."""
        for index in range(count):
            found = await self._parent.find(path, index)
            if found is None:
                raise Corrupt(
                    f"{path} cannot be kept: a page of the parent with block {index} of it cannot"
                    " be read",
                    "the next attempt has to read the file",
                    member=path,
                )
            yield found

    def _has(self, found: ParentSlot) -> bool:
        """Whether an earlier attempt's block can be had from the store."""
        block = found.page.block(found.slot)
        if block.kind in PACKED_KINDS:
            end = block.offset + block.length
            return self._earlier is not None and self._earlier.packs.get(block.pack, -1) >= end
        return block.kind is not BlockKind.ZERO


class _SourcePages:
    """The pages of one source; `kept` are at hand, the others in the store."""

    def __init__(
        self, store: Store, paths: Paths, index: RecipeIndex | None, kept: Mapping[str, Page]
    ) -> None:
        self._store, self._paths = store, paths
        self._index, self._kept = index, kept
        self._held: dict[PageRef, Page | None] = {}
        self.lost = 0

    async def find(self, path: str, index: int) -> ParentSlot | None:
        """A page that cannot be read only makes its blocks new: it is counted, not raised."""
        place = self._index.find(path, index) if self._index else None
        if place is None:
            return None
        ref, slot = place
        if ref not in self._held:
            if len(self._held) == HELD_PAGES:
                del self._held[next(iter(self._held))]
            self._held[ref] = self._kept.get(ref.digest) or await self._load(ref)
        page = self._held[ref]
        return ParentSlot(ref, page, slot) if page else None

    async def _load(self, ref: PageRef) -> Page | None:
        try:
            return await load_page(self._store, self._paths, ref)
        except (NotFound, Corrupt):
            self.lost += 1
            return None

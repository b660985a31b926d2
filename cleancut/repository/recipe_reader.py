"""Reader of recipes and pages in a store, and of the objects that a recipe lacks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, islice
from typing import NamedTuple

from cleancut.core.format.page import PACKED_KINDS, Page, open_page
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import PageRef, Recipe, block_labels, open_recipe
from cleancut.core.primitives.errors import Corrupt, NotFound
from cleancut.ports.store import Store


async def load_recipe(store: Store, paths: Paths, digest: str) -> Recipe:
    """Raises: NotFound, Corrupt."""
    return open_recipe(digest, await store.get(paths.recipe(digest)))


async def load_page(store: Store, paths: Paths, ref: PageRef) -> Page:
    """Raises: NotFound, Corrupt."""
    page = open_page(ref.digest, await store.get(paths.page(ref.digest)))
    if len(page) != ref.blocks:
        raise Corrupt(f"page {ref.digest} has {len(page)} blocks, not {ref.blocks}")
    return page


class MissingObject(NamedTuple):
    """An object that is missing or too short, and what needs it."""

    path: str
    why: str
    needed_by: str


class _Need(NamedTuple):
    """How long a pack has to be, and the block that ends there."""

    size_bytes: int
    needed_by: str


_NOTHING = _Need(0, "")


async def missing_packs(
    store: Store, paths: Paths, recipe_digests: Sequence[str]
) -> tuple[MissingObject, ...]:
    """What the recipes need and the store does not have: recipes, pages, packs, or parts of packs.
    Empty: the structure is whole; contents are checked when they are read.

    Raises: Corrupt, if a recipe or page is damaged.
    """
    needs: dict[str, _Need] = {}
    lacks: list[MissingObject] = []
    for digest in recipe_digests:
        try:
            recipe = await load_recipe(store, paths, digest)
        except NotFound:
            lacks.append(MissingObject(paths.recipe(digest), "missing", f"recipe {digest}"))
            continue
        lacks += await _add_needs(store, paths, recipe, needs)
    lacks += await _short_packs(store, paths, needs)
    return tuple(lacks)


async def _add_needs(
    store: Store, paths: Paths, recipe: Recipe, needs: dict[str, _Need]
) -> list[MissingObject]:
    """Notes in `needs` how long each pack has to be; gives back the pages that are missing."""
    lacks = []
    labels = block_labels(recipe)
    for ref in recipe.pages:
        mine = list(islice(labels, ref.blocks))
        try:
            page = await load_page(store, paths, ref)
        except NotFound:
            lacks.append(MissingObject(paths.page(ref.digest), "missing", mine[0]))
            continue
        for slot, label in enumerate(mine):
            block = page.block(slot)
            end = block.offset + block.length
            if block.kind in PACKED_KINDS and end > needs.get(block.pack, _NOTHING).size_bytes:
                needs[block.pack] = _Need(end, label)
    return lacks


async def _short_packs(store: Store, paths: Paths, needs: dict[str, _Need]) -> list[MissingObject]:
    """Compares with listings, a session at a time: packs are many, requests should be few."""
    lacks = []
    for session, packs in groupby(sorted(needs), key=lambda pack: pack.rpartition("/")[0]):
        prefix = paths.pack(session) + "/"
        sizes = {info.path: info.size_bytes async for info in store.list(prefix)}
        for pack in packs:
            path, need = paths.pack(pack), needs[pack]
            found = sizes.get(path)
            if found is None:
                lacks.append(MissingObject(path, "missing", need.needed_by))
            elif found < need.size_bytes:
                why = f"has {found} bytes of {need.size_bytes}"
                lacks.append(MissingObject(path, why, need.needed_by))
    return lacks

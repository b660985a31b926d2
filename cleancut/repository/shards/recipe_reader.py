"""Reader of recipes and pages in a store, and of the objects that a recipe lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple

from cleancut.core.format.pack_uses import is_use_of
from cleancut.core.format.page import MAX_PAGE_BYTES, PACKED_KINDS, Page, open_page
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import (
    MAX_RECIPE_BYTES,
    PageRef,
    Recipe,
    block_labels,
    open_recipe,
)
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_bounded
from cleancut.runtime.concurrency import run_all

_AT_ONCE = 8


async def load_recipe(store: Store, paths: Paths, digest: str) -> Recipe:
    """Raises: NotFound, Corrupt."""
    stored = await read_bounded(store, paths.recipe(digest), MAX_RECIPE_BYTES)
    return open_recipe(digest, stored)


async def load_page(store: Store, paths: Paths, ref: PageRef) -> Page:
    """Raises: NotFound, Corrupt."""
    page = open_page(ref.digest, await read_bounded(store, paths.page(ref.digest), MAX_PAGE_BYTES))
    if len(page) != ref.blocks:
        raise Corrupt(f"page {ref.digest} has {len(page)} blocks, not {ref.blocks}")
    return page


class MissingObject(NamedTuple):
    """An object that is missing, too short or unreadable, and the recipes that need it. `name`: a
    pack's name, a page's or recipe's digest."""

    path: str
    name: str
    why: str
    needed_by: str
    recipes: tuple[str, ...]


class _Need(NamedTuple):
    """How long a pack has to be, the block that ends there, and the recipes that name the pack."""

    size_bytes: int
    needed_by: str
    recipes: frozenset[str]


_NOTHING = _Need(0, "", frozenset())


class Structure(NamedTuple):
    """The recipes that can be read, by digest, and what is not whole."""

    recipes: dict[str, Recipe]
    lacks: tuple[MissingObject, ...]


async def missing_packs(
    store: Store, paths: Paths, recipe_digests: Sequence[str]
) -> tuple[MissingObject, ...]:
    """What the recipes need and the store does not have whole: see `read_structure`."""
    return (await read_structure(store, paths, recipe_digests)).lacks


async def read_structure(store: Store, paths: Paths, recipe_digests: Sequence[str]) -> Structure:
    """The recipes, and all that is missing, unreadable or too short of what they need: recipes,
    pages, packs. No lacks: the structure is whole; contents are checked when they are read.

    Limits: a few recipes and pages at a time; one listing for each session's packs.
    Raises: Refused, if packs lie in an archive and cannot be read now.
    """
    calls = [partial(_look, store, paths, digest) for digest in recipe_digests]
    looks = await run_all(calls, _AT_ONCE)
    needs: dict[str, _Need] = {}
    recipes: dict[str, Recipe] = {}
    lacks: list[MissingObject] = []
    for digest, (recipe, mine, missing) in zip(recipe_digests, looks, strict=True):
        lacks += missing
        if recipe is not None:
            recipes[digest] = recipe
        for pack, need in mine.items():
            known = needs.get(pack, _NOTHING)
            longer = need if need.size_bytes > known.size_bytes else known
            needs[pack] = longer._replace(recipes=known.recipes | need.recipes)
    lacks += await _short_packs(store, paths, needs)
    return Structure(recipes, tuple(lacks))


async def _look(
    store: Store, paths: Paths, digest: str
) -> tuple[Recipe | None, dict[str, _Need], list[MissingObject]]:
    """A recipe, how long each of its packs has to be, and which of its documents are missing."""
    needs: dict[str, _Need] = {}
    lacks: list[MissingObject] = []
    try:
        recipe = await load_recipe(store, paths, digest)
    except (NotFound, Corrupt) as error:
        label = f"recipe {digest}"
        lack = MissingObject(paths.recipe(digest), digest, _why(error), label, (digest,))
        return None, {}, [lack]
    labels = block_labels(recipe)
    for ref in recipe.pages:
        mine = list(islice(labels, ref.blocks))
        try:
            page = await load_page(store, paths, ref)
        except (NotFound, Corrupt) as error:
            path = paths.page(ref.digest)
            lacks.append(MissingObject(path, ref.digest, _why(error), mine[0], (digest,)))
            continue
        if ref.uses is not None and not is_use_of(page, ref.uses, recipe.packs):
            why = f"names other uses of packs for page {ref.digest} than are in it"
            lacks.append(MissingObject(paths.recipe(digest), digest, why, mine[0], (digest,)))
        for slot, label in enumerate(mine):
            block = page.block(slot)
            end = block.offset + block.length
            if block.kind in PACKED_KINDS and end > needs.get(block.pack, _NOTHING).size_bytes:
                needs[block.pack] = _Need(end, label, frozenset({digest}))
    return recipe, needs, lacks


def _why(error: CleancutError) -> str:
    return "missing" if isinstance(error, NotFound) else f"damaged ({error.message})"


async def _short_packs(
    store: Store, paths: Paths, needs: Mapping[str, _Need]
) -> list[MissingObject]:
    """Compares with listings, a session at a time: packs are many, requests should be few."""
    sessions = [
        partial(_short_of_session, store, paths, tuple(packs), needs)
        for _, packs in groupby(sorted(needs), key=lambda pack: pack.rpartition("/")[0])
    ]
    return [lack for found in await run_all(sessions, _AT_ONCE) for lack in found]


async def _short_of_session(
    store: Store, paths: Paths, packs: Sequence[str], needs: Mapping[str, _Need]
) -> list[MissingObject]:
    """One session's. A byte of its first pack is read, since archives are full of objects that are
    listed and cannot be read; all of a session are of one age."""
    lacks = []
    prefix = paths.pack(packs[0].rpartition("/")[0]) + "/"
    sizes = {info.path: info.size_bytes async for info in store.list(prefix)}
    for pack in packs:
        path, need = paths.pack(pack), needs[pack]
        found = sizes.get(path)
        if found is not None and found >= need.size_bytes:
            continue
        why = "missing" if found is None else f"has {found} bytes of {need.size_bytes}"
        lacks.append(MissingObject(path, pack, why, need.needed_by, tuple(sorted(need.recipes))))
    there = next((paths.pack(pack) for pack in packs if paths.pack(pack) in sizes), None)
    if there is not None:
        with suppress(NotFound):
            await store.get(there, 0, 1)
    return lacks

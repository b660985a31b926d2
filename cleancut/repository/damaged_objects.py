"""Damaged objects of one recipe: all of them, where reading a tar stops at the first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from functools import partial

from cleancut.core.format.page import PACK_BYTES, PACKED_KINDS, Block
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import block_sizes, named_by
from cleancut.core.primitives.errors import Corrupt, NotFound
from cleancut.ports.store import Store
from cleancut.repository.garbage import MAX_READ, ReferencedNames
from cleancut.repository.shards.recipe_reader import load_page, load_recipe
from cleancut.repository.shards.tar_assembler import is_intact
from cleancut.runtime.concurrency import run_all

_AT_ONCE = 8
_MAX_SPAN_BYTES = 4 * PACK_BYTES


async def damaged_objects(store: Store, paths: Paths, recipe_digest: str) -> set[str]:
    """Packs by name, pages and recipes by digest: what no later backup may reuse.

    Limits: reads each pack once for each page that names it; one pack is held.
    Raises: what the store does, except for missing objects, which count as damaged.
    """
    try:
        recipe = await load_recipe(store, paths, recipe_digest)
    except (NotFound, Corrupt):
        return {recipe_digest}
    found: set[str] = set()
    sizes = block_sizes(recipe)
    for ref in recipe.pages:
        mine = [next(sizes) for _ in range(ref.blocks)]
        try:
            page = await load_page(store, paths, ref)
        except (NotFound, Corrupt):
            found.add(ref.digest)
            continue
        by_pack: dict[str, list[tuple[Block, int]]] = {}
        for slot, raw_bytes in enumerate(mine):
            block = page.block(slot)
            if block.kind in PACKED_KINDS:
                by_pack.setdefault(block.pack, []).append((block, raw_bytes))
            elif not is_intact(block, block.literal, raw_bytes):
                found.add(ref.digest)
        for pack, blocks in by_pack.items():
            if pack not in found and not await _is_whole(store, paths.pack(pack), blocks):
                found.add(pack)
    return found


async def recipes_naming(
    store: Store, paths: Paths, objects: Set[str], known: Set[str]
) -> frozenset[str]:
    """Recipes of the catalog's backups, but for the `known` ones, that name one of `objects`.

    Limits: reads `MAX_READ` recipes, those of the newest backups first; what cannot be read is left
    out. Raises: what the store does.
    """
    if not objects:
        return frozenset()
    groups = await ReferencedNames(store, paths).groups()
    newest_first = (
        digest for epoch in sorted(groups, reverse=True) for digest in groups[epoch].recipes
    )
    wanted = [one for one in dict.fromkeys(newest_first) if one not in known][:MAX_READ]

    async def names_one(digest: str) -> bool:
        try:
            recipe = await load_recipe(store, paths, digest)
        except (NotFound, Corrupt):
            return False
        return not objects.isdisjoint(named_by(recipe))

    found = await run_all([partial(names_one, digest) for digest in wanted], _AT_ONCE)
    return frozenset(digest for digest, named in zip(wanted, found, strict=True) if named)


async def _is_whole(store: Store, path: str, blocks: Sequence[tuple[Block, int]]) -> bool:
    start = min(block.offset for block, _ in blocks)
    end = max(block.offset + block.length for block, _ in blocks)
    if end - start > _MAX_SPAN_BYTES:
        return False
    try:
        data = memoryview(await store.get(path, start, end - start))
    except NotFound:
        return False
    if len(data) < end - start:
        return False

    def check() -> bool:
        return all(
            is_intact(block, data[block.offset - start :][: block.length], raw_bytes)
            for block, raw_bytes in blocks
        )

    return await asyncio.to_thread(check)

"""What is known of the shards of an epoch before they are read: their parents in the newest groups,
what earlier epochs have left, and what of both may not be named (doomed, missing or damaged), or
had better not be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from functools import partial

from cleancut.core.format.recipe import Recipe, named_by
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound
from cleancut.core.primitives.ids import Digest
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.repository.garbage import read_unknown
from cleancut.repository.packs.underused_packs import read_sparse
from cleancut.repository.shards.dedup import EarlierCapture, list_packs, lost_packs
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.repository.verification_log import read_damage
from cleancut.runtime.concurrency import run_all
from cleancut_agent.backup.captures import Stream
from cleancut_agent.backup.partial_recipes import PartialRecipes
from cleancut_agent.context import AgentContext

_TRIES = 2
"""How often what earlier attempts have left is asked for: it saves bytes, and no more."""
_LOADS = 8


class Parents:
    """Of one epoch at a time. Order: `load` first, once the epoch has begun."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._partials = PartialRecipes(context.spill_dir)
        self._recipes: dict[str, Recipe] = {}
        self._earlier: dict[tuple[str, int], EarlierCapture] = {}
        self._unknown: frozenset[str] = frozenset()
        self._sparse: frozenset[str] = frozenset()

    @property
    def avoided(self) -> frozenset[str]:
        """What of the parents counts as new."""
        return self._unknown | self._sparse

    def forget(self) -> None:
        self._recipes.clear()
        self._earlier.clear()

    async def load(self, tasks: Sequence[ShardTask]) -> None:
        """Reads what the store and the own directory have. Raises: what the store does."""
        store, paths = self._context.store, self._context.paths
        try:
            doomed = await read_unknown(store, paths)
        except Corrupt:  # what is marked for deletion is unknown: nothing stored is reused
            self.forget()
            return
        self._sparse = await read_sparse(store, paths)
        damage = await read_damage(store, paths)

        async def load(digest: str) -> None:
            try:
                recipe = await load_recipe(store, paths, Digest(digest))
            except (NotFound, Corrupt):
                return  # the parent cannot be read: the shard is captured whole
            self._recipes[digest] = recipe

        wanted = {task.recipe for task in tasks if task.recipe} - set(self._recipes)
        await run_all([partial(load, digest) for digest in sorted(wanted)], _LOADS)
        lost = await lost_packs(store, paths, self._recipes.values())
        self._unknown = doomed | damage.objects | damage.recipes | lost
        unread = self._context.capture is not None
        named = {task.recipe for task in tasks if unread or task.parent is not None}
        self._unknown |= await self._lost_pages(named)
        for _ in range(_TRIES):
            with contextlib.suppress(CleancutError):
                await self._load_earlier(tasks)
                break

    async def _lost_pages(self, digests: Iterable[str]) -> set[str]:
        """Pages that the store has not, of recipes that may be taken over, or members of which may,
        without a look at them; of other recipes, pages are read during the capture."""
        store, paths = self._context.store, self._context.paths
        recipes = [self._recipes[digest] for digest in digests if digest in self._recipes]
        pages = sorted({ref.digest for recipe in recipes for ref in recipe.pages})

        async def is_lost(digest: str) -> bool:
            return await store.stat(paths.page(digest)) is None

        lost = await run_all([partial(is_lost, digest) for digest in pages], _LOADS)
        return {digest for digest, gone in zip(pages, lost, strict=True) if gone}

    async def _load_earlier(self, tasks: Sequence[ShardTask]) -> None:
        """What epochs after the parents' have left; it saves bytes, and no more."""
        found = []
        for task in (one for one in tasks if not one.full):
            left, parent = self._partials.read(task), self.recipe_of(task)
            if left is not None and (parent is None or left.origins[0] > parent.origin):
                found.append(left)
        origins = {origin for left in found for origin in left.origins}
        packs = await list_packs(self._context.store, self._context.paths, sorted(origins))
        self._earlier = {
            (left.collection, left.shard_id): EarlierCapture(left, packs) for left in found
        }

    def recipe_of(self, task: ShardTask) -> Recipe | None:
        """The parent's, if there is one that can be read."""
        return self._recipes.get(task.recipe)

    def can_take_over(self, task: ShardTask) -> bool:
        """Whether the parent's recipe may be named again as it is."""
        parent = self.recipe_of(task)
        if parent is None or task.recipe in self._unknown:
            return False
        return self._unknown.isdisjoint(named_by(parent))

    def stream_of(self, task: ShardTask) -> Stream:
        earlier = self._earlier.get((task.collection, task.shard_id))
        return Stream(task, self.recipe_of(task), earlier)

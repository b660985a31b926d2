"""Copy of one group: packs, then pages, then recipes, then what agents and coordinator recorded,
then its manifest. So every object that is there has all that it names, and a copy that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from cleancut.copying.object_checks import PackChecks, check_named
from cleancut.copying.sides import Sides, check_identity
from cleancut.copying.source_hold import SourceHold
from cleancut.copying.transfer import Transfer, accept
from cleancut.core.format.manifest import Manifest, parse_manifest
from cleancut.core.format.pack_uses import packs_of
from cleancut.core.format.page import Page, open_page
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import PageRef, Recipe, block_sizes, open_recipe
from cleancut.core.maintenance.copying import missing_of
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.repository.bounded import read_document
from cleancut.repository.shards.recipe_reader import load_page, load_recipe
from cleancut.runtime.concurrency import run_all

T = TypeVar("T")
_LISTED_AT_ONCE = 8
_READ_AT_ONCE = 8
_ADVICE = (
    "nothing of this backup is published in the copy; `cleancut backup verify` on the source shows"
    " all damage, another backup may be whole"
)


class _Wanted(NamedTuple):
    """Of one recipe, what the target lacks; `pages` are those to be read, for the blocks of missing
    packs or because they are missing themselves."""

    recipe: Recipe
    pages: frozenset[str]
    missing_pages: tuple[str, ...]
    packs: frozenset[str]


@dataclass(slots=True)
class GroupCopy:
    """Copies the group of one epoch. Limits: see `CopyLimits` and `MAX_BLOCKS`."""

    sides: Sides
    epoch: Epoch
    transfer: Transfer
    hold: SourceHold
    checked: set[str]
    """Packs that this run has copied: for later pages, their blocks are only read and checked."""
    complete: set[str]
    """Recipes of a published group of the target: all that they name is there."""
    progress: Callable[[], None]
    _checks: PackChecks = field(default_factory=PackChecks)
    _pages: dict[str, str] = field(default_factory=dict)
    _recipes: list[tuple[str, str]] = field(default_factory=list)

    async def run(self) -> Manifest:
        """Publishes the group in the target, if all of it was right.

        Raises: Corrupt (an object is damaged or missing: which, and who needs it); NotFound (the
            group was deleted meanwhile); what the stores do. Then nothing of it is published.
        """
        await self.hold.put()
        data, manifest = await self._read_manifest()
        await self._copy_shards(manifest)
        sha256 = hashlib.sha256(data).hexdigest()
        await self._copy_documents(sha256)
        await self.hold.check_kept()
        await check_identity(self.sides)
        await self._publish(manifest, data)
        return manifest

    @property
    def _paths(self) -> Paths:
        return self.sides.paths

    async def _read_manifest(self) -> tuple[bytes, Manifest]:
        path = self._paths.group(self.epoch)
        try:
            data = await read_document(self.sides.source.opened.store, path)
        except NotFound as error:
            raise NotFound(
                f"there is no backup #{self.epoch} at the source", "see `cleancut backup list`"
            ) from error
        return data, parse_manifest(data, path)

    async def _copy_shards(self, manifest: Manifest) -> None:
        shards = {
            shard.recipe: f"{shard.collection}/{shard.shard_id}"
            for shard in sorted(manifest.shards, key=lambda one: (one.agent, one.collection))
            if shard.recipe not in self.complete
        }
        looks = [
            partial(listed.look, self._paths.root + folder)
            for listed in (self.transfer.source, self.transfer.target)
            for folder in ("recipes/", "pages/")
        ]
        await run_all(looks, _LISTED_AT_ONCE)
        named = list(shards.items())
        for start in range(0, len(named), _READ_AT_ONCE):
            part = named[start : start + _READ_AT_ONCE]
            reads = [partial(self._wanted, digest, shard) for digest, shard in part]
            for (digest, shard), wanted in zip(
                part, await run_all(reads, _READ_AT_ONCE), strict=True
            ):
                await self._copy_recipe(digest, shard, wanted)
        await self._flush()

    async def _wanted(self, digest: str, shard: str) -> _Wanted:
        path = self._paths.recipe(digest)
        recipe = await self._explained(shard, path, self._load_recipe(digest))
        return await self._explained(shard, path, self._look(recipe))

    async def _copy_recipe(self, digest: str, shard: str, wanted: _Wanted) -> None:
        sizes, chosen = block_sizes(wanted.recipe), []
        for ref in wanted.recipe.pages:
            mine = [next(sizes) for _ in range(ref.blocks)]
            if ref.digest in wanted.pages:
                chosen.append((ref, mine))
        for start in range(0, len(chosen), _READ_AT_ONCE):
            part = chosen[start : start + _READ_AT_ONCE]
            pages = await run_all(
                [partial(self._page, ref, shard) for ref, _ in part], _READ_AT_ONCE
            )
            for (ref, mine), page in zip(part, pages, strict=True):
                self._checks.add(page, iter(mine), shard, wanted.packs)
                if ref.digest in wanted.missing_pages:
                    self._pages[ref.digest] = shard
            if self._checks.full:
                await self._flush()
        if self._paths.recipe(digest) not in self.transfer.target.sizes:
            self._recipes.append((digest, shard))

    async def _page(self, ref: PageRef, shard: str) -> Page:
        page = load_page(self.sides.source.opened.store, self._paths, ref)
        return await self._explained(shard, self._paths.page(ref.digest), page)

    async def _load_recipe(self, digest: str) -> Recipe:
        return await load_recipe(self.sides.source.opened.store, self._paths, digest)

    async def _look(self, recipe: Recipe) -> _Wanted:
        """Raises: Corrupt, if the source has not all that the target lacks."""
        source, target = self.transfer.source, self.transfer.target
        sessions = {use.pack.rpartition("/")[0] for use in recipe.packs}
        prefixes = [self._paths.pack(one) + "/" for one in sorted(sessions)]
        looks = [partial(one.look, p) for one in (source, target) for p in prefixes]
        await run_all(looks, _LISTED_AT_ONCE)
        packs = {self._paths.pack(use.pack): use.pack for use in recipe.packs}
        pages = {self._paths.page(ref.digest): ref.digest for ref in recipe.pages}
        missing = missing_of([*packs, *pages], source.sizes, target.sizes)
        if missing.lost:
            raise Corrupt(f"{missing.lost[0]} is missing")
        new = frozenset(
            name for path, name in packs.items() if path in missing.copied or name in self.checked
        )
        mine = tuple(pages[path] for path in missing.copied if path in pages)
        return _Wanted(recipe, frozenset({*mine, *_pages_of(recipe, new)}), mine, new)

    async def _flush(self) -> None:
        """Copies what is known by now: packs, then pages, then recipes."""
        await self.hold.put()
        checks, pages, recipes = self._checks, self._pages, self._recipes
        self._checks, self._pages, self._recipes = PackChecks(), {}, []
        await self._run([partial(self._copy_pack, checks, pack) for pack in sorted(checks.blocks)])
        await self._run(
            [
                partial(self._move, shard, self._paths.page(digest), partial(open_page, digest))
                for digest, shard in pages.items()
            ]
        )
        await self._run(
            [
                partial(self._move, shard, self._paths.recipe(digest), partial(open_recipe, digest))
                for digest, shard in recipes
            ]
        )

    async def _copy_pack(self, checks: PackChecks, pack: str) -> None:
        path, shard = self._paths.pack(pack), checks.needed_by[pack]
        known = path in self.transfer.target.sizes
        move = self.transfer.move(path, partial(checks.check, pack), put=not known)
        await self._explained(shard, path, move)
        self.checked.add(pack)
        self.progress()

    async def _move(self, shard: str, path: str, check: Callable[[bytes], object]) -> None:
        def checked(contents: bytes) -> None:
            check(contents)

        await self._explained(shard, path, self.transfer.move(path, checked))

    async def _copy_documents(self, sha256: str) -> None:
        """What `backup verify` compares the manifest with."""
        source, target = self.transfer.source, self.transfer.target
        votes, staged = (
            self._paths.votes_documents(self.epoch),
            self._paths.staged(self.epoch, sha256),
        )
        for listed in (source, target):
            await listed.look(votes)
            await listed.look(staged)
        known = [path for path in source.sizes if path.startswith((votes, staged))]
        missing = missing_of(sorted(known), source.sizes, target.sizes)
        calls = [
            partial(self._move, "it", path, partial(check_named, self._paths.parse(path).name))
            for path in missing.copied
        ]
        await self._run(calls)

    async def _publish(self, manifest: Manifest, data: bytes) -> None:
        target, paths = self.sides.target_raw, self._paths
        if await target.stat(paths.tombstone(self.epoch)) is not None:
            raise Refused(
                f"backup #{self.epoch} was deleted from the copy",
                "its tombstone stays there for 30 days at least",
            )

        def same(contents: bytes) -> None:
            if contents != data:
                raise Corrupt(f"{path} has changed meanwhile")

        name, path = paths.id_of(manifest.operation, self.epoch), paths.group(self.epoch)
        if await target.stat(name) is None and await self.sides.source_raw.stat(name) is not None:
            await self.transfer.move(name, accept)
        if await target.stat(path) is None:
            await self.transfer.move(path, same)
        elif await read_document(self.sides.target.opened.store, path) != data:
            raise Refused(
                f"{path} holds another backup in the copy than at the source",
                "two clusters have written under one name: copy to another folder or prefix",
            )

    async def _run(self, calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
        await run_all(calls, self.transfer.limits.at_once)

    async def _explained(self, shard: str, path: str, call: Awaitable[T]) -> T:
        """What `call` gives; a failure says which shard needs the object."""
        what = f"backup #{self.epoch} ({shard})"
        try:
            return await call
        except NotFound as error:
            await self.hold.check_kept()
            raise Corrupt(f"{path} is missing at the source; {what} needs it", _ADVICE) from error
        except Corrupt as error:
            raise Corrupt(f"{error.message}; {what} needs {path}", error.hint or _ADVICE) from error


def _pages_of(recipe: Recipe, packs: frozenset[str]) -> Iterator[str]:
    """The pages that have blocks in `packs`; all of a recipe that does not say."""
    chosen = {at for at, use in enumerate(recipe.packs) if use.pack in packs}
    for ref in recipe.pages if chosen else ():
        if ref.uses is None or not chosen.isdisjoint(packs_of(ref.uses)):
            yield ref.digest

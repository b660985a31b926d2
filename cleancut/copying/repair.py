"""Repair of one group: its damaged and missing objects are replaced from another store that has
them whole, read again, and the result is recorded in the verification log.

An object is replaced only by contents that are what its name and the recipes promise, and only
after these have been read, and in one step: a repair that ends at any moment leaves no less than
there was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from cleancut.api.repairs import Repair
from cleancut.copying.object_checks import PackChecks, check_named, checked
from cleancut.copying.sides import Sides
from cleancut.core.format.manifest import Manifest, parse_manifest
from cleancut.core.format.page import Page, open_page
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import PageRef, block_sizes, open_recipe
from cleancut.core.maintenance.copying import check_same_cluster
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.numbers import whole_number
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.repository.catalog import find_group
from cleancut.repository.owners import read_owners
from cleancut.runtime.concurrency import run_all
from cleancut.verification.verify import Notice, ReadShare, verify_group

_AT_ONCE = 4
T = TypeVar("T")


@dataclass(slots=True)
class GroupRepair:
    """Repairs the group that `backup` names in the target from the source. Limits: `_AT_ONCE`
    packs are held, and the blocks of `MAX_BLOCKS`."""

    sides: Sides
    backup: str
    notice: Notice
    _repaired: list[str] = field(default_factory=list)
    _damaged: list[str] = field(default_factory=list)
    _checks: PackChecks = field(default_factory=PackChecks)
    _done: set[str] = field(default_factory=set)

    async def run(self) -> Repair:
        """Raises: NotFound (no such backup in either store); Refused (the stores are of two
        clusters); what the stores do."""
        site, other = self._site, self._other
        mine, theirs = await read_owners(site, self._paths), await read_owners(other, self._paths)
        check_same_cluster(mine, theirs, self.sides.source.url)
        epoch = await self._epoch()
        manifest = await self._manifest(epoch)
        for shard in manifest.shards:
            await self._recipe(shard.recipe, f"{shard.collection}/{shard.shard_id}")
        await self._flush()
        await self._documents(manifest)
        read_bytes = 0
        if self._repaired or self._damaged:
            verdict = await verify_group(
                site, self._paths, str(epoch), ReadShare(), notice=self.notice
            )
            read_bytes = verdict.read_bytes
            self._damaged += verdict.missing + verdict.problems
        return Repair(
            id=manifest.operation,
            epoch=epoch,
            source=self.sides.source.url,
            repaired=tuple(self._repaired),
            damaged=tuple(dict.fromkeys(self._damaged)),
            read_bytes=read_bytes,
        )

    @property
    def _paths(self) -> Paths:
        return self.sides.paths

    @property
    def _site(self) -> Store:
        return self.sides.target.opened.store

    @property
    def _other(self) -> Store:
        return self.sides.source.opened.store

    async def _epoch(self) -> Epoch:
        number = whole_number(self.backup)
        if number is not None:
            epoch = Epoch(number)
            if await self._site.stat(self._paths.tombstone(epoch)) is not None:
                raise NotFound(f"backup #{epoch} was deleted", "see `cleancut backup list`")
            return epoch
        try:
            return (await find_group(self._site, self._paths, self.backup)).epoch
        except (NotFound, Corrupt):
            return (await find_group(self._other, self._paths, self.backup)).epoch

    async def _manifest(self, epoch: Epoch) -> Manifest:
        """Raises: NotFound, Corrupt, if neither store has it whole."""
        path = self._paths.group(epoch)
        prefix = self._paths.staged_documents(epoch)
        staged = {
            self._paths.parse(info.path).name
            for store in (self._site, self._other)
            async for info in store.list(prefix)
        }

        def check(data: bytes) -> Manifest:
            manifest = parse_manifest(data, path)
            if staged and hashlib.sha256(data).hexdigest() not in staged:
                raise Corrupt(f"{path} differs from the one that the coordinator committed")
            if manifest.epoch != epoch:
                raise Corrupt(f"{path} holds the manifest of epoch {manifest.epoch}")
            return manifest

        return await self._whole(path, check)

    async def _recipe(self, digest: str, shard: str) -> None:
        if digest in self._done:
            return
        self._done.add(digest)
        recipe = await self._tried(
            f"{shard}: ", self._whole(self._paths.recipe(digest), partial(open_recipe, digest))
        )
        if recipe is None:
            return
        sizes = block_sizes(recipe)
        for ref in recipe.pages:
            mine = [next(sizes) for _ in range(ref.blocks)]
            page = await self._tried(f"{shard}: ", self._page(ref))
            if page is not None:
                packs = frozenset(page.packs)
                self._checks.add(page, iter(mine), shard, packs)
            if self._checks.full:
                await self._flush()

    async def _page(self, ref: PageRef) -> Page:
        def check(contents: bytes) -> Page:
            page = open_page(ref.digest, contents)
            if len(page) != ref.blocks:
                raise Corrupt(f"page {ref.digest} has {len(page)} blocks, not {ref.blocks}")
            return page

        return await self._whole(self._paths.page(ref.digest), check)

    async def _flush(self) -> None:
        checks, self._checks = self._checks, PackChecks()
        calls = [partial(self._pack, checks, pack) for pack in sorted(checks.blocks)]
        await run_all(calls, _AT_ONCE)

    async def _pack(self, checks: PackChecks, pack: str) -> None:
        whole = self._whole(self._paths.pack(pack), partial(checks.check, pack))
        await self._tried(f"{checks.needed_by[pack]}: ", whole)

    async def _documents(self, manifest: Manifest) -> None:
        """What a verification compares the manifest with."""
        path = self._paths.group(manifest.epoch)
        sha256 = hashlib.sha256(await read_document(self._site, path)).hexdigest()
        votes = self._paths.votes_documents(manifest.epoch)
        named = {info.path async for info in self._other.list(votes)}
        for document in sorted({*named, self._paths.staged(manifest.epoch, sha256)}):
            name = self._paths.parse(document).name
            await self._tried("", self._whole(document, partial(check_named, name)))

    async def _tried(self, what: str, call: Awaitable[T]) -> T | None:
        """None for what neither store has whole, which is recorded."""
        try:
            return await call
        except (Corrupt, NotFound) as error:
            self._damaged.append(f"{what}{error.message}")
            return None

    async def _whole(self, path: str, check: Callable[[bytes], T]) -> T:
        """What `check` makes of the object in the site, which is replaced if it has to be.

        Raises: Corrupt, NotFound, if the other store has it no better; then nothing is changed.
        """
        try:
            return await checked(await self._site.get(path), check)
        except (Corrupt, NotFound) as damage:
            found = damage
        try:
            contents = await self._other.get(path)
            await checked(contents, check)
        except (Corrupt, NotFound) as error:
            raise _neither(path, found, error) from error
        await self._site.replace(path, contents)
        result = await checked(await self._site.get(path), check)
        self._repaired.append(self._paths.relative(path))
        self.notice(f"replaced {self._paths.relative(path)}: {found.message}")
        return result


def _neither(path: str, mine: CleancutError, theirs: CleancutError) -> Corrupt:
    return Corrupt(
        f"{mine.message}; the other store has {path} no better: {theirs.message}",
        "restore another backup, which may be whole",
    )

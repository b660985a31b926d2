"""What a store's objects are named by, and its garbage lists: see
`cleancut.core.maintenance.garbage`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence, Set
from functools import partial
from typing import NamedTuple

from cleancut.core.format.manifest import parse_manifest
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import PackUse, named_by
from cleancut.core.maintenance.garbage import (
    MAX_LISTED,
    Begun,
    GarbageList,
    Hold,
    LiveSet,
    unknown_of,
)
from cleancut.core.maintenance.retention import GroupFacts
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, NotFound
from cleancut.core.primitives.ids import Epoch, Sha256
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.evidence import Consistency
from cleancut.ports.store import Store
from cleancut.repository.catalog import newest_epoch, read_epochs
from cleancut.repository.recipe_reader import load_recipe
from cleancut.repository.verification_log import list_checks, newest_good
from cleancut.runtime.concurrency import run_all

HOLD_MARGIN_S = 3600.0
"""Clocks of the writers of holds may differ by this much."""
_AT_ONCE = 8
_PART = 256


class StoredGarbageList(NamedTuple):
    sha256: Sha256
    garbage: GarbageList


async def read_garbage_lists(store: Store, paths: Paths) -> dict[str, StoredGarbageList]:
    """The garbage lists by name. Raises: Corrupt, and what the store does."""
    found = {}
    names = [info.path async for info in store.list(paths.garbage_lists)]
    for path in names:
        try:
            data = await store.get(path)
        except NotFound:
            continue  # all that was on it has been deleted since
        sha256 = Sha256(hashlib.sha256(data).hexdigest())
        name = paths.parse(path).name
        found[name] = StoredGarbageList(sha256, decode(GarbageList, data, path))
    return found


async def read_unknown(store: Store, paths: Paths) -> frozenset[str]:
    """What an epoch that has begun may not name: see `unknown_of`. Raises: as
    `read_garbage_lists`."""
    return unknown_of(one.garbage for one in (await read_garbage_lists(store, paths)).values())


async def put_garbage_list(store: Store, paths: Paths, name: str, garbage: GarbageList) -> Sha256:
    data = encode(garbage)
    await store.put(paths.garbage_list(name), data)
    return Sha256(hashlib.sha256(data).hexdigest())


async def find_garbage(
    store: Store, paths: Paths, living: LiveSet, limit: int = MAX_LISTED
) -> GarbageList:
    """The cluster's objects that nothing names; at most `limit` of them. Raises: what the store
    does."""
    found = []
    async for info in store.list(paths.root):
        path = paths.relative(info.path)
        if not living.is_live(path):
            found.append((path, info.size_bytes))
            if len(found) == limit:
                break
    return GarbageList(objects=tuple(found))


class KnownGroup(NamedTuple):
    facts: GroupFacts
    recipes: tuple[str, ...]


class ReferencedNames:
    """What the groups of a store name. Groups and recipes never change, so each is read once."""

    def __init__(self, store: Store, paths: Paths) -> None:
        self._store, self._paths = store, paths
        self._groups: dict[Epoch, KnownGroup] = {}
        self._newest = Epoch(0)
        self._named: dict[str, tuple[str, ...]] = {}
        self._uses: dict[str, tuple[PackUse, ...]] = {}

    async def groups(self) -> dict[Epoch, KnownGroup]:
        """Every group without a tombstone, oldest first.

        Raises: Corrupt or Refused, for one that cannot be read: a deletion must know all.
        """
        epochs = await read_epochs(self._store, self._paths)
        self._newest = epochs.newest
        found = await self._known(epochs.groups)
        self._groups = found
        return found

    async def living(
        self, *, used_epochs: Collection[int], now_s: float, gone: Collection[int] = ()
    ) -> LiveSet:
        """What groups without a tombstone name, and those that a hold keeps, as they are now.

        `used_epochs`: their documents stay besides. `gone`: groups that count as if they had one,
        and seeds that no backup is awaited for.
        Order: tombstones are read before holds, so that who puts a hold and then finds no tombstone
        is safe.
        Raises: NotFound or Corrupt, if anything that is needed cannot be read.
        """
        store, paths = self._store, self._paths
        groups = {epoch: one for epoch, one in (await self.groups()).items() if epoch not in gone}
        holds, held = await read_holds(store, paths, now_s)
        there = [
            Epoch(epoch)
            for epoch in sorted(held - groups.keys())
            if await store.stat(paths.group(Epoch(epoch))) is not None
        ]
        alive = {**groups, **await self._known(there)}
        recipes = frozenset(digest for one in alive.values() for digest in one.recipes)
        await self._read_recipes(recipes)
        checks = await list_checks(store, paths)
        named = frozenset(name for names in self._named.values() for name in names)
        return LiveSet(
            epochs=frozenset({*groups, *used_epochs, *held}),
            recipes=recipes,
            named=named,
            holds=holds,
            newest_group=self._newest,
            newest_epoch=await newest_epoch(store, paths),
            verifications=frozenset(one.path for one in newest_good(checks).values()),
            seeds=await self._seeded(gone),
        )

    async def _seeded(self, gone: Collection[int]) -> frozenset[int]:
        seeds = await read_seeds(self._store, self._paths)
        ranges = (range(one.since, epoch + 1) for epoch, one in seeds.items() if epoch not in gone)
        return frozenset(epoch for epochs in ranges for epoch in epochs)

    def live_bytes(self) -> dict[str, int]:
        """By pack, what the newest group of each collection needs of it. Order: after `living`."""
        newest: dict[str, KnownGroup] = {}
        for _, one in sorted(self._groups.items()):
            newest.update(dict.fromkeys(one.facts.collections, one))
        digests = {digest for one in newest.values() for digest in one.recipes}
        live: dict[str, int] = {}
        for digest in digests:
            for use in self._uses.get(digest, ()):
                live[use.pack] = live.get(use.pack, 0) + use.live_bytes
        return live

    async def _known(self, epochs: Sequence[Epoch]) -> dict[Epoch, KnownGroup]:
        new = [epoch for epoch in epochs if epoch not in self._groups]
        found = dict(self._groups)
        for start in range(0, len(new), _PART):
            reads = [partial(self._read_group, epoch) for epoch in new[start : start + _PART]]
            found.update({one.facts.epoch: one for one in await run_all(reads, _AT_ONCE)})
        return {epoch: found[epoch] for epoch in epochs}

    async def _read_group(self, epoch: Epoch) -> KnownGroup:
        path = self._paths.group(epoch)
        manifest = parse_manifest(await self._store.get(path), path)
        if manifest.epoch != epoch:
            raise Corrupt(f"{path} holds the manifest of epoch {manifest.epoch}")
        facts = GroupFacts(
            epoch,
            manifest.operation,
            parse_time(manifest.cut_at),
            frozenset(entry.name for entry in manifest.collections),
            manifest.consistency is Consistency.POINT_IN_TIME,
            manifest.schedule,
        )
        return KnownGroup(facts, tuple(sorted({shard.recipe for shard in manifest.shards})))

    async def _read_recipes(self, digests: Set[str]) -> None:
        """What these name is known, and of no others."""
        self._named = {digest: self._named[digest] for digest in digests if digest in self._named}
        self._uses = {digest: self._uses[digest] for digest in self._named}
        new = sorted(digests - self._named.keys())
        for start in range(0, len(new), _PART):
            part = new[start : start + _PART]
            reads = [partial(load_recipe, self._store, self._paths, digest) for digest in part]
            for digest, recipe in zip(part, await run_all(reads, _AT_ONCE), strict=True):
                self._named[digest] = tuple(named_by(recipe))
                self._uses[digest] = recipe.packs


async def read_seeds(store: Store, paths: Paths) -> dict[Epoch, Begun]:
    """The seeds that a backup is awaited for; one that shards were given out in twice is the sum.

    Raises: Corrupt, and what the store does.
    """
    found: dict[Epoch, Begun] = {}
    for path in [info.path async for info in store.list(paths.seeds)]:
        number = paths.parse(path).number
        if number is None:
            continue
        try:
            one = decode(Begun, await store.get(path), path)
        except NotFound:
            continue  # over meanwhile
        epoch = Epoch(number)
        before = found.get(epoch, one)
        found[epoch] = Begun(
            at=max(one.at, before.at),
            since=min(one.since, before.since),
            shards=tuple(sorted({*one.shards, *before.shards})),
        )
    return found


async def read_holds(
    store: Store, paths: Paths, now_s: float, of: Epoch | None = None
) -> tuple[frozenset[str], set[int]]:
    """The paths of those not yet over, and the epochs that they keep; `of`: only of this one."""
    found, held = set(), set()
    async for info in store.list(paths.holds if of is None else paths.holds_of(of)):
        path, epoch = paths.relative(info.path), paths.parse(info.path).number
        try:
            hold = decode(Hold, await store.get(info.path), info.path)
        except NotFound:
            continue  # dropped meanwhile
        lasts = not hold.expires_at or parse_time(hold.expires_at) + HOLD_MARGIN_S > now_s
        if epoch is not None and lasts:
            found.add(path)
            held.add(epoch)
    return frozenset(found), held

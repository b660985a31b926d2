"""What a store's objects are named by, and its garbage lists: see
`cleancut.core.maintenance.garbage`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence, Set
from functools import partial
from typing import NamedTuple

from cleancut.core.format.manifest import parse_manifest, recipes_of
from cleancut.core.format.pack_uses import PackUse
from cleancut.core.format.paths import ObjectKind, Paths
from cleancut.core.format.recipe import Recipe, named_by
from cleancut.core.maintenance.garbage import (
    IMPORT_KEPT_S,
    MAX_LISTED,
    TOMBSTONE_KEPT_S,
    Begun,
    BegunImport,
    GarbageList,
    Hold,
    LiveSet,
    Tombstone,
    unknown_of,
)
from cleancut.core.maintenance.retention import GroupFacts
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch, OperationId, Sha256
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.evidence import Consistency
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.repository.catalog import Epochs, newest_epoch, read_epochs
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.repository.verification_log import list_checks, newest_good, read_damage, superseded
from cleancut.runtime.concurrency import run_all

HOLD_MARGIN_S = 3600.0
"""Clocks of the writers of holds may differ by this much."""
MAX_READ = 2000
"""Recipes that are read to say what one deletion frees."""
_AT_ONCE = 8
_PART = 64
_UNREADABLE_LIST = (
    "objects stay, and backups reuse nothing, as long as it is there: delete it while no operation"
    " is under way"
)


class StoredGarbageList(NamedTuple):
    sha256: Sha256
    garbage: GarbageList


async def read_garbage_lists(store: Store, paths: Paths) -> dict[str, StoredGarbageList]:
    """The garbage lists by name. Raises: Corrupt, if one cannot be read (what it marks is unknown);
    what the store does."""
    found = {}
    names = [info.path async for info in store.list(paths.garbage_lists)]
    for path in names:
        name = paths.parse(path).name
        if path != paths.garbage_list(name):
            continue  # not a list
        try:
            data = await read_document(store, path)
            garbage = decode(GarbageList, data, path)
        except NotFound:
            continue  # all that was on it has been deleted since
        except Corrupt as error:
            raise Corrupt(error.message, _UNREADABLE_LIST, path=path) from error
        found[name] = StoredGarbageList(Sha256(hashlib.sha256(data).hexdigest()), garbage)
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


class _Known(NamedTuple):
    """The groups that can be read, and what takes the place of the others: the recipes that their
    staged manifests name; None if there is none."""

    groups: dict[Epoch, KnownGroup]
    unreadable: dict[Epoch, frozenset[str] | None]


class ReferencedNames:
    """What the groups of a store name. Groups and recipes never change, so each is read once."""

    def __init__(self, store: Store, paths: Paths) -> None:
        self._store, self._paths = store, paths
        self._groups: dict[Epoch, KnownGroup] = {}
        self._read: dict[Epoch, KnownGroup] = {}
        self._newest = Epoch(0)
        self._gone: dict[Epoch, float] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        self._uses: dict[str, tuple[PackUse, ...]] = {}
        self._unreadable: dict[Epoch, frozenset[str] | None] = {}

    async def groups(self, expected: Collection[int] = ()) -> dict[Epoch, KnownGroup]:
        """Every group without a tombstone that can be read, oldest first, with what is known of its
        damage: of its shards, and of packs that it names as far as `living` has read that.

        `expected`: groups that are known to have been published.
        Raises: Refused, if the listing leaves out one of these, or one that it showed before,
            though it is there; what the store does.
        """
        epochs = await self._listed(expected)
        self._newest = epochs.newest
        self._gone = {e: self._gone[e] for e in epochs.gone if e in self._gone}
        for epoch in sorted(epochs.gone - self._gone.keys()):
            self._gone[epoch] = await self._deleted_s(epoch)
        self._groups, self._unreadable = await self._known(epochs.groups)
        self._read = {}
        damage = await read_damage(self._store, self._paths)
        found = {}
        for epoch, one in self._groups.items():
            named = {name for digest in one.recipes for name in self._named.get(digest, ())}
            hurt = damage.affects(epoch, one.recipes) or not damage.objects.isdisjoint(named)
            found[epoch] = one._replace(facts=one.facts._replace(damaged=hurt))
        return found

    async def _listed(self, expected: Collection[int]) -> Epochs:
        """Limits: what no call of this process has seen, and nothing expects, is not missed."""
        left_out = Epoch(0)
        for _ in range(2):  # one may have been published meanwhile
            epochs = await read_epochs(self._store, self._paths)
            known = {*self._groups, *map(Epoch, expected)}
            for left_out in sorted(known.difference(epochs.groups, epochs.deleted)):
                if await self._is_there(left_out):
                    break
            else:
                return epochs
        raise Refused(
            f"the store's listing leaves out backup {left_out}, which is there",
            "nothing is deleted by such a listing: look at what stands in front of the store, and"
            " at the store's own health",
        )

    async def _is_there(self, epoch: Epoch) -> bool:
        store, paths = self._store, self._paths
        if await store.stat(paths.group(epoch)) is None:
            return False
        return await store.stat(paths.tombstone(epoch)) is None

    async def count_unread(self) -> int:
        """How many groups `groups` would read. Raises: what the store does."""
        epochs = await read_epochs(self._store, self._paths)
        return len(set(epochs.groups) - self._groups.keys())

    async def freed_by(self, epoch: Epoch, limit: int = MAX_READ) -> int | None:
        """The bytes of packs that this group alone names: what its deletion frees. None, if
        something that any group names cannot be read, or more than `limit` recipes would have to
        be read. Order: after `groups`. Raises: what the store does."""
        mine = self._groups.get(epoch)
        unknown = {d for one in self._groups.values() for d in one.recipes} - self._named.keys()
        if mine is None or self._unreadable or len(unknown) > limit:
            return None
        if await self._read_recipes({d for one in self._groups.values() for d in one.recipes}):
            return None
        others = {
            digest
            for other, one in self._groups.items()
            if other != epoch
            for digest in one.recipes
        }
        kept = {use.pack for digest in others for use in self._uses[digest]}
        only = {use.pack for digest in mine.recipes for use in self._uses[digest]} - kept
        stats = [partial(self._store.stat, self._paths.pack(pack)) for pack in sorted(only)]
        return sum(info.size_bytes for info in await run_all(stats, _AT_ONCE) if info is not None)

    @property
    def unreadable(self) -> tuple[Epoch, ...]:
        """The groups whose manifests cannot be read. Order: after `groups`."""
        return tuple(self._unreadable)

    async def living(
        self,
        *,
        used_epochs: Collection[int],
        now_s: float,
        gone: Collection[int] = (),
        expected: Collection[int] = (),
    ) -> LiveSet:
        """What groups without a tombstone name, and those that a hold keeps, as they are now.

        `used_epochs`: their documents stay besides. `gone`: groups that count as if they had one,
        and seeds that no backup is awaited for. `expected`: see `groups`.
        Order: tombstones are read before holds, so that who puts a hold and then finds no tombstone
        is safe; imports before groups, since one is dropped once its group is there. What a
        manifest or recipe names that cannot be read is not known: whatever it may name stays.
        Raises: what the store does.
        """
        store, paths = self._store, self._paths
        imports = await read_imports(store, paths, now_s)
        listed = await self.groups(expected)
        groups = {epoch: one for epoch, one in listed.items() if epoch not in gone}
        holds, held = await read_holds(store, paths, now_s)
        there = [
            Epoch(epoch)
            for epoch in sorted(held - groups.keys())
            if await store.stat(paths.group(Epoch(epoch))) is not None
        ]
        others = await self._known(there)
        alive = {**groups, **others.groups}
        unreadable = {**self._unreadable, **others.unreadable}
        unreadable = {epoch: one for epoch, one in unreadable.items() if epoch not in gone}
        recipes = {digest for one in alive.values() for digest in one.recipes}
        recipes |= {digest for staged in unreadable.values() for digest in staged or ()}
        lost = await self._read_recipes(recipes)
        unread = [epoch for epoch, staged in unreadable.items() if staged is None]
        unread += [epoch for epoch, one in alive.items() if not lost.isdisjoint(one.recipes)]
        unread += [epoch for epoch, one in unreadable.items() if one and not lost.isdisjoint(one)]
        checks = await list_checks(store, paths)
        damage = await read_damage(store, paths, checks)
        named = frozenset(name for names in self._named.values() for name in names)
        return LiveSet(
            epochs=frozenset({*groups, *unreadable, *used_epochs, *held}),
            recipes=frozenset(recipes),
            named=named,
            holds=holds,
            newest_group=self._newest,
            newest_epoch=await newest_epoch(store, paths),
            verifications=damage.entries | {one.path for one in newest_good(checks).values()},
            seeds=await self._seeded(gone),
            unread=max(unread, default=0),
            buried=frozenset(
                epoch
                for epoch, deleted_s in self._gone.items()
                if epoch < self._newest and epoch not in {*used_epochs, *held}
                if now_s > deleted_s + TOMBSTONE_KEPT_S
            ),
            superseded=frozenset(one.path for one in superseded(checks)),
            imports=imports,
        )

    async def _deleted_s(self, epoch: Epoch) -> float:
        """When a group was deleted; one whose tombstone cannot be read is kept as if just now."""
        path = self._paths.tombstone(epoch)
        try:
            stone = decode(Tombstone, await read_document(self._store, path), path)
            return parse_time(stone.deleted_at)
        except (Corrupt, NotFound):
            return float("inf")

    async def _seeded(self, gone: Collection[int]) -> frozenset[int]:
        seeds = await read_seeds(self._store, self._paths)
        ranges = (range(one.since, epoch + 1) for epoch, one in seeds.items() if epoch not in gone)
        return frozenset(epoch for epochs in ranges for epoch in epochs)

    def live_bytes(self) -> dict[str, int]:
        """By pack, what the newest group of each collection needs of it. Order: after `living`."""
        newest: dict[str, KnownGroup] = {}
        for one in (one for _, one in sorted(self._groups.items()) if not one.facts.imported):
            newest.update(dict.fromkeys(one.facts.collections, one))
        digests = {digest for one in newest.values() for digest in one.recipes}
        live: dict[str, int] = {}
        for digest in digests:
            for use in self._uses.get(digest, ()):
                live[use.pack] = live.get(use.pack, 0) + use.live_bytes
        return live

    async def _known(self, epochs: Sequence[Epoch]) -> _Known:
        new = [epoch for epoch in epochs if epoch not in self._groups | self._read]
        found = self._groups | self._read
        unreadable: dict[Epoch, frozenset[str] | None] = {}
        for start in range(0, len(new), _PART):
            part = new[start : start + _PART]
            reads = [partial(self._read_group, epoch) for epoch in part]
            for epoch, one in zip(part, await run_all(reads, _AT_ONCE), strict=True):
                if isinstance(one, KnownGroup):
                    found[epoch] = self._read[epoch] = one  # also if this is broken off
                else:
                    unreadable[epoch] = one
        return _Known({epoch: found[epoch] for epoch in epochs if epoch in found}, unreadable)

    async def _read_group(self, epoch: Epoch) -> KnownGroup | frozenset[str] | None:
        """Else the recipes that the epoch's staged manifests name; None if there are none."""
        path = self._paths.group(epoch)
        try:
            manifest = parse_manifest(await read_document(self._store, path), path)
            if manifest.epoch != epoch:
                raise Corrupt(f"{path} holds the manifest of epoch {manifest.epoch}")
            cut_s = parse_time(manifest.cut_at)
        except (Corrupt, NotFound, Refused):
            return await self._staged_recipes(epoch)
        facts = GroupFacts(
            epoch,
            manifest.operation,
            cut_s,
            frozenset(entry.name for entry in manifest.collections),
            frozenset(entry.counted_as for entry in manifest.collections),
            manifest.consistency is Consistency.POINT_IN_TIME,
            manifest.schedule,
            frozenset(manifest.selected),
            frozenset(manifest.excluded),
            imported=manifest.imported is not None,
            keep_s=manifest.life_s,
        )
        return KnownGroup(facts, tuple(sorted({shard.recipe for shard in manifest.shards})))

    async def _staged_recipes(self, epoch: Epoch) -> frozenset[str] | None:
        found: list[str] = []
        prefix = self._paths.staged_documents(epoch)
        for path in [info.path async for info in self._store.list(prefix)]:
            try:
                manifest = parse_manifest(await read_document(self._store, path), path)
            except (Corrupt, NotFound, Refused):
                continue  # another kind of document, or damaged too
            found += recipes_of(manifest) if manifest.epoch == epoch else ()
        return frozenset(found) or None

    async def _read_recipes(self, digests: Set[str]) -> set[str]:
        """What these name is known, and of no others; gives those that cannot be read."""
        self._named = {digest: self._named[digest] for digest in digests if digest in self._named}
        self._uses = {digest: self._uses[digest] for digest in self._named}
        new, lost = sorted(digests - self._named.keys()), set()
        for start in range(0, len(new), _PART):
            part = new[start : start + _PART]
            reads = [partial(self._read_recipe, digest) for digest in part]
            for digest, recipe in zip(part, await run_all(reads, _AT_ONCE), strict=True):
                if recipe is None:
                    lost.add(digest)
                    continue
                self._named[digest] = tuple(named_by(recipe))
                self._uses[digest] = recipe.packs
        return lost

    async def _read_recipe(self, digest: str) -> Recipe | None:
        try:
            return await load_recipe(self._store, self._paths, digest)
        except (Corrupt, NotFound):
            return None


async def read_seeds(store: Store, paths: Paths) -> dict[Epoch, Begun]:
    """The seeds that a backup is awaited for; one that shards were given out in twice is the sum.
    One that cannot be read is left out: what it has stored ahead is stored again, and no more.

    Raises: what the store does.
    """
    found: dict[Epoch, Begun] = {}
    for path in [info.path async for info in store.list(paths.seeds)]:
        number = paths.parse(path).number
        if number is None:
            continue
        try:
            one = decode(Begun, await read_document(store, path), path)
        except (Corrupt, NotFound):
            continue  # over meanwhile
        epoch = Epoch(number)
        before = found.get(epoch, one)
        found[epoch] = Begun(
            at=max(one.at, before.at),
            since=min(one.since, before.since),
            shards=tuple(sorted({*one.shards, *before.shards})),
        )
    return found


async def read_imports(store: Store, paths: Paths, now_s: float) -> frozenset[str]:
    """The ids of imports that have begun and may be entered in the catalog still, or of which that
    cannot be read. Raises: what the store does."""
    found = set()
    listed = [paths.parse(info.path) async for info in store.list(paths.imports)]
    for import_id in {one.name for one in listed if one.kind is ObjectKind.IMPORT}:
        path = paths.import_begun(import_id)
        try:
            begun = decode(BegunImport, await read_document(store, path), path)
            lasts = parse_time(begun.at) + IMPORT_KEPT_S > now_s
        except NotFound:
            continue  # over meanwhile, or what is left of one
        except Corrupt:
            lasts = True
        if lasts:
            found.add(import_id)
    return frozenset(found)


async def read_holds(
    store: Store, paths: Paths, now_s: float, of: Epoch | None = None
) -> tuple[frozenset[str], set[int]]:
    """The paths of those not yet over, and the epochs that they keep; `of`: only of this one. One
    that cannot be read is not over."""
    found, held = set(), set()
    async for info in store.list(paths.holds if of is None else paths.holds_of(of)):
        kind, epoch, name = paths.parse(info.path)
        if kind is not ObjectKind.HOLD or epoch is None:
            continue  # not a hold
        if info.path != paths.hold(Epoch(epoch), OperationId(name)):
            continue
        try:
            hold = decode(Hold, await read_document(store, info.path), info.path)
            lasts = not hold.expires_at or parse_time(hold.expires_at) + HOLD_MARGIN_S > now_s
        except NotFound:
            continue  # dropped meanwhile
        except Corrupt:
            lasts = True
        if lasts:
            found.add(paths.relative(info.path))
            held.add(epoch)
    return frozenset(found), held

"""Completeness of a backup before its restore: what is damaged, and which other one is whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import aclosing

from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import Epoch
from cleancut.core.restore.plan import PlacementPlan
from cleancut.ports.store import Store
from cleancut.repository.catalog import list_epochs, read_rows
from cleancut.repository.shards.recipe_reader import missing_packs
from cleancut.repository.verification_log import read_damage
from cleancut.verification.reread import read_again

_TRIED, _READ = 20, 500
"""Other backups that hold the collections, and backups in all, that are looked at, at most."""


async def find_damage(
    store: Store, paths: Paths, shards: Sequence[ShardEntry], *, deep: bool = False
) -> tuple[str, ...]:
    """What keeps these shards from being restored: objects that are missing or too short, shards
    that a verification found damaged; with `deep`, also what reading all of them again finds.

    Raises: Refused, if packs lie in an archive; and what the store does.
    """
    recipes = sorted({shard.recipe for shard in shards})
    lacks = await missing_packs(store, paths, recipes)
    found = [f"{one.path}: {one.why}, needed by {one.needed_by}" for one in lacks]
    lacking = {recipe for one in lacks for recipe in one.recipes}
    known = (await read_damage(store, paths)).recipes
    for shard in shards:
        if shard.recipe in known and shard.recipe not in lacking and not deep:
            found.append(
                f"{shard.collection}/{shard.shard_id} was found damaged; if it was repaired since,"
                " `cleancut backup verify` shows that"
            )
    if deep:
        whole = [shard for shard in shards if shard.recipe not in lacking]
        async with aclosing(read_again(store, paths, whole)) as read:  # type: ignore[type-var]
            found += [wrong async for _, wrong in read if wrong]
    return tuple(found)


async def newest_whole(
    store: Store, paths: Paths, collections: Collection[str], *, but: Epoch
) -> Epoch | None:
    """The newest backup other than `but` that holds these collections, is not known to be damaged
    and lacks no object. Limits: 20 that hold them are looked at, of the newest 500."""
    damage = await read_damage(store, paths)
    epochs = [epoch for epoch in await list_epochs(store, paths) if epoch != but]
    tried = 0
    newest = read_rows(store, paths, epochs[::-1][:_READ])
    async with aclosing(newest) as rows:  # type: ignore[type-var]
        async for row in rows:
            group = row.manifest
            if group is None or not set(collections) <= {one.name for one in group.collections}:
                continue
            tried += 1
            if tried > _TRIED:
                return None
            recipes = {one.recipe for one in group.shards if one.collection in collections}
            if damage.affects(row.epoch, recipes):
                continue
            if not await missing_packs(store, paths, sorted(recipes)):
                return row.epoch
    return None


def planned_shards(manifest: Manifest, plan: PlacementPlan) -> list[ShardEntry]:
    """The shards that the plan restores."""
    wanted = {one.name: set(one.shard_ids) for one in plan.collections}
    return [
        shard
        for shard in manifest.shards
        if shard.collection in wanted
        and (not wanted[shard.collection] or shard.shard_id in wanted[shard.collection])
    ]


def advice(epoch: Epoch | None) -> str:
    if epoch is None:
        return "no other backup of these collections is known to be whole"
    return f"the newest whole backup is #{epoch}: `cleancut restore plan {epoch}`"

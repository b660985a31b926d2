"""What a store's objects are named by, and its doomed lists: see `cleancut.garbage`."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection
from functools import partial
from typing import NamedTuple

from cleancut.errors import Corrupt, NotFound
from cleancut.garbage import Doomed, Hold, Living, unknown_of
from cleancut.ids import Epoch, Sha256
from cleancut.io.catalog import list_epochs, newest_epoch
from cleancut.io.documents import load_recipe
from cleancut.io.ports import Store
from cleancut.io.tasks import run_all
from cleancut.keys import Paths
from cleancut.manifest import Manifest, parse_manifest
from cleancut.records import decode, encode
from cleancut.times import parse_time

HOLD_MARGIN_S = 3600.0
"""Whoever wrote a hold has a clock of its own."""
_AT_ONCE = 8
_PART = 256


class DoomedList(NamedTuple):
    sha256: Sha256
    doomed: Doomed


async def read_doomed(store: Store, paths: Paths) -> dict[str, DoomedList]:
    """The doomed lists by name. Raises: Corrupt, and what the store does."""
    found = {}
    names = [info.path async for info in store.list(paths.doomed_lists)]
    for path in names:
        try:
            data = await store.get(path)
        except NotFound:
            continue  # all that was on it has been deleted since
        sha256 = Sha256(hashlib.sha256(data).hexdigest())
        name = path.removeprefix(paths.doomed_lists).removesuffix(".json")
        found[name] = DoomedList(sha256, decode(Doomed, data, path))
    return found


async def read_unknown(store: Store, paths: Paths) -> frozenset[str]:
    """What an epoch that has begun may not name: see `unknown_of`. Raises: as `read_doomed`."""
    return unknown_of(one.doomed for one in (await read_doomed(store, paths)).values())


async def put_doomed(store: Store, paths: Paths, name: str, doomed: Doomed) -> Sha256:
    data = encode(doomed)
    await store.put(paths.doomed_list(name), data)
    return Sha256(hashlib.sha256(data).hexdigest())


async def list_objects(store: Store, paths: Paths) -> AsyncIterator[tuple[str, int]]:
    """All objects of the cluster: their paths under its folder, and sizes."""
    root = paths.root
    async for info in store.list(root):
        yield info.path.removeprefix(root), info.size_bytes


async def read_groups(store: Store, paths: Paths) -> AsyncIterator[Manifest]:
    """The manifest of every group without a tombstone, oldest first.

    Raises: Corrupt or Refused, for one that cannot be read: whoever deletes must know all.
    """
    epochs = await list_epochs(store, paths)
    for start in range(0, len(epochs), _PART):
        part = epochs[start : start + _PART]
        reads = [partial(_manifest, store, paths, epoch) for epoch in part]
        for manifest in await run_all(reads, _AT_ONCE):
            yield manifest


async def _manifest(store: Store, paths: Paths, epoch: Epoch) -> Manifest:
    path = paths.group(epoch)
    manifest = parse_manifest(await store.get(path), path)
    if manifest.epoch != epoch:
        raise Corrupt(f"{path} holds the manifest of epoch {manifest.epoch}")
    return manifest


async def read_living(
    store: Store,
    paths: Paths,
    *,
    used_epochs: Collection[int],
    now_s: float,
    gone: Collection[int] = (),
) -> Living:
    """What groups without a tombstone name, and those that a hold keeps, as they are now.

    `used_epochs`: their documents stay besides. `gone`: groups that count as if they had one.
    Order: tombstones are read before holds, so that who puts a hold and then finds no tombstone is
    safe.
    Raises: NotFound or Corrupt, if anything that is needed cannot be read.
    """
    epochs: set[int] = set(used_epochs)
    recipes: set[str] = set()
    newest_group = 0
    async for manifest in read_groups(store, paths):
        if manifest.epoch in gone:
            continue
        epochs.add(manifest.epoch)
        recipes.update(shard.recipe for shard in manifest.shards)
        newest_group = manifest.epoch
    holds, held = await read_holds(store, paths, now_s)
    for epoch in sorted(held - epochs):
        if await store.stat(paths.group(Epoch(epoch))) is not None:
            manifest = await _manifest(store, paths, Epoch(epoch))
            recipes.update(shard.recipe for shard in manifest.shards)
    pages: set[str] = set()
    packs: set[str] = set()
    ordered = sorted(recipes)
    for start in range(0, len(ordered), _PART):
        part = ordered[start : start + _PART]
        reads = [partial(load_recipe, store, paths, digest) for digest in part]
        for recipe in await run_all(reads, _AT_ONCE):
            pages.update(ref.digest for ref in recipe.pages)
            packs.update(use.pack for use in recipe.packs)
    return Living(
        epochs=frozenset(epochs | held),
        recipes=frozenset(recipes),
        pages=frozenset(pages),
        packs=frozenset(packs),
        holds=holds,
        newest_group=newest_group,
        newest_epoch=await newest_epoch(store, paths),
    )


async def read_holds(store: Store, paths: Paths, now_s: float) -> tuple[frozenset[str], set[int]]:
    """The paths of those not yet over, and the epochs that they keep."""
    found, held = set(), set()
    async for info in store.list(paths.holds):
        path = info.path.removeprefix(paths.root)
        epoch = path.split("/")[1]
        try:
            hold = decode(Hold, await store.get(info.path), info.path)
        except NotFound:
            continue  # dropped meanwhile
        if epoch.isdigit() and parse_time(hold.expires_at) + HOLD_MARGIN_S > now_s:
            found.add(path)
            held.add(int(epoch))
    return frozenset(found), held

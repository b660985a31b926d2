"""The catalog in a store, read without coordinator or etcd: the last resort."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from cleancut.cli.output import emit_facts
from cleancut.cli.settings import Settings
from cleancut.client.groups import shown_group
from cleancut.client.model import Backup
from cleancut.client.verdict import Verdict, find_problems, shown_verdict
from cleancut.errors import Corrupt, NotFound, Refused
from cleancut.ids import Epoch
from cleancut.io.assemble import read_tar
from cleancut.io.catalog import list_epochs, list_groups, load_group
from cleancut.io.clock import SystemClock
from cleancut.io.documents import load_recipe, missing_packs
from cleancut.io.ports import Store
from cleancut.io.rereading import choose_shards, find_damage
from cleancut.io.store import open_store
from cleancut.keys import Paths
from cleancut.manifest import AgentDocument, Manifest, ShardEntry
from cleancut.recipe import Recipe
from cleancut.records import decode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One shard of one group."""

    backup: str
    collection: str
    shard: int


def list_backups(settings: Settings, limit: int) -> list[Backup]:
    """The newest `limit` groups, newest first."""

    async def read(store: Store, paths: Paths) -> list[Backup]:
        newest = list(reversed(await list_epochs(store, paths)))[:limit]
        return [
            shown_group(await load_group(store, paths, epoch), with_shards=False)
            for epoch in newest
        ]

    return _with_store(settings, read)


def show_backup(settings: Settings, name: str) -> Backup:
    """The group of that id or epoch. Raises: NotFound."""

    async def read(store: Store, paths: Paths) -> Backup:
        return shown_group(await _find(store, paths, name))

    return _with_store(settings, read)


def verify(settings: Settings, name: str, read_percent: int) -> Verdict:
    """What a look at the group of that id or epoch found; so much of its data is read.

    Raises: NotFound; Corrupt for a manifest, recipe or page that is none.
    """

    async def look(store: Store, paths: Paths) -> Verdict:
        manifest = await _find(store, paths, name)
        published = hashlib.sha256(await store.get(paths.group(manifest.epoch))).hexdigest()
        decided = await store.stat(paths.staged(manifest.epoch, published)) is not None
        digests = sorted({shard.recipe for shard in manifest.shards})
        lacks = await missing_packs(store, paths, digests)
        recipes = await _recipes(store, paths, digests)
        documents = await _documents(store, paths, manifest.epoch)
        problems = find_problems(manifest, documents, recipes, decided=decided)
        named = {paths.pack(use.pack) for one in recipes.values() for use in one.packs}
        named |= {paths.page(ref.digest) for one in recipes.values() for ref in one.pages}
        missing = tuple(f"{lack.path}: {lack.why}, needed by {lack.needed_by}" for lack in lacks)
        chosen = choose_shards(manifest.shards, read_percent, random.SystemRandom())
        if not missing:
            missing = tuple(await find_damage(store, paths, chosen))
        verdict = shown_verdict(manifest, problems, missing, len(named) + len(digests))
        return replace(verdict, read_bytes=sum(shard.size_bytes for shard in chosen))

    return _with_store(settings, look)


async def _recipes(store: Store, paths: Paths, digests: Sequence[str]) -> dict[str, Recipe]:
    """Those that are there, by digest."""
    found: dict[str, Recipe] = {}
    for digest in digests:
        with suppress(NotFound):
            found[digest] = await load_recipe(store, paths, digest)
    return found


async def _documents(store: Store, paths: Paths, epoch: Epoch) -> list[AgentDocument]:
    """What the agents of an epoch have stored; one that cannot be read tells nothing."""
    found = []
    async for info in store.list(paths.votes_documents(epoch)):
        with suppress(Corrupt):
            found.append(decode(AgentDocument, await store.get(info.path), info.path))
    return found


def extract(settings: Settings, wanted: Wanted, target: Path) -> dict[str, Any]:
    """Writes one shard's tar to `target`, which must not exist; gives what was written.

    Raises: NotFound; Refused if the file exists or cannot be written; Corrupt if the bytes are
        not those that were captured. Nothing is at `target` before all of it was checked.
    """
    if target.exists():
        raise Refused(f"{target} exists", "choose a new file: nothing is overwritten")

    async def write(store: Store, paths: Paths) -> dict[str, Any]:
        manifest = await _find(store, paths, wanted.backup)
        entry = _shard(manifest, wanted)
        try:
            with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
                try:
                    await _copy(store, paths, entry, file)
                    os.link(file.name, target)  # unlike a rename, it never replaces
                finally:
                    os.unlink(file.name)
        except OSError as error:
            raise Refused(f"cannot write {target}: {error.strerror}", "see its folder") from error
        return {
            "file": str(target),
            "backup": manifest.operation,
            "epoch": manifest.epoch,
            "collection": entry.collection,
            "shard_id": entry.shard_id,
            "size_bytes": entry.size_bytes,
            "sha256": entry.tar_sha256,
        }

    return _with_store(settings, write)


def emit_extracted(settings: Settings, facts: dict[str, Any]) -> None:
    emit_facts(settings.output, "extracted", facts)


async def _copy(store: Store, paths: Paths, entry: ShardEntry, file: Any) -> None:
    digest = hashlib.sha256()
    async with aclosing(read_tar(store, paths, entry.recipe)) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    file.flush()
    os.fsync(file.fileno())
    if digest.hexdigest() != entry.tar_sha256:
        raise Corrupt(
            f"shard {entry.shard_id} of {entry.collection!r} is not the tar that was captured",
            "another group may be whole",
        )


async def _find(store: Store, paths: Paths, name: str) -> Manifest:
    """By epoch at once; by id the newest that has it. Raises: NotFound."""
    if name.isdecimal():
        return await load_group(store, paths, Epoch(int(name)))
    async with aclosing(list_groups(store, paths)) as groups:  # type: ignore[type-var]
        async for manifest in groups:
            if manifest.operation == name:
                return manifest
    raise NotFound(f"the store holds no backup {name!r}", "see `cleancut backup list`")


def _shard(manifest: Manifest, wanted: Wanted) -> ShardEntry:
    for entry in manifest.shards_of(manifest.collection(wanted.collection).name):
        if entry.shard_id == wanted.shard:
            return entry
    raise NotFound(
        f"group {manifest.epoch} holds no shard {wanted.shard} of {wanted.collection!r}",
        "see `cleancut backup show`",
    )


def _with_store(settings: Settings, act: Callable[[Store, Paths], Awaitable[T]]) -> T:
    url, cluster = settings.catalog()

    async def run() -> T:
        store = open_store(url, SystemClock())
        try:
            return await act(store, Paths(cluster))
        finally:
            await store.close()

    return asyncio.run(run())

"""Catalog of a store, read without a coordinator and without etcd."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from cleancut.api.backups import Backup
from cleancut.api.from_manifest import shown_checks, shown_corrupt, shown_group
from cleancut.api.from_story import backup_of
from cleancut.cli.exit_codes import say
from cleancut.cli.render.output import emit_facts, emit_rows
from cleancut.cli.settings import Settings
from cleancut.cli.terminal import errors_are_json
from cleancut.core.format.collection_snapshot import shards_of_peers, upload_command
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.format.story import BACKUPS
from cleancut.core.primitives.errors import Corrupt, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import ClusterName, Epoch, parse_cluster
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.verification.damage import Damage
from cleancut.data.output import check_target, new_file
from cleancut.ports.store import Store
from cleancut.repository import clusters
from cleancut.repository.catalog import CatalogRow, find_group, list_epochs, read_rows
from cleancut.repository.garbage import ReferencedNames
from cleancut.repository.holds import reasons_of
from cleancut.repository.known_history import KnownHistory
from cleancut.repository.shards.captured_tar import read_captured
from cleancut.repository.shards.collection_tar import collection_tar
from cleancut.repository.short_ids import resolve_id
from cleancut.repository.verification_log import list_checks, read_damage
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store

T = TypeVar("T")
_MAX_GROUPS = 200
"""More are not read to show one."""
_KEYED = (
    "warning: the collection has shard keys: Qdrant's API recovers its snapshot as an empty"
    " collection. Start Qdrant with --snapshot FILE:NAME instead"
)


@dataclass(frozen=True, slots=True)
class ShardSelection:
    """One shard of one backup."""

    backup: str
    collection: str
    shard: int


def list_backups(
    settings: Settings, limit: int, suffice: Callable[[list[Backup]], bool] = lambda _found: False
) -> list[Backup]:
    """The newest `limit` backups, newest first; fewer, once these `suffice`."""

    async def read(store: Store, paths: Paths) -> list[Backup]:
        found: list[Backup] = []
        epochs = list(reversed(await list_epochs(store, paths)))[:limit]
        damage = await read_damage(store, paths)
        async with aclosing(read_rows(store, paths, epochs)) as rows:  # type: ignore[type-var]
            async for row in rows:
                found.append(_shown(row, damage))
                if suffice(found):
                    break
        return found

    return with_store(settings, read)


def _shown(row: CatalogRow, damage: Damage) -> Backup:
    if row.manifest is None:
        assert row.error is not None, "a row without a manifest says why"
        return shown_corrupt(row.epoch, row.error)
    return shown_group(row.manifest, with_shards=False, damage=damage)


def show_backup(settings: Settings, name: str) -> Backup:
    """The backup of that id or number; also one that failed, by its id. Raises: NotFound."""

    async def read(store: Store, paths: Paths) -> Backup:
        damage = await read_damage(store, paths)
        number = whole_number(name)
        epoch = None if number is None else Epoch(number)
        named = await resolve_id(store, paths, name, BACKUPS)
        try:
            manifest = await find_group(store, paths, named)
            epoch = manifest.epoch
            shown = shown_group(manifest, damage=damage)
        except (Corrupt, Refused) as error:
            if epoch is None:
                raise
            shown = shown_corrupt(epoch, error)
        except NotFound:
            history = KnownHistory(store, paths, SystemClock())
            story = None if epoch else await history.read_whole(named, BACKUPS)
            failed = None if story is None else backup_of(story)
            if failed is None:
                raise
            return failed
        checks = shown_checks(await list_checks(store, paths), epoch)
        holds = await reasons_of(store, paths, epoch, time.time())
        freed = await _freed(store, paths, epoch)
        return replace(shown, holds=holds, checks=checks, freed_bytes=freed)

    return with_store(settings, read)


async def _freed(store: Store, paths: Paths, epoch: Epoch) -> int | None:
    """What a deletion would free; None, if that takes too long to find out, or cannot be."""
    names = ReferencedNames(store, paths)
    if await names.count_unread() > _MAX_GROUPS:
        return None
    await names.groups()
    return await names.freed_by(epoch)


def extract(settings: Settings, selection: ShardSelection, target: Path) -> dict[str, Any]:
    """Writes one shard's tar to `target`, which must not exist; gives what was written.

    Raises: NotFound; Refused if the file exists or cannot be written; Corrupt if the bytes are
        not those that were captured. Nothing is at `target` before all of it was checked.
    """
    check_target(target)

    async def write(store: Store, paths: Paths) -> dict[str, Any]:
        manifest = await find_group(store, paths, selection.backup)
        entry = _shard(manifest, selection)
        with new_file(target) as path:
            sha256 = await _copy(read_captured(store, paths, entry), path)
        return {
            "file": str(target),
            "backup": manifest.operation,
            "epoch": manifest.epoch,
            "collection": entry.collection,
            "shard_id": entry.shard_id,
            "size_bytes": entry.size_bytes,
            "sha256": sha256,
        }

    return with_store(settings, write)


def extract_snapshot(
    settings: Settings, backup: str, collection: str, target: Path
) -> dict[str, Any]:
    """Writes all shards of a collection to `target` as one snapshot of Qdrant; gives what was
    written. Raises: as `extract`."""
    check_target(target)

    async def write(store: Store, paths: Paths) -> dict[str, Any]:
        manifest = await find_group(store, paths, backup)
        entry = manifest.collection(collection)
        with new_file(target) as path:
            sha256 = await _copy(collection_tar(store, paths, manifest, collection), path)
        size = await asyncio.to_thread(target.stat)
        if entry.shard_keys:
            say(_KEYED)
        return {
            "file": str(target),
            "backup": manifest.operation,
            "epoch": manifest.epoch,
            "collection": collection,
            "shards": len(entry.shard_ids),
            "qdrant_version": manifest.source.qdrant_version,
            "size_bytes": size.st_size,
            "sha256": sha256,
        }

    return with_store(settings, write)


def extract_for_peers(
    settings: Settings, backup: str, collection: str, target: Path, *, peers: int
) -> list[dict[str, Any]]:
    """Writes the shards of a collection as snapshots of N `peers`, next to each other; gives
    what was written, and what recovers each. Raises: as `extract`, and as `shards_of_peers`."""
    files = [
        target.with_name(f"{target.stem}-{number}{target.suffix}") for number in range(1, peers + 1)
    ]
    for file in files:
        check_target(file)

    async def write(store: Store, paths: Paths) -> list[dict[str, Any]]:
        manifest = await find_group(store, paths, backup)
        parts = shards_of_peers(manifest.collection(collection), peers)
        written = []
        with ExitStack() as made:
            for number, (file, part) in enumerate(zip(files, parts, strict=True), 1):
                path = made.enter_context(new_file(file))
                tar = collection_tar(store, paths, manifest, collection, only=part)
                sha256 = await _copy(tar, path)
                command = upload_command(collection, f"PEER-{number}", str(file), sha256)
                written.append(
                    {
                        "file": str(file),
                        "shards": ",".join(map(str, part)),
                        "size_bytes": path.stat().st_size,
                        "command": command,
                    }
                )
        return written

    return with_store(settings, write)


def emit_extracted(settings: Settings, facts: dict[str, Any] | list[dict[str, Any]]) -> None:
    if isinstance(facts, dict):
        emit_facts(settings.output, "extracted", facts)
    else:
        emit_rows(settings.output, "extracted", facts)


async def _copy(tar: AsyncGenerator[bytes | memoryview, None], target: Path) -> str:
    """The sha256 of what was written."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        async with aclosing(tar) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
    return digest.hexdigest()


def _shard(manifest: Manifest, selection: ShardSelection) -> ShardEntry:
    for entry in manifest.shards_of(manifest.collection(selection.collection).name):
        if entry.shard_id == selection.shard:
            return entry
    raise NotFound(
        f"backup #{manifest.epoch} holds no shard {selection.shard} of {selection.collection!r}",
        f"see `cleancut backup show {manifest.epoch}`",
    )


def list_clusters(settings: Settings) -> list[dict[str, Any]]:
    """The clusters of a store, with the number of their backups and the newest one."""

    async def read(store: Store) -> list[dict[str, Any]]:
        found = []
        for name in await clusters.list_clusters(store):
            epochs = await list_epochs(store, Paths(name))
            newest = max(epochs, default=None)
            found.append({"cluster": name, "backups": len(epochs), "newest": newest})
        return found

    return _with_opened(settings, read)


def with_store(
    settings: Settings, act: Callable[[Store, Paths], Awaitable[T]], *, named: bool = False
) -> T:
    """Without --cluster, the only cluster of the store is meant; `named`: the one that --cluster
    names may have nothing in the store yet.

    Raises: Invalid (no store, or several clusters to choose from); NotFound (no such cluster, with
        those that there are).
    """

    async def find(store: Store) -> T:
        if named and settings.cluster:
            return await act(store, Paths(parse_cluster(settings.cluster)))
        found = await clusters.find_cluster(store, settings.cluster or "", settings.store or "")
        return await act(store, Paths(found))

    return _with_opened(settings, find)


def store_and_cluster(settings: Settings) -> tuple[str, ClusterName]:
    """The store's URL, and the cluster in it that is meant. A store is not read if --cluster names
    one. Raises: as `with_store`."""
    if settings.store and settings.cluster:
        return settings.store, parse_cluster(settings.cluster)

    async def only(_store: Store, paths: Paths) -> ClusterName:
        return paths.cluster

    found = with_store(settings, only)
    return settings.store or "", found


def _with_opened(settings: Settings, act: Callable[[Store], Awaitable[T]]) -> T:
    """Raises: Invalid, without a store."""
    settings.check_one_target()
    url = settings.store
    if not url:
        raise Invalid(
            "this command needs --store URL",
            "give it as a flag, or as CLEANCUT_STORE; `cleancut status` shows it",
        )
    if settings.ignores_coordinator and not errors_are_json():
        say("note: this reads the store that --store names, and asks no coordinator")

    async def run() -> T:
        store = open_store(url, SystemClock(), settings.key_source)
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(run())

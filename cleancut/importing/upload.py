"""Upload of an import: its shards go to the store under an id of their own, then their draft.

Nothing is a backup before the coordinator has entered the draft: see D22.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

from cleancut.core.format.manifest import CollectionEntry, ImportDraft, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.format.snapshot_choice import Choice
from cleancut.core.maintenance.garbage import BegunImport
from cleancut.core.primitives.codec import digest_of, encode
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import Epoch, PeerId, ShardId
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_records import Reading
from cleancut.core.protocol.requests import ImportRequest
from cleancut.importing.snapshot_file import SnapshotFile, read_shard, read_snapshot
from cleancut.ports.clock import Clock
from cleancut.ports.store import Store
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import CapturedShard, capture_shard

EPOCH = Epoch(0)
"""Of packs that no operation has stored."""
_THREADS = 4
_UNREAD = Reading(number=None, incarnation="")


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What is to be stored: `files` by the name that they were given."""

    entry: CollectionEntry
    chosen: Sequence[Choice]
    files: Mapping[str, SnapshotFile]
    warnings: tuple[str, ...] = ()


async def upload(
    store: Store,
    paths: Paths,
    plan: ImportPlan,
    *,
    clock: Clock,
    scratch: Path | None,
    notice: Callable[[str], None],
) -> ImportRequest:
    """Stores all shards and their draft; what the coordinator is to be asked for.

    Order: the mark that keeps it from garbage collection is first. Raises: what the store does, and
    Refused; then the mark is dropped, if the store can be reached.
    """
    import_id = secrets.token_hex(16)
    begun = BegunImport(at=format_time(clock.wall_s()))
    await store.put(paths.import_begun(import_id), encode(begun))
    try:
        shards = await _store_shards(store, paths, plan, import_id, scratch=scratch, notice=notice)
        draft = ImportDraft(
            collection=plan.entry,
            shards=shards,
            files=tuple(dict.fromkeys(Path(one.file).name for one in plan.chosen)),
            warnings=plan.warnings,
        )
        sha256 = digest_of(draft)
        await store.put(paths.import_draft(import_id, sha256), encode(draft))
    except BaseException:
        with suppress(CleancutError):
            await store.delete(paths.import_begun(import_id))
        raise
    return ImportRequest(import_id=import_id, draft=sha256, collection=plan.entry.name)


async def drop_mark(store: Store, paths: Paths, import_id: str) -> None:
    """Order: once its backup is in the catalog, or never will be."""
    listed = [info.path async for info in store.list(paths.import_of(import_id))]
    for path in sorted(listed, reverse=True):  # the mark is the last that goes
        await store.delete(path)


async def _store_shards(
    store: Store,
    paths: Paths,
    plan: ImportPlan,
    import_id: str,
    *,
    scratch: Path | None,
    notice: Callable[[str], None],
) -> tuple[ShardEntry, ...]:
    found = []
    keys = {shard: key for key, shards in plan.entry.shard_keys for shard in shards}
    with (
        tempfile.TemporaryDirectory(prefix="cleancut-import-", dir=scratch) as spill,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        async with PackWriter(
            store, paths, epoch=EPOCH, session_id=import_id, pool=pool, spill_dir=Path(spill)
        ) as packs:
            for one in plan.chosen:
                async with aclosing(read_shard(plan.files[one.file], one.inner)) as chunks:
                    captured = await capture_shard(
                        chunks, parent=None, packs=packs, on_cut=lambda: None
                    )
                found.append(_entry(plan.entry, one.shard_id, keys.get(one.shard_id), captured))
                notice(f"shard {one.shard_id} of {one.file}: {captured.size_bytes:,} bytes stored")
    return tuple(found)


def _entry(
    entry: CollectionEntry, shard_id: ShardId, key: str | int | None, captured: CapturedShard
) -> ShardEntry:
    return ShardEntry(
        collection=entry.name,
        shard_id=shard_id,
        peer_id=PeerId(0),
        agent="",
        recipe=captured.recipe_digest,
        tar_sha256=captured.tar_sha256,
        size_bytes=captured.size_bytes,
        new_bytes=captured.new_bytes,
        stored_bytes=captured.stored_bytes,
        first=_UNREAD,
        second=_UNREAD,
        drained=False,
        uuid=entry.uuid,
        shard_key=key,
    )


async def read_files(names: Sequence[str]) -> dict[str, SnapshotFile]:
    """By name, each read to its end. Raises: Corrupt, Refused."""
    found = {}
    for name in dict.fromkeys(names):
        found[name] = await asyncio.to_thread(read_snapshot, Path(name), name)
    return found

"""Offline reshard: a copy of a backup with other numbers of shards, made from its store alone.

The points of each shard are routed by the hash ring into new shards, which Qdrant's engine builds,
indexes and packs in processes of their own. The copy lies in a folder of its own in the same store,
as that of another cluster, so no garbage collection looks at it, and it is removed as a whole.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cleancut.core.cluster.collection_config import indexes
from cleancut.core.format.manifest import CollectionEntry, Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import encode_format
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Refused, from_reason
from cleancut.core.primitives.ids import ClusterName, Epoch, OperationId, ShardId, parse_cluster
from cleancut.core.protocol.requests import ShardNumber
from cleancut.core.restore.resharded import (
    JOBS,
    ShardGroup,
    entry_of,
    groups_of,
    manifest_of,
    new_shard,
    scratch_bytes,
    sources_of,
)
from cleancut.core.restore.shard_numbers import wanted_of
from cleancut.data.child import Child, child
from cleancut.data.job import Line
from cleancut.data.reshard_process import Fill, Finish, Source
from cleancut.data.shard_runner import write_tar
from cleancut.ports.store import Store
from cleancut.repository.catalog import find_group, publish_group
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import CapturedShard, capture_shard
from cleancut.repository.shards.captured_tar import read_captured
from cleancut.runtime.concurrency import run_all
from cleancut.store.key_source import KeySource
from cleancut.store.keyring import ensure_data_key
from cleancut.store.open import OpenedStore

Notice = Callable[[str], None]
_CHUNK_BYTES = 1 << 20
_THREADS = 2
_LINE_BYTES = 16 << 20
EPOCH = Epoch(1)
"""The number of a copy in its own folder."""


@dataclass(frozen=True, slots=True)
class OfflineRequest:
    """Which collections of which backup get which numbers of shards. `jobs`: new shards that are
    optimized at a time."""

    backup: str
    collections: tuple[str, ...]
    numbers: tuple[ShardNumber, ...]
    jobs: int = JOBS


@dataclass(frozen=True, slots=True)
class OfflinePlan:
    """What an offline reshard does."""

    manifest: Manifest
    entries: tuple[CollectionEntry, ...]
    groups: tuple[ShardGroup, ...]
    scratch_bytes: int


async def plan_offline(store: Store, paths: Paths, request: OfflineRequest) -> OfflinePlan:
    """Raises: NotFound, for an unknown backup or collection; Invalid, for a number of shards."""
    manifest = await find_group(store, paths, request.backup)
    names = manifest.named(request.collections) or sorted(e.name for e in manifest.collections)
    chosen = tuple(manifest.collection(name) for name in names)
    groups = groups_of(chosen, wanted_of(chosen, request.numbers))
    return OfflinePlan(
        manifest=manifest,
        entries=chosen,
        groups=groups,
        scratch_bytes=max(
            (scratch_bytes(manifest, one, request.jobs) for one in groups), default=0
        ),
    )


def copy_name(cluster: ClusterName) -> ClusterName:
    """A new name for the folder of a copy."""
    return parse_cluster(f"{cluster[:40].rstrip('.-')}.reshard-{secrets.token_hex(4)}")


async def remove_copy(store: Store, paths: Paths) -> None:
    """Removes a copy, its manifest first. Repeatable."""
    await store.delete(paths.group(EPOCH))
    for path in [info.path async for info in store.list(paths.root)]:
        await store.delete(path)


@dataclass(slots=True)
class OfflineReshard:
    """Makes one copy. `target`: the folder that it gets. Limits: scratch as the plan says; memory
    of the new shards of one key, which the engine maps from disk."""

    opened: OpenedStore
    keys: KeySource
    source: Paths
    target: Paths
    plan: OfflinePlan
    scratch: Path
    jobs: int
    notice: Notice
    _shards: list[ShardEntry] = field(default_factory=list)
    _packs: PackWriter = field(init=False)

    async def run(self) -> Manifest:
        """The copy's manifest, once it is published.

        Raises: Refused, without scratch; Corrupt, for a damaged shard, or an id in two of them;
            what the store does. Then nothing is published, and `remove_copy` removes what is there.
        """
        await asyncio.to_thread(self._check_scratch)
        await self._prepare()
        operation = OperationId(f"b-{secrets.token_hex(8)}")
        with ThreadPoolExecutor(_THREADS, "reshard") as pool:
            self._packs = PackWriter(
                self.opened.store,
                self.target,
                epoch=EPOCH,
                session_id="reshard",
                pool=pool,
                spill_dir=self.scratch / "spill",
                gather=False,
            )
            async with self._packs:
                for number, group in enumerate(self.plan.groups):
                    await self._build(group, self.scratch / f"{number}")
        manifest = manifest_of(
            self.plan.manifest,
            [entry_of(entry, self.plan.groups) for entry in self.plan.entries],
            sorted(self._shards, key=lambda one: (one.collection, one.shard_id)),
            cluster=self.target.cluster,
            operation=operation,
        )
        await publish_group(self.opened.store, self.target, manifest, encode(manifest))
        return manifest

    def _check_scratch(self) -> None:
        free = shutil.disk_usage(self.scratch).free
        if free < self.plan.scratch_bytes:
            raise Refused(
                f"{self.plan.scratch_bytes:,} bytes are needed in {self.scratch.parent}, {free:,}"
                " are free",
                "name another directory with --scratch",
            )

    async def _prepare(self) -> None:
        keys = self.keys.read()
        if keys:
            await ensure_data_key(self.opened.raw, self.target, keys, time.time())
        await self.opened.raw.put(self.target.format, encode_format(encrypted=bool(keys)))

    async def _build(self, group: ShardGroup, scratch: Path) -> None:
        sources = sources_of(self.plan.manifest, group)
        if group.same:
            for shard in sources:
                found = await self._capture(read_captured(self.opened.store, self.source, shard))
                self._shards.append(_with_recipe(shard, found))
            return
        await asyncio.to_thread(scratch.mkdir)
        directories = {int(shard): str(scratch / f"new-{shard}") for shard in group.new}
        config = self._entry(group).info["config"]
        began_s = time.monotonic()
        filled = await _talk(
            Fill(directories, config), partial(self._feed, sources, scratch), self._label(group)
        )
        self.notice(
            f"{self._label(group)}: {filled.points:,} points in {len(group.new)} new shards after"
            f" {time.monotonic() - began_s:.1f} s"
        )
        calls = [partial(self._finish, group, sources, shard, scratch) for shard in group.new]
        self._shards += await run_all(calls, self.jobs)
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _feed(self, sources: Sequence[ShardEntry], scratch: Path) -> AsyncIterator[bytes]:
        """One source after the other, each once the one before is taken."""
        for shard in sources:
            tar = scratch / f"old-{shard.shard_id}.tar"
            directory = scratch / f"old-{shard.shard_id}"
            await write_tar(self.opened.store, self.source, shard, tar)
            yield msgspec.json.encode(Source(str(tar), str(directory), shard.count))
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def _finish(
        self, group: ShardGroup, sources: Sequence[ShardEntry], shard: ShardId, scratch: Path
    ) -> ShardEntry:
        """Indexed, packed and stored."""
        entry, directory = self._entry(group), scratch / f"new-{shard}"
        tar = directory.with_suffix(".tar")
        job = Finish(str(directory), entry.info["config"], indexes(entry.info), str(tar))
        line = await _talk(job, None, f"{self._label(group)} shard {shard}")
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        found = await self._capture(_pieces(tar))
        tar.unlink()
        return new_shard(
            sources,
            shard,
            recipe=found.recipe_digest,
            tar_sha256=found.tar_sha256,
            size_bytes=found.size_bytes,
            stored_bytes=found.stored_bytes,
            count=line.result,
        )

    async def _capture(self, chunks: Any) -> CapturedShard:
        async with aclosing(chunks):
            return await capture_shard(
                _bytes(chunks), parent=None, packs=self._packs, on_cut=lambda: None
            )

    def _entry(self, group: ShardGroup) -> CollectionEntry:
        return next(one for one in self.plan.entries if one.name == group.collection)

    def _label(self, group: ShardGroup) -> str:
        key = "" if group.key is None else f", key {group.key}"
        return f"{group.collection}{key}"


def _with_recipe(shard: ShardEntry, found: CapturedShard) -> ShardEntry:
    """A shard that is taken as it is: its recipe is the copy's own."""
    return msgspec.structs.replace(shard, recipe=found.recipe_digest, tar_sha256=found.tar_sha256)


async def _bytes(chunks: AsyncIterator[bytes | memoryview]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield bytes(chunk)


async def _pieces(tar: Path) -> AsyncIterator[bytes]:
    with tar.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield piece


async def _talk(
    job: Fill | Finish, feed: Callable[[], AsyncIterator[bytes]] | None, label: str
) -> Line:
    """The last line of the process that does `job`. Raises: what the job fails with; Corrupt, or
    CleancutError if a signal ended it."""
    async with child("cleancut.data.reshard_process", _LINE_BYTES) as started:
        last = await _send(started, msgspec.json.encode(job), wait=False)
        if feed is not None:
            async with aclosing(feed()) as sources:  # type: ignore[type-var]
                async for source in sources:
                    last = await _send(started, source, wait=True)
                    if last.result != "next":
                        break
        assert started.process.stdin is not None
        started.process.stdin.close()
        while (line := await started.line()) is not None:
            last = line
        await started.process.wait()
    if last.reason:
        raise from_reason(last.reason)(f"{label}: {last.message}", last.hint)
    if last.result is None or last.result == "next":
        raise started.failure(label, "builds shards")
    return last


async def _send(started: Child, document: bytes, *, wait: bool) -> Line:
    """`wait`: for the line that has a result, or says why there is none."""
    stdin = started.process.stdin
    assert stdin is not None
    try:
        stdin.write(document + b"\n")
        await stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return Line()
    while wait:
        line = await started.line()
        if line is None or line.result is not None or line.reason:
            return line or Line()
    return Line()

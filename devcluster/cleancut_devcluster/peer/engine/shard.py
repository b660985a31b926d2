"""One replica of a shard on this peer: the engine, its number, cuts and replacement.

Engine calls run inline: the engine holds the GIL, so each one is atomic to everything else here.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import qdrant_edge as edge

from cleancut.engine.config import Json, engine_config, index_schema, vector_params
from cleancut.engine.tar_format import TarEntry, copy_sparse
from cleancut_devcluster.peer.engine.errors import Problem, engine_errors, service_error
from cleancut_devcluster.peer.engine.log_entries import EMPTY, encode_operation
from cleancut_devcluster.peer.engine.shard_log import (
    CAPACITY_BYTES,
    LogPlace,
    ShardLog,
    empty_log,
    end_of,
    write_empty_segment,
)
from cleancut_devcluster.peer.engine.slow_optimization import SlowOptimization, instant
from cleancut_devcluster.peer.engine.updates import Operation, engine_operation

OPTIMIZE_S = 600.0
_LAST_MEMBERS = ("segment.json", "version.info")
_MANIFEST = "segment_manifest.json"
_EMPTY_WAL_BYTES = 4 << 20
_INDEX_KINDS = frozenset({"create_index", "delete_index"})
_INDEX_STEPS = 2
_KEPT_OPTIMIZATIONS = 15


class LocalShard:
    """`op_num` is the number of the newest applied operation, its index in the log; saved at a
    flush, so that a killed peer may come back with a smaller one. `damage`: why its data is not to
    be loaded.

    `place`: of its log, written as Qdrant's. The engine has one of its own, which numbers alike: it
    replays that when it is opened.
    """

    def __init__(self, directory: Path, config: Json, place: LogPlace, damage: str = "") -> None:
        self.directory = directory
        self._place = place
        self.op_num = 0
        self.order = asyncio.Lock()
        self.streaming = asyncio.Lock()
        self.maintenance = asyncio.Lock()
        self.forwarding = asyncio.Lock()
        self.incarnation = 0
        self.damage = damage
        self.last_write_s = time.monotonic()
        self.unoptimized = True
        self.optimizations: list[Json] = []
        self._slow = SlowOptimization(directory / "optimizing", self.optimizations)
        self._again: list[Operation] = []
        self._ticks = 0
        self._unflushed = False
        self._engine: Any = None
        self._open = asyncio.Event()
        self._config = config
        self._log: ShardLog | None = None
        if self._dirty.exists():
            self.damage = "Dirty shard - shard is not fully initialized"
        if self.damage:
            self._open.set()
        elif self._data.exists():
            self._log = self._open_log()
            self._load()
        else:
            self._create()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _show_segments(self) -> None:
        """They are seen next to the log, where Qdrant has them."""
        link = self._place.directory.with_name("segments")
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((self._data / "segments").absolute())

    @property
    def _number_file(self) -> Path:
        return self.directory / "number.json"

    @property
    def _dirty(self) -> Path:
        """Exists while data is being replaced: a process that dies meanwhile leaves it behind."""
        return self.directory / "dirty"

    async def engine(self) -> Any:
        """The open engine. Raises: Problem 500 for a replica whose data cannot be used."""
        await self._open.wait()
        if self.damage:
            raise service_error(self.damage)
        return self._engine

    @property
    def log(self) -> ShardLog:
        assert self._log is not None
        return self._log

    def tick(self, peer_id: int) -> tuple[int, int]:
        """The clock of an operation that is led here."""
        self._ticks += 1
        return peer_id, self._ticks

    async def apply(self, operation: Operation) -> int:
        """The operation's number. Raises: Problem; what is refused before it is queued uses up
        none, and is not in the log.

        A point that is not there is found out later: that number shows with the next operation.
        Source: measured on Qdrant 1.18.3
        """
        engine = await self.engine()
        if self.full.exists() and operation["kind"] == "upsert":
            self._skip(operation)
            raise service_error("No space left on device")
        for step in range(_INDEX_STEPS if operation["kind"] in _INDEX_KINDS else 1):
            try:
                with engine_errors():
                    self._slow.keep(engine, operation)
                    engine.update(engine_operation(operation))
            except Problem as problem:
                if problem.status == 404:
                    self.log.append(encode_operation(operation))
                else:
                    self._align()
                raise
            # The first of two comes from consensus, without a clock.
            tagged = operation["kind"] not in _INDEX_KINDS or step > 0
            self.op_num = self.log.append(encode_operation(operation, tagged=tagged))
        self.last_write_s = time.monotonic()
        self._unflushed = True
        self.unoptimized = True
        return self.op_num

    def _skip(self, operation: Operation) -> None:
        """It is in the log, and not applied: the engine counts it all the same."""
        self.log.append(encode_operation(operation))
        self._engine.update(edge.UpdateOperation.upsert_points([]))
        self._again.append(operation)

    def truncate_log(self) -> int:
        """Entries that were not applied are dropped; how many those were."""
        dropped = self.log.next_index - (self.op_num + 1)
        if dropped > 0:
            self.log.truncate(self.op_num + 1)
            self._again.clear()
            self._align()
        return max(0, dropped)

    @property
    def full(self) -> Path:
        """While this file exists, upserts fail as on a full disk."""
        return self.directory / "full"

    async def retry(self) -> None:
        """What failed is applied again, and the number stands still. Order: after any operation.

        Source: lib/collection/src/update_workers/optimization_worker.rs, Qdrant 1.18.3
        """
        pending = self.log.last_index > self.op_num if self._again else True
        if pending or self.full.exists():
            return
        engine = await self.engine()
        again, self._again = self._again, []
        for operation in again:
            engine.update(engine_operation(operation))
        self._align()

    @property
    def status(self) -> str:
        if self._again:
            return "red"
        optimizes = self._slow.runs() or self.maintenance.locked()
        return "yellow" if optimizes else "green"

    def optimization_log(self) -> list[Json]:
        """Optimizations as telemetry lists them, the newest first."""
        self._slow.runs()
        return self.optimizations[::-1][:_KEPT_OPTIMIZATIONS]

    def segments(self) -> list[Json]:
        """What telemetry says of each segment; none while the engine is closed."""
        manifest = self._engine.snapshot_manifest() if self._engine is not None else {}
        return [{"uuid": uuid, "num_points": 0} for uuid in manifest]

    @property
    def threshold_kb(self) -> int:
        """Unindexed vectors beyond this want an index; see `unindexed_kb`."""
        return int(self._config["optimizer_config"]["indexing_threshold"] or 1 << 62)

    def unindexed_kb(self, points: int) -> float:
        """The size of the dense vectors of `points` points."""
        sizes = (params["size"] for params in vector_params(self._config).values())
        return float(points * sum(sizes) * 4 / 1024)

    def flush(self) -> None:
        """Order: every few seconds; the engine replays what came after it. The log is acknowledged,
        unless an optimization or a failed operation holds that back."""
        if self._engine is None:
            return
        if self._unflushed:
            self._engine.flush()
            self._save_number()
            self._unflushed = False
        if self.status == "green":
            self.log.acknowledge(self.op_num)

    def cut(self, scratch: Path, known: Json | None = None) -> Iterator[TarEntry]:
        """The shard's members at this instant, copied to `scratch` before this returns; with
        `known`, a manifest, without the files whose version in there is not below theirs, and
        each segment begins with its own manifest.

        Order: under `maintenance`, with the engine open.
        Source: lib/segment/src/segment/snapshot.rs, Qdrant 1.18.3
        """
        self._engine.flush()
        data, manifest = self._data, self._engine.snapshot_manifest()
        number = self.log.last_index + 1
        if deleted := self._slow.deleted(self._engine):
            data, manifest = self._with_deleted(scratch, deleted)
        members: list[TarEntry] = []
        for segment, files in manifest.items():
            wanted = frozenset(files["file_versions"])
            if known is not None:
                inner = f"segments/{segment}/files/{_MANIFEST}"
                members.append(TarEntry(inner, data=msgspec.json.encode(files)))
                wanted = _newer_files(known.get(segment), files)
            members += _copy_segment(data / "segments" / segment, scratch, segment, wanted)
        wal = scratch / "wal"
        write_empty_segment(wal, _EMPTY_WAL_BYTES)
        members += [TarEntry("wal/"), TarEntry(f"wal/closed-{number}", path=wal)]
        return iter(members)

    def _with_deleted(self, scratch: Path, deleted: list[Json]) -> tuple[Path, Json]:
        """A copy of the data with these points in it again, and its manifest. They have old
        versions, as in a real one, so that a log can delete them again."""
        copy = scratch / "optimizing"
        shutil.copytree(self._data, copy)
        empty_log(copy / "wal", 1)
        engine = edge.EdgeShard.load(str(copy), engine_config(self._config))
        try:
            engine.update(engine_operation({"kind": "upsert", "points": deleted}))
            engine.flush()
            return copy, engine.snapshot_manifest()
        finally:
            engine.close()

    def replace(self, unpacked: Path, schema: dict[str, Any]) -> None:
        """The replica holds what lies in `unpacked`, its log replayed as far as it can be read; the
        old data is gone, whatever follows. Its log is another directory from now on.

        Order: under `maintenance`.
        Raises: Problem 500, if the engine cannot load it; the replica is damaged then.
        """
        self._close()
        self.incarnation += 1
        self._dirty.touch()
        self._put_log(unpacked / "wal")
        shutil.rmtree(self._data, ignore_errors=True)
        unpacked.rename(self._data)
        self._again.clear()
        try:
            with engine_errors():
                self._log = self._open_log()
                self._load()
                self._add_missing_indexes(schema)
        except Problem as problem:
            self.damage = f"Failed to restore local replica: {problem.text}"
            self._open.set()
            raise service_error(self.damage) from problem
        # Of an empty log it is that of the operation to come: the first one does not move it.
        self.op_num = self.log.last_index
        self._align()
        self._dirty.unlink()
        self._save_number()

    def _put_log(self, source: Path) -> None:
        """A new directory, made before the old one is removed."""
        new = self._place.directory.with_name("wal.new")
        shutil.rmtree(new, ignore_errors=True)
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, new)
        shutil.rmtree(self._place.directory, ignore_errors=True)
        new.rename(self._place.directory)

    def _open_log(self) -> ShardLog:
        config = self._config.get("wal_config") or {}
        capacity = self._place.segment_bytes or int(config.get("wal_capacity_mb") or 0) << 20
        retain = int(config.get("wal_retain_closed") or 1)
        return ShardLog(self._place.directory, capacity or CAPACITY_BYTES, retain)

    def _align(self) -> None:
        """The engine numbers its next operation as the log does, whatever it was asked in vain."""
        if end_of(self._data / "wal") != self.log.next_index:
            self._engine.flush()
            self._close()
            empty_log(self._data / "wal", self.log.next_index)
            self._engine = edge.EdgeShard.load(str(self._data), engine_config(self._config))
            self._open.set()

    def _add_missing_indexes(self, schema: dict[str, Any]) -> None:
        present = self._engine.info().payload_schema
        for field, definition in schema.items():
            if field not in present:
                operation = edge.UpdateOperation.create_field_index(field, index_schema(definition))
                self._engine.update(operation)

    def reconfigure(self, config: Json) -> None:
        """The replica uses `config`; segments follow at the next optimization."""
        self._config = config
        self.unoptimized = True
        if self._engine is not None:
            self._save_number()
            self._close()
            self._load()

    async def optimize(self) -> None:
        """Segments are merged and indexed as the configuration wants, in a process of its own.

        Order: under `maintenance`; all other calls wait for the engine meanwhile.
        """
        self._save_number()
        self._close()
        incarnation = self.incarnation
        entry = {"name": "indexing", "status": "optimizing", "start_at": instant()}
        del self.optimizations[:-_KEPT_OPTIMIZATIONS]
        self.optimizations.append(entry)
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "cleancut_devcluster.peer.engine.optimize", str(self._data)
            )
            try:
                async with asyncio.timeout(OPTIMIZE_S):
                    await child.wait()
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        finally:
            entry["status"] = "done"
            self.unoptimized = False
            if self.incarnation == incarnation:
                self._load()

    def close(self) -> None:
        """Order: repeatable; streams of it end early."""
        self.incarnation += 1
        if self._engine is not None:
            self._save_number()
            self._close()

    def drop(self) -> None:
        """Closed, and its data is gone."""
        self.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self._place.directory.parent, ignore_errors=True)

    def _create(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._engine = edge.EdgeShard.create(str(self._data), engine_config(self._config))
        self._engine.update(edge.UpdateOperation.upsert_points([]))
        self._show_segments()
        self._log = self._open_log()
        self.log.append(EMPTY)
        self._save_number()
        self._open.set()

    def _load(self) -> None:
        self.damage = ""
        self._engine = edge.EdgeShard.load(str(self._data), engine_config(self._config))
        manifest = self._engine.snapshot_manifest()
        versions = [entry["segment_version"] or 0 for entry in manifest.values()]
        saved = 0
        if self._number_file.exists():
            saved = int(msgspec.json.decode(self._number_file.read_bytes()))
        self.op_num = min(max(saved, *versions, 0), self.log.last_index)
        self._align()
        self._open.set()

    def _close(self) -> None:
        self._open.clear()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _save_number(self) -> None:
        new = self._number_file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self.op_num))
        new.replace(self._number_file)


def _newer_files(known: Json | None, current: Json) -> frozenset[str]:
    """The files of a segment that a server with the segment `known` lacks."""
    if known is None:
        return frozenset(current["file_versions"])

    def version(manifest: Json, path: str) -> int:
        found = manifest["file_versions"][path]
        return int(manifest["segment_version"] if found is None else found)

    return frozenset(
        path
        for path in current["file_versions"]
        if path not in known["file_versions"]
        or version(known, path) < version(current, path)
        or version(known, path) == version(current, path) == 0
    )


def _copy_segment(
    source: Path, scratch: Path, segment: str, wanted: frozenset[str]
) -> list[TarEntry]:
    """`wanted`: of its files. What ends a segment is always there."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    files.sort(key=lambda path: _rank(str(path.relative_to(source))))
    members = []
    for path in files:
        inner = path.relative_to(source)
        if str(inner) not in wanted.union(_LAST_MEMBERS):
            continue
        target = scratch / segment / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_sparse(path, target)
        members.append(TarEntry(f"segments/{segment}/files/{inner}", path=target))
    return members


def _rank(inner: str) -> int:
    return _LAST_MEMBERS.index(inner) + 1 if inner in _LAST_MEMBERS else 0

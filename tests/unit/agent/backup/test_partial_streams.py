"""Captures from the disk, one after another: streams that are refused, broken off or short, and
evidence that no longer holds. A real HTTP server answers as Qdrant does, from the same disk."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cleancut.core.capture.proof import SETTLED_NS
from cleancut.core.format.manifest import CaptureSources
from cleancut.core.primitives.errors import CleancutError, Corrupt, Unavailable
from cleancut.core.primitives.ids import Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.qdrant.client import Qdrant
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.repository.shards.tar_scanner import MemberData, MemberStart, TarScan
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.backup.audit import audit_shard
from cleancut_agent.backup.captures import Captures, Stored, Stream
from cleancut_agent.capture.direct_tar import OtherFiles, UnprovenFiles, UnreadableFile
from cleancut_agent.capture.local_capture import LocalCapture
from cleancut_agent.capture.segment_files import segments_path
from cleancut_agent.context import AgentContext
from tests.support.capturing import END, PATHS, member, restored, tail_members
from tests.support.segment_dirs import made, needs_proving_disk

SEGMENT = "11111111-2222-4333-8444-555555555555"
GRAPH, CHUNK = f"{SEGMENT}/vector_index/graph.bin", f"{SEGMENT}/vector_storage/chunk_0.mmap"
VERSION = f"{SEGMENT}/version.info"
Fault = Callable[[web.Request, bytes], Any]


class Peer:
    """One Qdrant with one shard, whose segments are on this disk. `asked`: what each stream was
    asked to leave out; None: nothing, it was a whole one. `faults`: answers to partial requests
    before they are right again."""

    def __init__(self, storage: Path) -> None:
        self.segments = segments_path(storage, "c", 0)
        self.asked: list[set[str] | None] = []
        self.faults: list[Fault] = []
        for path in (GRAPH, CHUNK):
            made(self.segments, path)
        for path in (f"{SEGMENT}/segment.json", VERSION):
            (self.segments / path).write_bytes(path.encode())

    def app(self) -> web.Application:
        app = web.Application()
        shard = "/collections/c/shards/0/snapshot"
        app.add_routes(
            [web.get(shard, self._whole), web.post(f"{shard}/partial/create", self._partial)]
        )
        return app

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.segments)): path.read_bytes()
            for path in sorted(self.segments.rglob("*"))
            if path.is_file()
        }

    def tar(self, left_out: set[str] | None, *, also: str = "") -> bytes:
        """`also`: the list of files has this one, too."""
        parts = []
        files = self.files()
        names = [path.partition("/")[2] for path in files]
        if left_out is not None:
            body = {
                "segment_id": SEGMENT,
                "file_versions": dict.fromkeys([*names, *filter(None, [also])], 1),
            }
            path = f"segments/{SEGMENT}/files/segment_manifest.json"
            parts.append(member(path, json.dumps(body).encode()))
        for path, data in files.items():
            if path not in (left_out or ()):
                parts.append(member(path.replace(SEGMENT, f"segments/{SEGMENT}/files"), data))
        return b"".join([*parts, *tail_members(), END])

    async def _whole(self, request: web.Request) -> web.Response:
        self.asked.append(None)
        return web.Response(body=self.tar(None))

    async def _partial(self, request: web.Request) -> web.StreamResponse:
        known = await request.json()
        left_out = {f"{one}/{file}" for one in known for file in known[one]["file_versions"]}
        self.asked.append(left_out)
        if self.faults:
            response: web.StreamResponse = await self.faults.pop(0)(request, self.tar(left_out))
            return response
        return web.Response(body=self.tar(left_out))


class Agent:
    """Captures the shard again and again. `later_s`: how far its clock is ahead."""

    def __init__(self, directory: Path) -> None:
        self.storage, self.spill = directory / "storage", directory / "spill"
        self.spill.mkdir(exist_ok=True)
        self.later_s = 2.0 * SETTLED_NS / 1e9
        self.store = MemoryStore()
        self.capture = LocalCapture(self.storage, self.spill, now_ns=self._now_ns)
        self.recipe, self.startup, self.unproven = "", "first", 0
        self.capture.count_unproven = self._count

    def _count(self) -> None:
        self.unproven += 1

    def _now_ns(self) -> int:
        return time.time_ns() + int(self.later_s * 1e9)

    async def backup(self, peer: Peer, at_once: int = 0) -> Stored:
        """`at_once`: as of a seed. Raises: CleancutError."""
        async with self._context(peer) as context:
            with ThreadPoolExecutor(1) as pool:
                session = os.urandom(16).hex()
                captures = Captures(context, Epoch(7), session, pool, startup=self.startup)
                return await self._stored(captures, at_once)

    async def audit(self, peer: Peer, stored: Stored, *answers: bool) -> str:
        """`answers`: whether the shard is still as it was cut, each time that is asked."""
        asked = list(answers)

        async def is_still() -> bool:
            return asked.pop(0)

        task = ShardTask("c", ShardId(0), PeerId(1))
        async with self._context(peer) as context:
            with ThreadPoolExecutor(1) as pool:
                return await audit_shard(
                    context, pool, task, stored, is_still=is_still, on_read=lambda _bytes: None
                )

    @asynccontextmanager
    async def _context(self, peer: Peer) -> AsyncIterator[AgentContext]:
        unused: Any = None
        runner = web.AppRunner(peer.app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with Qdrant(f"http://127.0.0.1:{port}") as qdrant:
                yield AgentContext(
                    name=unused,
                    keys=unused,
                    paths=PATHS,
                    etcd=unused,
                    store=self.store,
                    qdrant=qdrant,
                    clock=SystemClock(),
                    spill_dir=self.spill,
                    loopback="",
                    capture=self.capture,
                )
        finally:
            await runner.cleanup()

    async def _stored(self, captures: Captures, at_once: int) -> Stored:
        parent = await load_recipe(self.store, PATHS, self.recipe) if self.recipe else None
        task = ShardTask("c", ShardId(0), PeerId(1), recipe=self.recipe)
        async with asyncio.timeout(30):
            await captures.run([Stream(task, parent, None)], at_once)
            (stored,) = await captures.wait_stored()
        self.recipe = stored.shard.recipe_digest
        return stored

    def files(self) -> dict[str, bytes]:
        """The segment files of the newest capture."""
        found: dict[str, bytes] = {}
        path = ""
        for event in TarScan().feed(restored(self.store, self.recipe)):
            if isinstance(event, MemberStart):
                path = event.path.replace(f"segments/{SEGMENT}/files", SEGMENT)
                if path.startswith(SEGMENT):
                    found[path] = b""
            elif isinstance(event, MemberData) and path in found:
                found[path] += event.piece
        return found


class Rig:
    def __init__(self, directory: Path) -> None:
        self.peer, self.agent = Peer(directory / "storage"), Agent(directory)

    def backup(self) -> CaptureSources | None:
        """What came from where; None: the whole stream. What is stored is what is on the disk."""
        stored = asyncio.run(self.agent.backup(self.peer))
        assert self.agent.files() == self.peer.files()
        return stored.sources

    def fails(self, kind: type[CleancutError], words: str) -> None:
        with pytest.raises(kind, match=words):
            asyncio.run(self.agent.backup(self.peer))

    @property
    def asked(self) -> list[set[str] | None]:
        return self.peer.asked


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    needs_proving_disk(tmp_path)
    return Rig(tmp_path)


def kept(sources: CaptureSources | None) -> bool:
    return sources is not None and sources.kept_bytes > 0 and not sources.direct_bytes


def read(sources: CaptureSources | None) -> bool:
    return sources is not None and sources.direct_bytes > 0 and not sources.kept_bytes


def refusing(status: int) -> Fault:
    async def answer(request: web.Request, tar: bytes) -> web.Response:
        return web.Response(status=status, text="no")

    return answer


def breaking(at: int, *, cleanly: bool) -> Fault:
    """The stream ends after `at` bytes of it."""

    async def answer(request: web.Request, tar: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(tar[:at])
        if cleanly:
            await response.write_eof()
        elif request.transport is not None:
            request.transport.abort()
        return response

    return answer


def test_what_is_new_is_read_and_what_has_not_changed_is_kept(rig: Rig) -> None:
    assert read(rig.backup())
    assert kept(rig.backup())
    assert rig.asked == [{GRAPH, CHUNK}] * 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422])
def test_a_refused_partial_stream_is_a_whole_one_in_the_same_attempt(rig: Rig, status: int) -> None:
    rig.peer.faults = [refusing(status)]
    assert rig.backup() is None
    assert rig.asked == [{GRAPH, CHUNK}, None]
    assert read(rig.backup())


def test_a_server_that_fails_is_no_reason_to_stream_everything(rig: Rig) -> None:
    rig.peer.faults = [refusing(500)]
    rig.fails(Unavailable, "500")
    assert read(rig.backup())
    assert None not in rig.asked


@pytest.mark.parametrize("at", [0, 700, 3000, 9000])
@pytest.mark.parametrize("cleanly", [True, False])
def test_a_stream_that_breaks_off_is_an_error_and_proves_nothing(
    rig: Rig, at: int, cleanly: bool
) -> None:
    rig.peer.faults = [breaking(at, cleanly=cleanly)]
    rig.fails(CleancutError, ".")
    assert rig.agent.recipe == ""
    assert read(rig.backup())
    rig.peer.faults = [breaking(at, cleanly=cleanly)]
    rig.fails(CleancutError, ".")
    assert kept(rig.backup())
    assert rig.agent.unproven == 0


def test_a_file_that_came_from_nowhere_is_asked_for_and_then_all_is(rig: Rig) -> None:
    async def short(request: web.Request, tar: bytes) -> web.Response:
        return web.Response(body=rig.peer.tar({GRAPH, CHUNK}, also="vector_index/lost.bin"))

    rig.peer.faults = [short, short]
    rig.fails(UnprovenFiles, "came from nowhere.*lost")
    rig.fails(UnprovenFiles, "came from nowhere.*lost")
    assert rig.backup() is None
    assert rig.agent.unproven == 2
    assert read(rig.backup())


def test_a_file_that_is_written_before_the_cut_is_streamed_the_next_time(rig: Rig) -> None:
    async def late(request: web.Request, tar: bytes) -> web.Response:
        (rig.peer.segments / CHUNK).write_bytes(b"written" * 20_000)
        return web.Response(body=rig.peer.tar({GRAPH, CHUNK}))

    rig.backup()
    rig.peer.faults = [late]
    rig.fails(UnprovenFiles, "chunk_0.*written to since the request")
    assert kept(rig.backup())
    assert rig.asked[-1] == {GRAPH}
    assert rig.agent.unproven == 1


def test_a_seed_streams_at_once_what_is_not_proven(rig: Rig) -> None:
    async def late(request: web.Request, tar: bytes) -> web.Response:
        (rig.peer.segments / CHUNK).write_bytes(b"written" * 20_000)
        return web.Response(body=rig.peer.tar({GRAPH, CHUNK}))

    rig.peer.faults = [late]
    stored = asyncio.run(rig.agent.backup(rig.peer, at_once=1))
    assert stored.sources is None
    assert rig.agent.files() == rig.peer.files()
    assert rig.asked == [{GRAPH, CHUNK}, None]


def test_a_file_that_cannot_be_read_is_streamed_from_then_on(rig: Rig) -> None:
    task = ShardTask("c", ShardId(0), PeerId(1))
    rig.agent.capture.failed(task, UnreadableFile("EIO", frozenset({GRAPH})))
    for _ in range(2):
        rig.backup()
        assert rig.asked[-1] == {CHUNK}


def test_other_small_files_on_the_disk_end_direct_captures(rig: Rig) -> None:
    async def foreign(request: web.Request, tar: bytes) -> web.Response:
        return web.Response(body=tar.replace(VERSION.encode(), VERSION.upper().encode()))

    rig.peer.faults = [foreign]
    rig.fails(OtherFiles, "version.info is not what Qdrant streams")
    assert "version.info" in rig.agent.capture.stopped


# Audits


def test_an_audit_compares_what_is_stored_with_a_stream(rig: Rig) -> None:
    stored = asyncio.run(rig.agent.backup(rig.peer))
    assert asyncio.run(rig.agent.audit(rig.peer, stored, True, True)) == ""
    for answers in ((False,), (True, False)):
        assert "written to" in asyncio.run(rig.agent.audit(rig.peer, stored, *answers))
    assert "streamed all" in asyncio.run(rig.agent.audit(rig.peer, Stored(stored.shard)))


def test_an_audit_that_finds_a_difference_ends_direct_captures(rig: Rig) -> None:
    stored = asyncio.run(rig.agent.backup(rig.peer))
    file = rig.peer.segments / CHUNK
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    with pytest.raises(OtherFiles, match=r"audit: shard 0 of c.*chunk_0.*differs"):
        asyncio.run(rig.agent.audit(rig.peer, stored, True, True))
    assert "audit" in rig.agent.capture.stopped
    assert rig.backup() is None


# Between two captures


def test_a_restart_of_qdrant_or_another_boot_makes_all_of_it_read_again(rig: Rig) -> None:
    rig.backup()
    rig.agent.startup = "second"
    assert read(rig.backup())
    assert kept(rig.backup())


def test_a_shard_recovered_in_place_keeps_nothing_though_it_looks_the_same(rig: Rig) -> None:
    """Files of the same length and with the same times of content, but other bytes."""
    rig.backup()
    file = rig.peer.segments / CHUNK
    status = os.stat(file)
    other = made(rig.peer.segments.parent, "other")
    assert other.stat().st_size == status.st_size
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    sources = rig.backup()
    assert sources is not None
    assert sources.direct_bytes > 0
    assert sources.kept_bytes > 0


def test_a_shard_that_was_away_and_came_back_is_read_again(rig: Rig) -> None:
    rig.backup()
    gone = rig.peer.files()
    for path in gone:
        (rig.peer.segments / path).unlink()
    rig.agent.capture.begin(ShardTask("c", ShardId(0), PeerId(1)), None, frozenset(), "first")
    for path, data in gone.items():
        made(rig.peer.segments, path).write_bytes(data)
    assert read(rig.backup())


def test_a_file_of_an_index_that_was_dropped_and_made_again_is_read(rig: Rig) -> None:
    index = f"{SEGMENT}/payload_index/city/data.bin"
    made(rig.peer.segments, index)
    rig.backup()
    (rig.peer.segments / index).unlink()
    made(rig.peer.segments, index, 300_000)
    sources = rig.backup()
    assert sources is not None
    assert sources.direct_bytes == 300_000


def evidence_file(rig: Rig) -> Path:
    (file,) = (rig.agent.spill / "evidence").iterdir()
    return file


def test_an_old_record_of_evidence_proves_nothing_about_a_newer_parent(rig: Rig) -> None:
    rig.backup()
    old = evidence_file(rig).read_bytes()
    made(rig.peer.segments, CHUNK, 400_000)
    rig.backup()
    evidence_file(rig).write_bytes(old)
    assert read(rig.backup())


@pytest.mark.parametrize("damage", [b"", b"\xff" * 100, "half", "foreign"])
def test_a_damaged_record_of_evidence_costs_a_read(rig: Rig, damage: bytes | str) -> None:
    rig.backup()
    file = evidence_file(rig)
    whole = file.read_bytes()
    if damage == "foreign":
        made(rig.peer.segments, CHUNK)
        damage = whole.replace(b"c", b"d", 1)
    file.write_bytes(damage if isinstance(damage, bytes) else whole[: len(whole) // 2])
    assert read(rig.backup())
    assert kept(rig.backup())


def test_a_clock_that_was_set_back_streams_what_lies_in_the_future(rig: Rig) -> None:
    rig.backup()
    rig.agent.later_s = -3600.0
    assert rig.backup() is None
    rig.agent.later_s = 7200.0
    assert read(rig.backup())
    assert kept(rig.backup())


def test_a_page_that_is_lost_makes_what_it_proved_be_read(rig: Rig) -> None:
    rig.backup()
    recipe = asyncio.run(load_recipe(rig.agent.store, PATHS, rig.agent.recipe))
    for path in [one for one in rig.agent.store.objects if "/pages/" in one]:
        del rig.agent.store.objects[path]
    assert recipe.pages
    rig.fails(Corrupt, ".")
    assert read(rig.backup())

"""Follower of an agent: what is written is stored under its number, or a chain ends with why."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from cleancut.core.archive.plan import ArchivePlan, ArchiveState, ArchiveTask, RoundEnds
from cleancut.core.archive.records import Chain, ChainEnd
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import decode, encode, pack
from cleancut.core.primitives.errors import Unavailable
from cleancut.core.primitives.ids import AgentName, ClusterName, FencingToken, PeerId, ShardId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Session
from cleancut.core.wal.gate import WalFacts
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.ports.coordination import Created, Delete, Put
from cleancut.repository.archive.reader import ArchiveIndex, read_chains, read_ends
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import Logger, configure_logging
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut.testing.memory_wal import MemoryDisk, MemoryLog, MemoryWalDir
from cleancut_agent.archive.follower import ArchiveFollower
from cleancut_agent.archive.read_ahead import ReadAhead
from cleancut_agent.context import AgentContext
from cleancut_agent.metrics import AgentMetrics
from cleancut_agent.session import OpenSession
from cleancut_devcluster.launch.process import wait_for

PATHS, KEYS, AGENT = Paths(ClusterName("c")), Keys(ClusterName("c")), AgentName("a")
TASK = ArchiveTask(collection="docs", uuid="u", shard=ShardId(0), peer=PeerId(1), agent=AGENT)
BOUND_S = 20.0
LOG: Logger = configure_logging("error", "test")


class QuickClock(SystemClock):
    """Nobody waits: each sleep is a turn of the loop, and moves the time on."""

    def __init__(self) -> None:
        self.now_s = 1_764_000_000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0.001)


class ShakyStore(MemoryStore):
    """Takes no chunk while it is `away`; while it `hangs`, no chain, and says nothing."""

    away = hangs = False

    async def put(self, path: str, data: bytes) -> None:
        if self.hangs and "/chains/" in path:
            await asyncio.Event().wait()
        if self.away and "/chunks/" in path:
            raise Unavailable("the store is away")
        await super().put(path, data)


class Place:
    """One shard's log with its writer, the peer as far as it is asked, etcd and a store."""

    def __init__(self, directory: Path) -> None:
        self.disk, self.other = MemoryDisk(), MemoryDisk()
        self.clock, self.model, self.store = QuickClock(), EtcdModel(), ShakyStore()
        self.etcd = MemoryEtcd(self.clock, self.model)
        self.uuid, self.directory = "u", directory
        self.written: list[bytes] = []
        self.restart_log()
        self.start_process()

    def start_process(self, held_bytes: int = 1 << 20) -> None:
        self.ahead = ReadAhead(self.context(), LOG, held_bytes)

    def restart_log(self) -> None:
        self.log = MemoryLog(self.disk, random.Random(len(self.written)), capacity=2000)
        self.written.clear()

    def open(self, collection: str, shard_id: int) -> MemoryWalDir:
        return self.other.open() if shard_id else self.disk.open()

    def facts(self) -> WalFacts:
        return WalFacts()

    async def telemetry(self) -> Any:
        return SimpleNamespace(collections={"docs": SimpleNamespace(uuid=self.uuid)})

    def write(self, count: int) -> None:
        for _ in range(count):
            data = f"operation {len(self.written)} ".encode() * 3
            self.written.append(data)
            for _ in self.log.append(data):
                pass

    def remove_old(self) -> None:
        """What was written before is flushed, and Qdrant keeps no more of it than it has to."""
        for _ in self.log.acknowledge(len(self.written)):
            pass

    async def plan(self, *tasks: ArchiveTask) -> None:
        plan = ArchivePlan(chunk_s=1.0, tasks=tasks)
        await self.etcd.txn([], [Put(KEYS.archive_plan, pack(plan))])

    def context(self) -> AgentContext:
        peer: Any = self
        return AgentContext(
            name=AGENT,
            keys=KEYS,
            paths=PATHS,
            etcd=self.etcd,
            store=self.store,
            qdrant=peer,
            clock=self.clock,
            spill_dir=self.directory,
            loopback="",
            wal=self,
            store_bound_s=600.0,
        )

    @asynccontextmanager
    async def following(self, held_bytes: int = 1 << 20) -> AsyncIterator[None]:
        """A session of the agent, for the length of the block."""
        key = KEYS.session(AGENT)
        lease: Any = SimpleNamespace(id=0)  # it lasts
        put = Put(key, encode(Session(name=AGENT, version="1")))
        opened = await self.etcd.txn([Created(key, 0)], [put])
        said = Session(name=AGENT, version="1", peer_id=PeerId(1), wal="")
        session = OpenSession(FencingToken(opened.revision), lease, said, 0.0)
        follower = ArchiveFollower(
            self.context(),
            session,
            self.ahead,
            metrics=AgentMetrics("c", "a").archive,
            log=LOG,
            held_bytes=held_bytes,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(follower.run())
            yield
            task.cancel()
        await self.etcd.txn([], [Delete(key)])

    @asynccontextmanager
    async def process(self, held_bytes: int = 1 << 20) -> AsyncIterator[None]:
        """A process of the agent, for the length of the block, without a session as yet."""
        self.start_process(held_bytes)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.ahead.run())
            yield
            task.cancel()
        self.ahead.close()

    async def state(self) -> ArchiveState | None:
        found = await self.etcd.get(KEYS.archive_state(AGENT))
        return decode(ArchiveState, found.value, "state") if found else None

    async def stored(self, chain: str) -> list[bytes]:
        index = await ArchiveIndex.load(
            self.store, PATHS, chains=[chain], since_ms=0, until_ms=10**15
        )
        first, last = index.coverage(chain)
        assert not index.holes(chain)
        assert first == 0
        return [entry.data async for entry in index.entries(chain, first, last)]

    async def chains(self) -> list[Chain]:
        found = await read_chains(self.store, PATHS)
        return sorted(found.values(), key=lambda chain: chain.created_at_ms)

    async def ends(self) -> dict[str, ChainEnd]:
        return await read_ends(self.store, PATHS)

    async def until_stored(self) -> str:
        """The chain, once it holds all that was written."""

        async def all_there() -> str:
            state = await self.state()
            shards = state.shards if state else ()
            newest = len(self.written) - 1
            return next((one.chain for one in shards if one.last == newest), "")

        return await until(all_there)

    async def until_read_ahead(self) -> None:
        """All that was written so far."""

        async def read() -> bool:
            return [log.seen for log in self.ahead.logs] == [len(self.written) - 1]

        await until(read)

    async def until_ended(self, chain: str) -> None:
        async def ended() -> bool:
            return chain in await self.ends()

        await until(ended)


async def until(look: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What `look` gives, once it is something."""

    async def found() -> Any:
        return (await look()) or None

    return await wait_for(found, "the follower", BOUND_S, 0.01)


def test_a_chain_goes_on_from_session_to_session(tmp_path: Path) -> None:
    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        chains = []
        for _ in range(3):
            async with place.following():
                place.write(30)
                chains.append(await place.until_stored())
            place.write(20)
        assert len(set(chains)) == 1
        async with place.following():
            chain = await place.until_stored()
        assert await place.stored(chain) == place.written
        assert await place.ends() == {}
        place.ahead.close()
        assert place.disk.open_handles == 0

    asyncio.run(body())


def test_a_log_that_was_replaced_ends_its_chain_and_begins_another(tmp_path: Path) -> None:
    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        async with place.following():
            place.write(10)
            old = await place.until_stored()
            before = list(place.written)
            place.disk.replace()
            place.restart_log()
            place.write(5)
            await place.until_ended(old)
            new = await place.until_stored()
        assert await place.stored(old) == before
        assert await place.stored(new) == place.written
        end = (await place.ends())[old]
        assert (end.last, end.reason.partition(":")[0]) == (9, "replaced")
        (chain,) = [one for one in await place.chains() if one.id == new]
        assert (chain.after, chain.first) == (old, 0)

    asyncio.run(body())


def test_a_log_that_was_replaced_while_the_agent_was_away_is_noticed(tmp_path: Path) -> None:
    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        async with place.following():
            place.write(10)
            old = await place.until_stored()
        place.ahead.close()
        place.disk.replace()
        place.restart_log()
        place.write(25)
        async with place.following():
            new = await place.until_stored()
            await place.until_ended(old)
        assert new != old
        assert (await place.ends())[old].reason.startswith("restarted: another log")
        assert await place.stored(new) == place.written

    asyncio.run(body())


def test_a_store_that_stays_away_ends_the_chain_and_bounds_what_waits(tmp_path: Path) -> None:
    """What was stored counts; once it is back another chain begins."""

    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        async with place.following(held_bytes=600):
            place.write(10)
            old = await place.until_stored()
            before = list(place.written)
            place.store.away = True
            place.write(40)

            async def given_up() -> bool:
                state = await place.state()
                return state is not None and old not in {s.chain for s in state.shards}

            await until(given_up)
            place.store.away = False
            await place.until_ended(old)
            new = await place.until_stored()
        assert new != old
        end = (await place.ends())[old]
        assert end.reason.startswith("store_away")
        found = await place.stored(old)
        assert found[:10] == before
        assert found == place.written[: len(found)]
        assert end.last == len(found) - 1

    asyncio.run(body())


def test_a_shard_that_the_plan_no_longer_names_is_let_go_of(tmp_path: Path) -> None:
    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        async with place.following():
            place.write(10)
            old = await place.until_stored()
            await place.plan()
            await place.until_ended(old)
        assert (await place.ends())[old].reason.startswith("replanned")

    asyncio.run(body())


def test_a_shard_that_was_given_away_while_the_agent_was_away_is_no_longer_said(
    tmp_path: Path,
) -> None:
    """Status and gc would take it for one that is followed, for ever."""

    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        async with place.following():
            place.write(10)
            old = await place.until_stored()
        await place.plan()
        async with place.following():
            await place.until_ended(old)

            async def forgotten() -> bool:
                state = await place.state()
                return state is not None and not state.shards

            await until(forgotten)

    asyncio.run(body())


def test_a_follower_without_shards_rests_until_it_is_given_one(tmp_path: Path) -> None:
    """Its clock does not go on by its own looks; and the time at rest is none in which the store
    took nothing."""

    async def body() -> None:
        place = Place(tmp_path)
        await place.plan()
        async with place.following(held_bytes=600):

            async def rests() -> bool:
                before_s = place.clock.now_s
                for _ in range(10):
                    await asyncio.sleep(0.001)
                return place.clock.now_s == before_s

            await until(rests)
            place.clock.now_s += 3600.0
            place.write(40)
            await place.plan(TASK)
            chain = await place.until_stored()
        assert await place.stored(chain) == place.written
        assert await place.ends() == {}

    asyncio.run(body())


def test_a_round_is_answered_with_where_the_log_ends(tmp_path: Path) -> None:
    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        async with place.following():
            place.write(10)
            chain = await place.until_stored()
            place.write(3)
            asked = await place.etcd.txn([], [Put(KEYS.archive_round, b'{"nonce":"1"}')])

            async def answer() -> RoundEnds | None:
                found = await place.etcd.get(KEYS.archive_ends_of(AGENT))
                return decode(RoundEnds, found.value, "ends") if found else None

            found: RoundEnds = await until(answer)
        assert found.round == asked.revision
        assert [(end.chain, end.last) for end in found.ends] == [(chain, 12)]

    asyncio.run(body())


def test_a_collection_of_another_uuid_is_not_taken_for_the_planned_one(tmp_path: Path) -> None:
    async def body() -> None:
        place = Place(tmp_path)
        place.uuid = "other"
        await place.plan(TASK)
        async with place.following():
            place.write(10)

            async def said() -> str:
                state = await place.state()
                return state.unfollowed[0].reason if state and state.unfollowed else ""

            assert "made again" in await until(said)
        assert await place.chains() == []

    asyncio.run(body())


def test_a_store_that_hangs_for_one_shard_keeps_no_other_from_being_read(tmp_path: Path) -> None:
    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        async with place.following():
            place.write(10)
            chain = await place.until_stored()
            place.store.hangs = True
            await place.plan(TASK, replace(TASK, shard=ShardId(1)))
            for _ in range(3):
                place.write(10)
                assert await place.until_stored() == chain
        assert await place.stored(chain) == place.written

    asyncio.run(body())

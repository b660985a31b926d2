"""Archived entries replayed by Qdrant on a captured shard, as an agent of a restore has it done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cbor2
import pytest
from msgspec.structs import replace

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import AgentName, ClusterName, PeerId, ShardId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.moment import ShardMoment
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.health import serve
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.context import AgentContext
from cleancut_agent.restore.recovery import Recovery
from cleancut_agent.restore.tar_server import TarServer
from tests.contract.qdrant.world import SIZE, World, points, read_stream
from tests.support.archived import Archived, entry
from tests.support.capturing import PATHS, capture

BEFORE, MORE = 100, 20
AT_MS = 1_800_000_000_000


def insert(number: int) -> bytes:
    vector = [1.0 + number, *[0.5] * (SIZE - 1)]
    point = {"id": number, "vector": vector, "payload": {"tag": "later"}}
    return entry("upsert_points", {"points": [point]})


class Case:
    """A captured shard of 100 points, and an archive with 20 more and the delete of one."""

    def __init__(self, world: World, tmp_path: Path) -> None:
        self.world, self.store = world, MemoryStore()
        self.tmp_path, self.recipe, self.end = tmp_path, "", 0

    def prepare(self) -> None:
        tar = self.world.run(self._captured())
        self.recipe = capture(self.store, self.tmp_path, tar).recipe_digest
        self.size_bytes = len(tar)
        self.world.run(self._archived())

    async def _captured(self) -> bytes:
        name = await self.world.create(shards=1)
        await self.world.upsert(name, points(range(BEFORE)))
        ((_, self.end),) = (await self.world.numbers(name)).items()
        host = (await self.world.hosts(name))[0][0]
        return await read_stream(host, name, 0)

    async def _archived(self) -> None:
        archived = Archived(self.store, PATHS, began_ms=AT_MS)
        await archived.begin(0, self.end + 1)
        entries = [insert(number) for number in range(BEFORE, BEFORE + MORE)]
        entries.append(cbor2.dumps({"delete_points": {"ids": [0]}}))
        await archived.add(AT_MS, {0: entries})

    def moment(self, **more: Any) -> ShardMoment:
        first = self.end + 1
        found = ShardMoment(
            collection="docs",
            shard_id=ShardId(0),
            chain="chain-0",
            first=first,
            last=first + MORE,
            since_ms=0,
            until_ms=AT_MS,
        )
        return replace(found, **more)

    async def recover(self, moment: ShardMoment, last: int) -> int:
        """How many points a new collection holds after it. `last`: what is to be applied."""
        target = await self.world.create(shards=1)
        host = (await self.world.hosts(target))[0][0]
        task = ShardTask(
            collection=target,
            shard_id=ShardId(0),
            peer_id=PeerId((await host.cluster()).peer_id),
            recipe=self.recipe,
            size_bytes=self.size_bytes,
            last_entry=last,
            replay=moment,
        )
        async with self._recovery(host) as recovery:
            await recovery.recover_all([task], empty=True)
        return await host.count(target, 0)

    @asynccontextmanager
    async def _recovery(self, host: Any) -> AsyncIterator[Recovery]:
        tars = TarServer(self.store, PATHS)
        async with serve(tars.app(), "127.0.0.1", 0) as port:
            context = AgentContext(
                name=AgentName("a"),
                keys=Keys(ClusterName("prod")),
                paths=PATHS,
                etcd=MemoryEtcd(SystemClock()),
                store=self.store,
                qdrant=host,
                clock=SystemClock(),
                spill_dir=self.tmp_path,
                loopback=f"http://127.0.0.1:{port}",
            )
            yield Recovery(context, tars)


@pytest.fixture
def case(world: World, tmp_path: Path) -> Case:
    made = Case(world, tmp_path)
    made.prepare()
    return made


def test_the_shard_is_what_its_base_and_the_entries_make_it(case: Case) -> None:
    moment = case.moment()
    assert case.world.run(case.recover(moment, moment.last)) == BEFORE + MORE - 1
    earlier = case.moment(last=moment.first + 4)
    assert case.world.run(case.recover(earlier, earlier.last)) == BEFORE + 5


def test_an_entry_that_is_left_out_keeps_its_number(case: Case) -> None:
    moment = case.moment()
    without = replace(moment, left_out=(moment.last,))
    assert case.world.run(case.recover(without, moment.last)) == BEFORE + MORE


def test_a_replay_that_ends_early_fails(case: Case) -> None:
    """Qdrant answers 200 all the same."""
    moment = case.moment()
    short = case.moment(last=moment.last - 1)
    with pytest.raises(Corrupt, match=f"replayed to operation {short.last}"):
        case.world.run(case.recover(short, moment.last))


def test_what_the_archive_lacks_is_never_served(case: Case) -> None:
    moment = case.moment()
    beyond = case.moment(last=moment.last + 1)
    with pytest.raises(Corrupt, match="not all in the archive"):
        case.world.run(case.recover(beyond, beyond.last))
    chunk = next(path for path in case.store.objects if "/archive/chunks/" in path)
    data = case.store.objects[chunk]
    case.store.objects[chunk] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(Corrupt):
        case.world.run(case.recover(moment, moment.last))

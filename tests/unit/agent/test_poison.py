"""One bad key in etcd stops no agent: it is skipped, reported once, and the next one counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cleancut.core.cluster.agent_settings import UploadSettings
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, FencingToken
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Session
from cleancut.core.protocol.events import Seen
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.ports.coordination import Put
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.context import AgentContext
from cleancut_agent.loop import AgentLoop
from cleancut_agent.metrics import AgentMetrics
from cleancut_agent.session import OpenSession
from cleancut_agent.settings_watch import _take

BAD = b"\xff{}"
KEYS, NAME = Keys(ClusterName("prod")), AgentName("a1")


class Rig:
    """An agent's loop over an etcd in memory, and what it has reported."""

    def __init__(self, spill: Path) -> None:
        clock = SystemClock()
        self.etcd = MemoryEtcd(clock)
        self.context = AgentContext(
            name=NAME,
            keys=KEYS,
            paths=Paths(ClusterName("prod")),
            etcd=self.etcd,
            store=MemoryStore(),
            qdrant=Qdrant("http://127.0.0.1:1"),
            clock=clock,
            spill_dir=spill,
            loopback="http://127.0.0.1:1",
        )
        self.reported: list[str] = []
        self.context.skipped.report = lambda key, _cause: self.reported.append(key)

    async def loop(self) -> AgentLoop:
        async with self.etcd.lease(10.0) as lease:
            said = Session(name=NAME, version="1")
            return AgentLoop(
                self.context,
                OpenSession(FencingToken(1), lease, said, 0.0),
                {},
                metrics=AgentMetrics("prod", NAME),
                log=configure_logging("error", "test"),
            )

    async def put(self, key: str, value: bytes) -> None:
        await self.etcd.txn([], [Put(key, value)])

    async def show(self, loop: AgentLoop) -> list[Seen]:
        """What the loop makes of `ctl` as it is now, for the machine of a backup."""
        found = await self.etcd.get(KEYS.ctl)
        assert found is not None
        await loop._saw(found)
        seen = []
        while not loop._events.empty():
            kind, event, revision = loop._events.get_nowait()
            if kind is OperationKind.BACKUP and revision and isinstance(event, Seen):
                seen.append(event)
        return seen


def test_a_broken_ctl_or_member_is_skipped(tmp_path: Path) -> None:
    """The agent takes no part until there is a good one; it never ends."""
    rig, epoch = Rig(tmp_path), Epoch(5)
    ctl = Ctl(phase=Phase.UPLOAD, epoch=epoch)
    member = EpochMember(session=FencingToken(1), assigned=True)

    async def body() -> None:
        loop = await rig.loop()
        await rig.put(KEYS.ctl, BAD)
        assert await rig.show(loop) == []
        await rig.put(KEYS.member(epoch, NAME), BAD)
        await rig.put(KEYS.ctl, encode(ctl))
        assert await rig.show(loop) == [Seen(ctl, None)]
        await rig.put(KEYS.member(epoch, NAME), encode(member))
        await rig.put(KEYS.ctl, encode(ctl))
        assert await rig.show(loop) == [Seen(ctl, member)]

    asyncio.run(body())
    assert rig.reported == [KEYS.ctl, KEYS.member(epoch, NAME)]


def test_broken_settings_leave_the_limits_as_they_are(tmp_path: Path) -> None:
    rig, log = Rig(tmp_path), configure_logging("error", "test")
    wanted = UploadSettings(uploads=7)

    async def body() -> None:
        for value in (encode(wanted), BAD):
            await rig.put(KEYS.settings, value)
            _take(rig.context, await rig.etcd.get(KEYS.settings), log)

    asyncio.run(body())
    assert rig.context.limits.settings == wanted
    assert rig.reported == [KEYS.settings]

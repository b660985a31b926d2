"""Who is killed or frozen, at which phase, and how each comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Unavailable
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, Leader, Operation
from cleancut.core.protocol.states import CLOSED, FINAL_STATES, Phase
from cleancut.etcd.client import Etcd
from cleancut.ports.coordination import Change
from cleancut_devcluster.launch.process import Child, wait_for
from cleancut_devcluster.launch.setup import Setup
from tests.support.etcd_cluster import EtcdCluster
from tests.support.s3_server import S3Server

AGAIN_S = 0.2
BACK_S = 60.0
"""Until what was struck has to be noticed, or to be back."""


class Victim(StrEnum):
    LEADER = "leader"
    LEADER_FROZEN = "leader, frozen"
    AGENT = "agent"
    AGENT_FROZEN = "agent, frozen"
    PEER = "Qdrant peer"
    ETCD = "etcd member"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Blow:
    """`strike` takes no time to speak of. `repair` returns once the victim serves again.
    `until_noticed`: how long a frozen one stays so."""

    name: str
    strike: Callable[[], None]
    repair: Callable[[], Awaitable[None]]
    until_noticed: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """What a set-up needs and does not start itself."""

    members: EtcdCluster
    store: S3Server


@dataclass(slots=True)
class Trace:
    """What `ctl` went through, and who voted in which phase, as it was put."""

    ctl: Ctl = field(default_factory=Ctl)
    phases: list[Phase] = field(default_factory=list)
    votes: list[str] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, change: Change, keys: Keys) -> None:
        kv = change.kv
        if kv.key == keys.ctl and not change.deleted:
            self.ctl = decode(Ctl, kv.value, kv.key)
            self.phases.append(self.ctl.phase)
        elif kv.key.startswith(keys.all_votes) and not change.deleted:
            self.votes.append(kv.key.split("/")[-2])
        self._moved.set()

    async def reach(self, phase: Phase) -> None:
        """Returns once `ctl` stands there, or was there already."""
        while phase not in self.phases:
            await self._change()

    async def voted(self, phase: Phase) -> None:
        """Returns once somebody has voted in this phase, or it is over."""
        while phase.value not in self.votes and self.ctl.phase is phase:
            await self._change()

    async def _change(self) -> None:
        self._moved.clear()
        await self._moved.wait()


@contextlib.asynccontextmanager
async def traced(etcd: Etcd, keys: Keys) -> AsyncIterator[Trace]:
    """What happens from now on, within the block."""
    trace = Trace()
    revision = (await etcd.list(keys.ctl)).revision

    async def follow() -> None:
        since = revision + 1
        while True:
            with contextlib.suppress(Unavailable):
                async for changes in etcd.watch(keys.root, since):
                    for change in changes:
                        trace.see(change, keys)
                        since = change.kv.mod_revision + 1
            await asyncio.sleep(AGAIN_S)  # without a quorum there is nothing to see

    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        try:
            yield trace
        finally:
            task.cancel()


async def read_ctl(etcd: Etcd, keys: Keys) -> Ctl:
    """As it is now; something was asked for before."""
    found = await etcd.get(keys.ctl)
    assert found is not None
    return decode(Ctl, found.value, found.key)


async def wait_over(etcd: Etcd, keys: Keys, operation: str, limit_s: float) -> Operation:
    """The operation once it has ended, and nothing of it is open. Raises: TimedOut."""

    async def ended() -> Operation | None:
        found = await etcd.get(keys.operation(operation))
        told = decode(Operation, found.value, found.key) if found else None
        if told is None or told.state not in FINAL_STATES:
            return None
        return told if (await read_ctl(etcd, keys)).phase in CLOSED else None

    return await wait_for(ended, f"the end of {operation}", limit_s)


@dataclass(slots=True)
class Killer:
    """Aims before the phase comes, so that the blow itself is one signal."""

    setup: Setup
    etcd: Etcd
    outside: Outside
    keys: Keys

    async def aim(self, victim: Victim, choice: int) -> Blow:
        """`choice` picks one of equals."""
        match victim:
            case Victim.LEADER | Victim.LEADER_FROZEN:
                return await self._at_leader(frozen=victim is Victim.LEADER_FROZEN)
            case Victim.AGENT | Victim.AGENT_FROZEN:
                living = [agent for agent in self.setup.agents if agent.running]
                agent = living[choice % len(living)]
                return self._at_agent(agent, frozen=victim is Victim.AGENT_FROZEN)
            case Victim.PEER:
                return self._at_peer(choice)
            case Victim.ETCD:
                return self._at_etcd()
            case Victim.STORE:
                store = self.outside.store
                return Blow("store", store.kill, lambda: asyncio.to_thread(store.restart))

    async def living_leader(self) -> tuple[str, int]:
        """Name and token of a leader whose process runs: the key of a killed one outlives it."""

        async def named() -> tuple[str, int] | None:
            name, token = await self.leader()
            running = {one.name for one in self.setup.coordinators if one.child.running}
            return (name, token) if name in running else None

        return await wait_for(named, "a leader", BACK_S)

    async def leader(self) -> tuple[str, int]:
        """The leader's name and token; "" and 0 while there is none."""
        found = await self.etcd.get(self.keys.leader)
        if found is None:
            return "", 0
        return decode(Leader, found.value, found.key).name, found.create_revision

    async def _at_leader(self, *, frozen: bool) -> Blow:
        name, token = await self.living_leader()
        child = next(one.child for one in self.setup.coordinators if one.name == name)

        async def replace() -> None:
            await child.kill()
            await self.setup.start_coordinator()

        async def superseded() -> None:
            async def other() -> bool | None:
                now = await self.leader()
                return True if now[0] and now[1] != token else None

            await wait_for(other, "another leader", BACK_S)

        if frozen:
            return Blow(name, child.freeze, _thawing(child), superseded)
        return Blow(name, child.process.kill, replace)

    def _at_agent(self, agent: Child, *, frozen: bool) -> Blow:
        session = self.keys.sessions + agent.name

        async def again() -> None:
            await agent.kill()
            await agent.start_again()

        async def expired() -> None:
            async def gone() -> bool | None:
                return True if await self.etcd.get(session) is None else None

            await wait_for(gone, f"the end of {agent.name}'s session", BACK_S)

        if frozen:
            return Blow(agent.name, agent.freeze, _thawing(agent), expired)
        return Blow(agent.name, agent.process.kill, again)

    def _at_peer(self, choice: int) -> Blow:
        peer = self.setup.peers[choice % len(self.setup.peers)]
        child = peer.child
        assert child is not None

        async def again() -> None:
            await peer.kill()
            await peer.start()

        return Blow(peer.name, child.process.kill, again)

    def _at_etcd(self) -> Blow:
        """The member that leads: the others have to elect another one first."""
        members = self.outside.members
        member = members.leader()

        async def again() -> None:
            members.restart(member)
            await asyncio.to_thread(members.wait_healthy)

        return Blow(member.name, lambda: members.kill(member), again)


def _thawing(child: Child) -> Callable[[], Awaitable[None]]:
    async def thaw() -> None:
        child.thaw()

    return thaw

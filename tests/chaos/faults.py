"""What goes wrong in a backup, where, and how it is made good again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cleancut_devcluster.launch.process import Child, wait_for
from cleancut_devcluster.launch.setup import Coordinator, Setup
from tests.chaos.killer import BACK_S, Blow, Killer, Outside
from tests.support.tcp_links import Link, Mode

JUMP_S = 3600.0
FILL_BYTES, MAX_FILLS = 1 << 12, 1 << 12


class Fault(StrEnum):
    AGENT_KILLED = "agent killed"
    AGENT_FROZEN = "agent frozen"
    AGENT_NO_ETCD = "agent cut off from etcd"
    AGENT_NO_STORE = "agent cut off from the store"
    AGENT_NO_QDRANT = "agent cut off from its Qdrant"
    AGENT_CLOCK = "agent's clock jumps an hour"
    AGENT_DISK = "agent's disk full"
    LEADER_KILLED = "leader killed"
    LEADER_FROZEN = "leader frozen"
    LEADER_NO_ETCD = "leader cut off from etcd"
    LEADER_NO_STORE = "leader cut off from the store"
    STANDBY_KILLED = "standby killed"
    PEER_KILLED = "Qdrant peer killed"
    PEER_FROZEN = "Qdrant peer frozen"
    ETCD_KILLED = "etcd's leader killed"
    ETCD_FROZEN = "etcd's leader frozen"
    ETCD_NO_QUORUM = "etcd without quorum"
    STORE_ERRORS = "store answers 503"
    STORE_SLOW = "store slow"
    STORE_STALLED = "store stalled"
    STORE_KILLED = "store killed"

    @property
    def of_etcd(self) -> bool:
        """While it lasts, etcd may not be read."""
        return self in {Fault.ETCD_KILLED, Fault.ETCD_FROZEN, Fault.ETCD_NO_QUORUM}


@dataclass(slots=True)
class Wires:
    """What a process is connected by."""

    etcd: list[Link] = field(default_factory=list)
    store: list[Link] = field(default_factory=list)
    qdrant: list[Link] = field(default_factory=list)


@dataclass(slots=True)
class Stage:
    """The processes that can be struck. `agent` alone has links, a small disk and a clock of its
    own; `wires` are the coordinators' by name; `start`: one more coordinator, wired."""

    setup: Setup
    outside: Outside
    killer: Killer
    agent: Child
    agent_wires: Wires
    shared: Wires
    wires: dict[str, Wires]
    start: Callable[[], Awaitable[Coordinator]]
    jump: Path
    disk: Path | None

    async def aim(self, fault: Fault, choice: int) -> Blow:
        """`choice` picks one of equals. Raises: KeyError for a fault that is not possible here."""
        who, _, _ = fault.value.partition(" ")
        match who:
            case "agent" | "agent's":
                return self._at_agent(fault)
            case "leader" | "standby":
                return await self._at_coordinator(fault)
            case "Qdrant":
                return self._at_peer(fault, choice)
            case _:
                return self._at_rest(fault)

    # Agents

    def _at_agent(self, fault: Fault) -> Blow:
        agent, wires = self.agent, self.agent_wires
        match fault:
            case Fault.AGENT_KILLED:
                return Blow(agent.name, agent.process.kill, self._again(agent))
            case Fault.AGENT_FROZEN:
                return Blow(agent.name, agent.freeze, _soon(agent.thaw), self._expired)
            case Fault.AGENT_NO_ETCD:
                return self._linked(wires.etcd, Mode.CUT, self._expired)
            case Fault.AGENT_NO_STORE:
                return self._linked(wires.store, Mode.CUT)
            case Fault.AGENT_NO_QDRANT:
                return self._linked(wires.qdrant, Mode.CUT)
            case Fault.AGENT_CLOCK:
                return Blow(agent.name, self._jump, _soon(lambda: None))
            case _:
                assert self.disk is not None, "needs a small disk"
                filler = self.disk / "filler"
                return Blow(agent.name, lambda: _fill(filler), _soon(filler.unlink))

    def _jump(self) -> None:
        """Further than before: its clock stays ahead, since clocks do not run backwards."""
        before_s = float(self.jump.read_text() or 0) if self.jump.exists() else 0.0
        self.jump.write_text(f"{before_s + JUMP_S}")

    async def _expired(self) -> None:
        async def gone() -> bool | None:
            key = self.killer.keys.sessions + self.agent.name
            return True if await self.killer.etcd.get(key) is None else None

        await wait_for(gone, f"the end of {self.agent.name}'s session", BACK_S)

    # Coordinators

    async def _at_coordinator(self, fault: Fault) -> Blow:
        leader, token = await self.killer.living_leader()
        living = {one.name: one.child for one in self.setup.coordinators if one.child.running}
        child = living[leader]

        async def superseded() -> None:
            async def other() -> bool | None:
                now = await self.killer.leader()
                return True if now[0] and now[1] != token else None

            await wait_for(other, "another leader", BACK_S)

        match fault:
            case Fault.LEADER_KILLED:
                return Blow(leader, child.process.kill, self._replace(child))
            case Fault.LEADER_FROZEN:
                return Blow(leader, child.freeze, _soon(child.thaw), superseded)
            case Fault.LEADER_NO_ETCD:
                return self._linked(self.wires[leader].etcd, Mode.CUT, superseded)
            case Fault.LEADER_NO_STORE:
                return self._linked(self.wires[leader].store, Mode.CUT)
            case _:
                standby = next(one for name, one in living.items() if name != leader)
                return Blow(standby.name, standby.process.kill, self._replace(standby))

    def _replace(self, child: Child) -> Callable[[], Awaitable[None]]:
        async def replace() -> None:
            await child.kill()
            await self.start()

        return replace

    # The rest

    def _at_peer(self, fault: Fault, choice: int) -> Blow:
        """Not the first one: clients write by it."""
        peer = self.setup.peers[1 + choice % (len(self.setup.peers) - 1)]
        assert peer.child is not None

        async def again() -> None:
            await peer.kill()
            await peer.start()

        if fault is Fault.PEER_FROZEN:
            return Blow(peer.name, peer.freeze, _soon(peer.thaw))
        return Blow(peer.name, peer.child.process.kill, again)

    def _at_rest(self, fault: Fault) -> Blow:
        members, store = self.outside.members, self.outside.store

        async def healthy() -> None:
            await asyncio.to_thread(members.repair)

        match fault:
            case Fault.ETCD_KILLED:
                member = members.leader()
                return Blow(member.name, lambda: members.kill(member), healthy)
            case Fault.ETCD_FROZEN:
                member = members.leader()
                return Blow(member.name, lambda: members.freeze(member), healthy)
            case Fault.ETCD_NO_QUORUM:
                two = members.members[:2]
                return Blow("two members", lambda: [members.kill(m) for m in two] and None, healthy)
            case Fault.STORE_KILLED:
                return Blow("store", store.kill, lambda: asyncio.to_thread(store.restart))
        modes = {Fault.STORE_ERRORS: Mode.ERRORS, Fault.STORE_SLOW: Mode.SLOW}
        everyone = [self.agent_wires, self.shared, *self.wires.values()]
        links = [link for wires in everyone for link in wires.store]
        return self._linked(links, modes.get(fault, Mode.STALL))

    def _again(self, child: Child) -> Callable[[], Awaitable[None]]:
        async def again() -> None:
            await child.kill()
            await child.start_again()

        return again

    @staticmethod
    def _linked(
        links: Iterable[Link],
        mode: Mode,
        until_noticed: Callable[[], Awaitable[None]] | None = None,
    ) -> Blow:
        every = list(links)

        def strike() -> None:
            for link in every:
                link.set(mode)

        async def repair() -> None:
            for link in every:
                link.set(Mode.PASS)

        return Blow(f"{len(every)} links", strike, repair, until_noticed)


def _soon(act: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def repair() -> None:
        act()

    return repair


def _fill(filler: Path) -> None:
    """The file system has no room any more."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for _ in range(MAX_FILLS):
            file.write(bytes(FILL_BYTES))

"""A whole set-up on this machine: etcd, Qdrant peers with their agents, coordinators, a store.

All are real processes, started with the flags that operators use. Everything ends with the block.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleancut.core.primitives.errors import Invalid, Unavailable
from cleancut_devcluster.launch.cli import Answer, run_cleancut
from cleancut_devcluster.launch.etcd import start_etcd
from cleancut_devcluster.launch.process import Child, start_child, wait_for, wait_logged
from cleancut_devcluster.launch.qdrant import (
    Kind,
    PeerProcess,
    add_peer,
    launch_peers,
    real_binary,
    wait_joined,
    wipe_all,
)

READY_S = 60.0
STATUS_POLL_S = 0.4
"""Each look is a process of its own."""


@dataclass(frozen=True, slots=True)
class Secured:
    """Further options of a set-up: the key of its Qdrant, whether that may fetch snapshots from
    URLs, and more flags for each program."""

    api_key: str | None = None
    url_recovery: bool = True
    agent: Sequence[str] = ()
    coordinator: Sequence[str] = ()
    client: Sequence[str] = ()


NOT_SECURED = Secured()


@dataclass(slots=True)
class Coordinator:
    """One coordinator, and where its API answers."""

    child: Child
    address: str

    @property
    def name(self) -> str:
        return self.child.name


@dataclass(slots=True)
class Setup:
    """The pieces, those that were killed among them."""

    base_dir: Path
    cluster: str
    store_url: str
    qdrant: Kind
    etcd_endpoint: str
    peers: list[PeerProcess]
    secured: Secured = NOT_SECURED
    agents: list[Child] = field(default_factory=list)
    coordinators: list[Coordinator] = field(default_factory=list)
    _agents_started: int = 0

    @property
    def logs(self) -> Path:
        return self.base_dir / "logs"

    @property
    def addresses(self) -> str:
        """The living coordinators, as `--coordinator` takes them."""
        return ",".join(one.address for one in self.coordinators if one.child.running)

    async def cleancut(
        self,
        *arguments: str,
        timeout_s: float = 120.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Answer:
        """`cleancut --coordinator ... -o json ARGUMENTS`, as a process."""
        shared = ("--coordinator", self.addresses, "-o", "json", *self.secured.client)
        return await run_cleancut(*shared, *arguments, timeout_s=timeout_s, on_line=on_line)

    async def catalog(self, *arguments: str, timeout_s: float = 120.0) -> Answer:
        """`cleancut --store ... --cluster ... -o json ARGUMENTS`: without any coordinator."""
        shared = ("--store", self.store_url, "--cluster", self.cluster, "-o", "json")
        return await run_cleancut(*shared, *arguments, timeout_s=timeout_s)

    async def status(self) -> dict[str, Any]:
        """The status of the cluster from a coordinator. Raises: the error of the command."""
        answer = await self.cleancut("status", timeout_s=30.0)
        value: dict[str, Any] = answer.value("status")
        return value

    def _storage_of(self, url: str) -> Path:
        """Where the peer at `url` keeps its data; of one behind a proxy, only the disk is known."""
        found = next((peer for peer in self.peers if peer.url == url), None)
        if found is None:
            return self.base_dir / "peers"
        found.storage.mkdir(parents=True, exist_ok=True)
        return found.storage

    async def start_agent(
        self,
        url: str,
        store_url: str | None = None,
        module: str = "cleancut_agent.start",
        *,
        sees_storage: bool = True,
    ) -> Child:
        """An agent next to the peer at `url`, under a name that was never used before. `module`:
        what runs it. `sees_storage`: it is given the peer's data directory, with its logs."""
        self._agents_started += 1
        name = f"agent-{self._agents_started}"
        own = ("--qdrant-url", url, "--spill-dir", str(self.base_dir / "spill" / name))
        seen = ("--qdrant-storage", str(self._storage_of(url))) if sees_storage else ()
        more = (*seen, *self.secured.agent, "--name", name)
        argv = [*_program(module), *self._common(store_url), *own, *more]
        child = await start_child(name, argv, self.logs / f"{name}.log")
        self.agents.append(child)
        return child

    async def start_coordinator(
        self,
        store_url: str | None = None,
        config: Path | None = None,
        module: str = "cleancut_coordinator.main",
        *,
        more: Sequence[str] = (),
    ) -> Coordinator:
        """One more coordinator, once its API answers; `module` runs it, with `more` flags.
        Raises: Unavailable."""
        name = f"coordinator-{len(self.coordinators) + 1}"
        urls = ",".join(peer.url for peer in self.peers)
        own = ("--qdrant-url", urls, "--grpc", "127.0.0.1:0", "--name", name)
        file = ("--config", str(config)) if config is not None else ()
        shared = (*file, *self._common(store_url), *self.secured.coordinator)
        argv = [*_program(module), *shared, *own, *more]
        child = await start_child(name, argv, self.logs / f"{name}.log")
        try:
            address = await wait_logged(child, "listening", "grpc")
        except BaseException:
            await child.kill()
            raise
        coordinator = Coordinator(child, address)
        self.coordinators.append(coordinator)
        return coordinator

    async def leader(self) -> Coordinator:
        """The coordinator that leads now. Raises: Unavailable, if none of the living does."""
        name = (await self.status())["leader"]
        for one in self.coordinators:
            if one.name == name and one.child.running:
                return one
        raise Unavailable(f"no coordinator leads (before: {name or 'none'})", "wait for its lease")

    async def wait_leader(self, other_than: str = "", limit_s: float = READY_S) -> Coordinator:
        """The leader, once it is not `other_than`. Raises: TimedOut."""

        async def found() -> Coordinator | None:
            leader = await self.leader()
            return leader if leader.name != other_than else None

        return await wait_for(found, "a leader", limit_s, STATUS_POLL_S)

    async def wait_agents(self, limit_s: float = READY_S) -> dict[str, Any]:
        """The status once it shows exactly the living agents, each with its peer.

        Raises: TimedOut.
        """
        wanted = {agent.name for agent in self.agents if agent.running}

        async def found() -> dict[str, Any] | None:
            status = await self.status()
            seen = {one["name"] for one in status["agents"] if one["peer_id"] is not None}
            everyone = {one["name"] for one in status["agents"]}
            return status if seen == everyone == wanted and status["leader"] else None

        return await wait_for(found, f"the agents {sorted(wanted)}", limit_s, STATUS_POLL_S)

    async def start_agents(self) -> None:
        """An agent next to each peer."""
        for peer in self.peers:
            await self.start_agent(peer.url)

    async def lose_all_peers(self) -> None:
        """All peers and agents are killed, and their disks are wiped."""
        for agent in self.agents:
            await agent.kill()
        for peer in self.peers:
            await peer.kill()
        wipe_all(self.peers)
        shutil.rmtree(self.base_dir / "spill", ignore_errors=True)

    async def start_new_peers(self, count: int) -> None:
        """A new Qdrant cluster of `count` empty peers with their agents, at the old addresses.

        Order: after `lose_all_peers`.
        """
        del self.peers[count:]
        for peer in self.peers:
            await peer.start()
        while len(self.peers) < count:
            await add_peer(self.peers)
        if len(self.peers) > 1:
            await wait_joined(self.peers)
        await self.start_agents()

    async def close(self) -> None:
        """Everything is stopped, in the order in which an operator would."""
        async with asyncio.TaskGroup() as group:
            for child in (*(one.child for one in self.coordinators), *self.agents):
                group.create_task(child.stop())

    def _common(self, store_url: str | None) -> Sequence[str]:
        store = ("--store", store_url or self.store_url)
        return ("--cluster", self.cluster, "--etcd", self.etcd_endpoint, *store)


@asynccontextmanager
async def launch_setup(
    *,
    peers: int = 3,
    coordinators: int = 2,
    store: str = "file",
    cluster: str = "demo",
    etcd: str = "",
    qdrant: str = "auto",
    base_dir: Path | None = None,
    standalone: bool = False,
    secured: Secured = NOT_SECURED,
) -> AsyncIterator[Setup]:
    """A set-up whose `status` shows everything; gone at the end of the block.

    `store`: `file`, or a store's URL. `etcd`: endpoints of one that runs already; without them a
    member of its own is started. `qdrant`: real, standin, or auto (real if there is one).
    `base_dir`: kept by its owner; without it a directory is made, and removed at the end.
    Raises: NotFound (a binary), Unavailable or TimedOut (something does not start).
    """
    async with AsyncExitStack() as stack:
        if base_dir is None:
            base_dir = Path(tempfile.mkdtemp(prefix="cleancut-"))
            stack.callback(shutil.rmtree, base_dir, ignore_errors=True)
        kind = choose_qdrant(qdrant)
        if not etcd:
            member, etcd = await start_etcd(base_dir)
            stack.push_async_callback(member.stop)
        launched = launch_peers(
            peers,
            base_dir / "peers",
            kind,
            api_key=secured.api_key,
            standalone=standalone,
            url_recovery=secured.url_recovery,
        )
        running = await stack.enter_async_context(launched)
        url = store
        if store == "file":
            (base_dir / "store").mkdir(parents=True)
            url = f"file://{base_dir / 'store'}"
        setup = Setup(base_dir, cluster, url, kind, etcd, running, secured)
        stack.push_async_callback(setup.close)
        await setup.start_agents()
        for _ in range(coordinators):
            await setup.start_coordinator()
        if coordinators:
            await setup.wait_agents()
        yield setup


def choose_qdrant(wish: str) -> Kind:
    """`auto` is real if there is a server. Raises: Invalid."""
    match wish:
        case "real" | "standin":
            return wish
        case "auto":
            return "real" if real_binary() else "standin"
        case _:
            raise Invalid(f"unknown kind of Qdrant {wish!r}", "use real, standin or auto")


def _program(module: str) -> list[str]:
    return [sys.executable, "-m", module]

"""Starts Qdrant peers on this machine, the stand-in's or a real server's, and ends them in order.

Every wait is bounded; output goes to a file next to each peer's directory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cleancut.core.primitives.errors import Invalid, NotFound, TimedOut, Unavailable
from cleancut.qdrant.client import Qdrant
from cleancut_devcluster.launch.free_ports import free_ports
from cleancut_devcluster.launch.process import Child, start_child

Kind = Literal["standin", "real"]
START_S = 30.0
_ATTEMPTS = 5
_POLL_S = 0.05


def real_binary() -> Path | None:
    """The Qdrant server to use: `$QDRANT_BIN`, else `qdrant` on PATH, else none."""
    given = os.environ.get("QDRANT_BIN")
    found = given if given and Path(given).is_file() else shutil.which("qdrant")
    return Path(found) if found else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What all peers of one cluster have in common."""

    kind: Kind
    base_dir: Path
    api_key: str | None
    read_only_api_key: str | None
    standalone: bool
    binary: Path | None
    url_recovery: bool = True
    resharding: bool = True


@dataclass(slots=True)
class PeerProcess:
    """One peer; it keeps its directory and its ports over restarts. `bootstrap`: the address of
    the peer that it joins; None for the first one. `recovery_mode`: from its next start on it
    loads no shard, for this reason. `more_env`: more of its environment."""

    name: str
    directory: Path
    plan: _Plan
    bootstrap: str | None = None
    ports: list[int] = field(default_factory=list)
    child: Child | None = None
    recovery_mode: str = ""
    more_env: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def storage(self) -> Path:
        """Its data directory, as an agent next to it is given it."""
        return self.directory / "storage"

    @property
    def uri(self) -> str:
        """Where other peers reach this one."""
        return f"http://127.0.0.1:{self.ports[2]}" if self.plan.kind == "real" else self.url

    @property
    def pid(self) -> int:
        """Raises: Invalid, if it does not run."""
        return self._running().pid

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.running

    @property
    def log(self) -> Path:
        return self.directory.with_suffix(".log")

    def client(self) -> Qdrant:
        """A new adapter for this peer; the caller closes it."""
        return Qdrant(self.url, self.plan.api_key)

    async def start(self, start_s: float = START_S) -> None:
        """It runs and answers /readyz; at the first start on ports that turned out to be free.

        Raises: Unavailable, with the end of its log; TimedOut.
        """
        first = not self.ports
        for attempt in range(_ATTEMPTS):
            if first:
                self.ports = free_ports(3)
            self.child = await start_child(self.name, self._command(), self.log, self._env())
            try:
                await wait_until(self._is_ready, start_s, f"{self.name} is ready")
            except Unavailable:
                await self.kill()
                if not first or attempt + 1 == _ATTEMPTS:
                    raise
            else:
                return

    async def stop(self) -> None:
        """Ended in order, by force if that takes too long. Order: repeatable."""
        if self.child is not None:
            self.thaw()
            await self.child.stop()

    async def kill(self) -> None:
        """Ended at once, as by a crash. Order: repeatable."""
        if self.child is not None:
            await self.child.kill()

    def freeze(self) -> None:
        """It does not answer, and its connections stay open, until `thaw`."""
        self._running().freeze()

    def thaw(self) -> None:
        if self.child is not None:
            self.child.thaw()

    def wipe(self) -> None:
        """Its disk is lost. Order: only while it does not run."""
        if self.running:
            raise Invalid(f"{self.name} still runs", "stop it first")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _running(self) -> Child:
        if self.child is None or not self.child.running:
            raise Invalid(f"{self.name} does not run", "start it first")
        return self.child

    async def _is_ready(self) -> bool:
        if not self.running:
            raise Unavailable(f"{self.name} ended while starting", self._tail())
        async with self.client() as qdrant:
            return await qdrant.ready()

    def _tail(self) -> str:
        return self.child.tail() if self.child is not None else ""

    def _command(self) -> list[str]:
        return self._real_command() if self.plan.kind == "real" else self._standin_command()

    def _standin_command(self) -> list[str]:
        address = self.url.removeprefix("http://")
        command = [sys.executable, "-m", "cleancut_devcluster.peer.main"]
        command += ["--dir", str(self.directory), "--http", address]
        if not self.plan.url_recovery:
            command.append("--no-url-recovery")
        if not self.plan.resharding:
            command.append("--no-resharding")
        if self.recovery_mode:
            command += ["--recovery-mode", self.recovery_mode]
        if self.plan.standalone:
            command.append("--standalone")
        else:
            command += ["--root", str(self._root())]
        for option, key in (
            ("api-key", self.plan.api_key),
            ("read-only-api-key", self.plan.read_only_api_key),
        ):
            if key:
                path = self.plan.base_dir / option
                path.write_text(key)
                command += [f"--{option}-file", str(path)]
        return command

    def _root(self) -> Path:
        """The shared consensus of the stand-in. A first peer that lost its disk finds no peer to
        join, as a real one without --bootstrap: it becomes a cluster of its own."""
        shared, own = self.plan.base_dir / "root", self.directory / "root"
        lost = self.bootstrap is None and shared.exists() and not self.directory.exists()
        return own if lost or own.exists() else shared

    def _real_command(self) -> list[str]:
        command = [str(self.plan.binary), "--disable-telemetry"]
        if not self.plan.standalone:
            command += ["--uri", self.uri]
            if self.bootstrap:
                command += ["--bootstrap", self.bootstrap]
        return command

    def _env(self) -> dict[str, str]:
        if self.plan.kind == "standin":
            return self.more_env
        self.directory.mkdir(parents=True, exist_ok=True)
        http, grpc, p2p = self.ports
        settings = {
            "LOG_LEVEL": "INFO",
            "TELEMETRY_DISABLED": "true",
            "SERVICE__HOST": "127.0.0.1",
            "SERVICE__HTTP_PORT": str(http),
            "SERVICE__GRPC_PORT": str(grpc),
            "SERVICE__ENABLE_STATIC_CONTENT": "false",
            "CLUSTER__ENABLED": "false" if self.plan.standalone else "true",
            "CLUSTER__P2P__PORT": str(p2p),
            "STORAGE__STORAGE_PATH": str(self.storage),
            "STORAGE__SNAPSHOTS_PATH": str(self.directory / "snapshots"),
        }
        if not self.plan.url_recovery:
            settings["SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY"] = "false"
        if self.plan.resharding:
            settings["CLUSTER__RESHARDING_ENABLED"] = "true"
        if self.recovery_mode:
            settings["STORAGE__RECOVERY_MODE"] = self.recovery_mode
        if self.plan.api_key:
            settings["SERVICE__API_KEY"] = self.plan.api_key
        if self.plan.read_only_api_key:
            settings["SERVICE__READ_ONLY_API_KEY"] = self.plan.read_only_api_key
        env = {f"QDRANT__{name}": value for name, value in settings.items()} | self.more_env
        return {**env, "QDRANT_INIT_FILE_PATH": str(self.directory / "initialized")}


@asynccontextmanager
async def launch_peers(
    count: int,
    base_dir: Path,
    kind: Kind = "standin",
    *,
    api_key: str | None = None,
    read_only_api_key: str | None = None,
    standalone: bool = False,
    url_recovery: bool = True,
    resharding: bool = True,
    start_s: float = START_S,
) -> AsyncIterator[list[PeerProcess]]:
    """`count` running peers that form one cluster; all of them are ended with the block.
    `resharding`: their configuration allows it, unlike Qdrant's by itself.

    Raises: NotFound, if a real server is wanted and there is none; Unavailable, TimedOut.
    """
    binary = real_binary() if kind == "real" else None
    if kind == "real" and binary is None:
        raise NotFound("there is no Qdrant server", "set QDRANT_BIN, or put qdrant on PATH")
    directory = _made(base_dir)
    plan = _Plan(
        kind,
        directory,
        api_key,
        read_only_api_key,
        standalone,
        binary,
        url_recovery=url_recovery,
        resharding=resharding,
    )
    peers: list[PeerProcess] = []
    try:
        for _ in range(count):
            await add_peer(peers, plan, start_s)
        yield peers
    finally:
        async with asyncio.TaskGroup() as group:
            for peer in peers:
                group.create_task(peer.stop())


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


async def add_peer(
    peers: list[PeerProcess], plan: _Plan | None = None, start_s: float = START_S
) -> PeerProcess:
    """One more running peer that all others know, appended to `peers`."""
    plan = plan or peers[0].plan
    name = f"qdrant-{len(peers)}"
    bootstrap = peers[0].uri if peers else None
    peer = PeerProcess(name, plan.base_dir / name, plan, bootstrap)
    peers.append(peer)
    await peer.start(start_s)
    if not plan.standalone:
        await wait_joined(peers, start_s)
    return peer


async def wait_joined(peers: list[PeerProcess], limit_s: float = START_S) -> None:
    """Returns once every running peer lists as many peers as there are."""

    async def joined() -> bool:
        for peer in (peer for peer in peers if peer.running):
            async with peer.client() as qdrant:
                if len((await qdrant.cluster()).peers) < len(peers):
                    return False
        return True

    await wait_until(joined, limit_s, f"{len(peers)} peers know each other")


async def wait_until(condition: Callable[[], Awaitable[bool]], limit_s: float, what: str) -> None:
    """Returns once `condition` holds. Raises: TimedOut, and what `condition` raises."""
    try:
        async with asyncio.timeout(limit_s):
            while True:
                if await condition():
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError as cause:
        raise TimedOut(f"not within {limit_s:g} s: {what}") from cause


def wipe_all(peers: list[PeerProcess]) -> None:
    """Total loss: every disk, and what the peers agreed on. Order: only while none runs."""
    for peer in peers:
        peer.wipe()
    if peers:
        shutil.rmtree(peers[0].plan.base_dir / "root", ignore_errors=True)

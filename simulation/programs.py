"""The programs under test: agents and coordinators as they are shipped, on simulated ports."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleancut.core.archive.plan import ArchiveSettings
from cleancut.core.maintenance.schedule import ScheduleRule
from cleancut.core.maintenance.stores import StoreRule
from cleancut.core.primitives.ids import AgentName, PeerId
from cleancut.core.protocol.etcd_records import Bounds
from cleancut.core.protocol.fence import NO_SETTINGS, FenceSettings
from cleancut.runtime.health import Health
from cleancut_agent.context import AgentContext
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_agent.metrics import AgentMetrics
from cleancut_agent.process import AgentProcess, serve_agent
from cleancut_agent.restore.tar_server import TarServer
from cleancut_coordinator.api.services import coordinator_api
from cleancut_coordinator.context import CoordinatorContext, CopyStore, GcSettings
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.process import CoordinatorProcess, serve_coordinator
from simulation.network import SimEtcd, SimStore, Surroundings
from simulation.peer import SimPeer
from simulation.pulling import Pulls
from simulation.undeleting import open_shard
from simulation.wal import SimWalStorage
from simulation.world import Process

DISK_BYTES = 1 << 40
_BOUNDS = Bounds(standstill_s=0.15)
"""Rounds are the same at any time; many of them show nothing more."""
_NO_GC = GcSettings(every_s=0.0)
_AGENT_METRICS = AgentMetrics("sim", "all")
_COORDINATOR_METRICS = CoordinatorMetrics("sim")


class Story:
    """The log of a process: lines of the story."""

    def __init__(self, shared: Surroundings, name: str) -> None:
        self._shared, self._name = shared, name

    def say(self, event: str, **facts: object) -> None:
        said = ", ".join(f"{key}={value}" for key, value in facts.items() if value is not None)
        self._shared.trace.say(self._shared.world.now_s, self._name, f"{event}: {said}")

    def debug(self, event: str, **facts: object) -> None:
        """Left out of the story."""

    info = warning = error = say


class NoPool(Executor):
    """Work goes to the loop, which does it in its own time."""


@dataclass(slots=True)
class Home:
    """What outlives an agent's process: its name, its peer, its directory, and whether the peer's
    data directory can be seen."""

    name: AgentName
    peer: PeerId
    directory: Path
    sees_storage: bool = False
    lives: int = 0

    def next_life(self) -> Path:
        """A copy of the directory as it is now: what a dead process still does is not seen."""
        before, self.lives = self.directory / str(self.lives), self.lives + 1
        after = self.directory / str(self.lives)
        if before.exists():
            shutil.copytree(before, after)
        else:
            after.mkdir(parents=True)
        (after / "spill").mkdir(exist_ok=True)
        return after


class SimAgent:
    """One life of an agent process, until it is killed."""

    def __init__(self, shared: Surroundings, pulls: Pulls, home: Home) -> None:
        self.home, self.world = home, shared.world
        self.process = Process(shared.world, home.name)
        directory = home.next_life()
        loopback = f"http://{home.name}-{home.lives}"
        store = SimStore(shared, self.process)
        context = AgentContext(
            name=home.name,
            keys=shared.keys,
            paths=shared.paths,
            etcd=SimEtcd(shared, self.process, shared.keys.session(home.name)),
            store=store,
            qdrant=_as_any(SimPeer(pulls, self.process, home.peer)),
            clock=shared.clock,
            spill_dir=directory,
            loopback=loopback,
            token_hex=shared.world.token_hex,
            free_disk_bytes=_free,
            wal=SimWalStorage(pulls.qdrant, home.peer) if home.sees_storage else None,
            engine="",
            open_shard=open_shard,
        )
        tars = TarServer(store, shared.paths)
        pulls.servers[loopback] = (self.process, tars)
        log = _as_any(Story(shared, home.name))
        watchdog = FenceWatchdog(context, metrics=_AGENT_METRICS, log=log)
        self.process.run(
            serve_agent(
                AgentProcess(context, tars, watchdog, NoPool(), Health(), _AGENT_METRICS, log)
            )
        )


@dataclass(frozen=True, slots=True)
class Config:
    """The settings file of all coordinators."""

    fences: FenceSettings = NO_SETTINGS
    gc: GcSettings = _NO_GC
    schedules: Mapping[str, ScheduleRule] = field(default_factory=dict)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    copies: StoreRule | None = None


class SimCoordinator:
    """One life of a coordinator process, until it is killed."""

    def __init__(self, shared: Surroundings, pulls: Pulls, name: str, config: Config) -> None:
        self.process = Process(shared.world, name)
        etcd = SimEtcd(shared, self.process, shared.keys.leader)
        peers = tuple(
            _as_any(SimPeer(pulls, self.process, peer)) for peer in sorted(pulls.qdrant.peers)
        )
        context = CoordinatorContext(
            name=name,
            store_url="memory",
            keys=shared.keys,
            paths=shared.paths,
            etcd=etcd,
            store=SimStore(shared, self.process),
            peers=peers,
            clock=shared.clock_of(name),
            bounds=_BOUNDS,
            fences=config.fences,
            gc=config.gc,
            file_schedules=config.schedules,
            archive=config.archive,
            stores=_stores(shared, self.process, config.copies),
            token_hex=shared.world.token_hex,
        )
        log = _as_any(Story(shared, name))
        self._program = CoordinatorProcess(context, Health(), _COORDINATOR_METRICS, log, name)
        program = self._program
        self.api = coordinator_api(context, program.leading, program.leader_address)
        self.process.run(serve_coordinator(program))

    @property
    def leads(self) -> bool:
        """True while it answers as the leader, which it may believe for too long."""
        return self.process.alive and self._program.leadership is not None


def _stores(shared: Surroundings, process: Process, rule: StoreRule | None) -> dict[str, CopyStore]:
    return {"second": CopyStore(rule, SimStore(shared, process, copy=True))} if rule else {}


def _as_any(value: object) -> Any:
    """Ports that are classes, not protocols, are taken for them."""
    return value


def _free(directory: Path) -> int:
    return DISK_BYTES

"""One effect on a small cluster in fair weather: what happens meanwhile is the test's choice."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import AgentName, ClusterName, PeerId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut_agent.context import AgentContext
from cleancut_agent.restore.recovery import Recovery
from cleancut_agent.restore.tar_server import TarServer
from cleancut_coordinator.context import CoordinatorContext
from simulation.network import SimEtcd, SimStore, Surroundings
from simulation.peer import SimPeer
from simulation.pulling import Pulls
from simulation.qdrant import SimQdrant
from simulation.replica import Shape
from simulation.world import Process, World

T = TypeVar("T")
LONG_S = 1000.0
LOOPBACK = "http://a1"


class Bench:
    """A cluster of `peers` with nothing in it, and one process that acts on it for epoch 5."""

    def __init__(self, peers: int = 1) -> None:
        self.world = World(1)
        name = ClusterName("sim")
        self.shared = Surroundings(self.world, Keys(name), Paths(name))
        self.qdrant = SimQdrant(self.world, Shape(peers, {}, copies=1))
        self.pulls = Pulls(self.shared, self.qdrant)
        self.process = Process(self.world, "it")
        self.process.epoch = 5
        self.etcd = SimEtcd(self.shared, self.process, self.shared.keys.leader)
        self.store = SimStore(self.shared, self.process)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result. Raises: what it raises."""
        task = self.process.spawn(work)
        self.world.run(self.world.now_s + LONG_S, task.done)
        assert task.done(), "it has not come to an end"
        return task.result()

    def context(self) -> CoordinatorContext:
        """Of a leader that changes the cluster for epoch 5."""
        return CoordinatorContext(
            name="leader",
            store_url="memory:",
            keys=self.shared.keys,
            paths=self.shared.paths,
            etcd=self.etcd,
            store=self.store,
            peers=tuple(
                SimPeer(self.pulls, self.process, peer)  # type: ignore[misc]
                for peer in self.qdrant.peers
            ),
            clock=self.shared.clock,
            token_hex=self.world.token_hex,
        )

    def recovery(self) -> Recovery:
        """Of an agent next to peer 1."""
        tars = TarServer(self.store, self.shared.paths)
        self.pulls.servers[LOOPBACK] = (self.process, tars)
        context = AgentContext(
            name=AgentName("a1"),
            keys=self.shared.keys,
            paths=self.shared.paths,
            etcd=self.etcd,
            store=self.store,
            qdrant=SimPeer(self.pulls, self.process, PeerId(1)),  # type: ignore[arg-type]
            clock=self.shared.clock,
            spill_dir=Path(),
            loopback=LOOPBACK,
            token_hex=self.world.token_hex,
        )
        return Recovery(context, tars)

"""One effect on a small cluster in fair weather: what happens meanwhile is the test's choice."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import AgentName, ClusterName, PeerId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut_agent.context import AgentContext
from cleancut_coordinator.context import CoordinatorContext
from tests.sim.network import Shared, SimClock, SimEtcd, SimStore
from tests.sim.peer import SimPeer
from tests.sim.pulling import Pulls, SimTars
from tests.sim.qdrant import SimQdrant
from tests.sim.restores import SimRecovery
from tests.sim.world import Process, World

T = TypeVar("T")
LONG_S = 1000.0


class Bench:
    """A cluster of `peers` with nothing in it, and one process that acts on it."""

    def __init__(self, peers: int = 1) -> None:
        self.world = World(1)
        name = ClusterName("sim")
        self.shared = Shared(self.world, Keys(name), Paths(name))
        self.qdrant = SimQdrant(self.world, peers, {}, copies=1)
        self.pulls = Pulls(self.shared, self.qdrant)
        self.process = Process(self.world, "it")
        self.etcd = SimEtcd(self.shared, self.process, self.shared.keys.leader)
        self.store = SimStore(self.shared, self.process)
        self.clock = SimClock(self.world, self.process)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result. Raises: what it raises."""
        ended: list[T | CleancutError] = []

        async def keep() -> None:
            ended.append(await work)

        def failed(error: CleancutError | None) -> None:
            if error is not None:
                ended.append(error)

        self.process.spawn(keep(), failed)
        self.world.run(self.world.now_s + LONG_S, lambda: bool(ended))
        assert ended, "it has not come to an end"
        if isinstance(ended[0], CleancutError):
            raise ended[0]
        return ended[0]

    def context(self) -> CoordinatorContext:
        """Of a leader that changes the cluster for epoch 5."""
        return CoordinatorContext(
            name="leader",
            store_url="memory:",
            keys=self.shared.keys,
            paths=self.shared.paths,
            etcd=self.etcd,  # type: ignore[arg-type]
            store=self.store,
            peers=tuple(
                SimPeer(self.pulls, self.process, peer, "epoch 5")  # type: ignore[misc]
                for peer in self.qdrant.peers
            ),
            clock=self.clock,
        )

    def recovery(self) -> SimRecovery:
        """Of an agent beside peer 1."""
        context = AgentContext(
            name=AgentName("a1"),
            keys=self.shared.keys,
            paths=self.shared.paths,
            etcd=self.etcd,  # type: ignore[arg-type]
            store=self.store,
            qdrant=SimPeer(self.pulls, self.process, PeerId(1)),  # type: ignore[arg-type]
            clock=self.clock,
            spill_dir=Path(),
            loopback="",
        )
        return SimRecovery(context, SimTars(self.pulls, self.process), self.process)

"""A lease that one process keeps alive, judged by its own clock as the real client does."""

from __future__ import annotations

from cleancut.core.primitives.errors import LeaseLost
from tests.sim.network import Shared
from tests.sim.world import Process, Scope


class SimLease:
    """Lost once its end by the local clock is reached, or etcd says so; never alive again."""

    def __init__(self, shared: Shared, process: Process, ttl_s: float) -> None:
        self._shared, self._process, self._ttl_s = shared, process, ttl_s
        self._margin_s = max(0.5, ttl_s / 5)
        self._ends_s = 0.0
        self._blind = shared.world.chance(0.3)
        self.id = 0

    async def open(self, scope: Scope) -> None:
        asked_s = self._shared.world.now_s
        await self._process.sleep(self._shared.world.rng.random() * 0.005)
        self.id = self._shared.model.grant(self._ttl_s, self._shared.world.now_s)
        self._ends_s = asked_s + self._ttl_s - self._margin_s
        scope.spawn(self._keep())

    def alive(self) -> bool:
        """A blind lease stands for a process that was stopped between this look and the act."""
        return self._blind or self._shared.world.now_s < self._ends_s

    async def watch(self) -> None:
        """Raises: LeaseLost, when it is over; a blind one notices seconds late."""
        while True:
            late_s = 3.0 if self._blind else 0.0
            if self._shared.world.now_s >= self._ends_s + late_s:
                raise LeaseLost("the lease is over")
            await self._process.sleep(max(0.05, self._ends_s + late_s - self._shared.world.now_s))

    async def _keep(self) -> None:
        world, weather = self._shared.world, self._shared.weather
        while True:
            await self._process.sleep(self._ttl_s / 3)
            sent_s = world.now_s
            if world.chance(weather.lost_request + weather.lost_answer):
                continue
            await self._process.sleep(world.rng.random() * 0.005)
            if self._shared.model.keep_alive(self.id, world.now_s) <= 0.0:
                raise LeaseLost("etcd no longer knows the lease")
            if not self._blind and world.now_s >= self._ends_s:
                raise LeaseLost("the lease is over")
            self._ends_s = sent_s + self._ttl_s - self._margin_s

    def drop(self) -> None:
        """Revokes it, if the network lets it: otherwise it runs out."""
        world, weather = self._shared.world, self._shared.weather
        if world.chance(weather.lost_request):
            return
        lease = self.id

        def revoke() -> None:
            if lease in self._shared.model.leases:
                self._shared.model.revoke(lease)

        world.after(world.rng.random() * 0.005, revoke)

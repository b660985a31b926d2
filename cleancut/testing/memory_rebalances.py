"""Rebalances of a coordinator in memory: one step, and over at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cleancut.api.interface import PageRequest
from cleancut.api.rebalances import (
    BalancedPeer,
    BalanceStep,
    Rebalance,
    RebalanceOptions,
    RebalancePage,
    RebalancePlan,
)
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.protocol.states import State

STEP = BalanceStep(
    action="move",
    collection="books",
    shard_id=1,
    source_peer_id=7,
    target_peer_id=8,
    size_bytes=2048,
)
PEERS = (
    BalancedPeer(peer_id=7, shards_before=2, shards_after=1, bytes_before=4096, bytes_after=2048),
    BalancedPeer(peer_id=8, shards_after=1, bytes_after=2048),
)


class MemoryRebalances:
    """`blockers` refuse it; what is started is done when it is asked for again. `cancelled`: how a
    cancel leaves it. `asked`: the options of the last plan."""

    def __init__(self) -> None:
        self.blockers: tuple[str, ...] = ()
        self.cancelled = State.ABORTED
        self.asked = RebalanceOptions()
        self._rebalances: dict[str, Rebalance] = {}

    async def plan_rebalance(self, options: RebalanceOptions) -> RebalancePlan:
        self.asked = options
        return RebalancePlan(
            steps=(STEP,), peers=PEERS, blockers=self.blockers, digest="d1", size_bytes=2048
        )

    async def start_rebalance(
        self, options: RebalanceOptions, *, request_id: str, plan_digest: str
    ) -> Rebalance:
        if self.blockers:
            raise Refused(self.blockers[0], "see its plan")
        if plan_digest not in {"", (await self.plan_rebalance(options)).digest}:
            raise Refused("the cluster has changed", "see its plan")
        name = f"m-{request_id}"
        self._rebalances[name] = Rebalance(id=name, state=State.MOVING, steps=(STEP,), peers=PEERS)
        return self._rebalances[name]

    async def get_rebalance(self, name: str) -> Rebalance:
        if name not in self._rebalances:
            raise NotFound(f"there is no rebalance {name}", "see `cleancut rebalance start`")
        return self._rebalances[name]

    async def list_rebalances(self, page: PageRequest) -> RebalancePage:
        return RebalancePage(rebalances=tuple(self._rebalances.values())[: page.size])

    async def watch_rebalance(self, name: str) -> AsyncIterator[Rebalance]:
        yield await self.get_rebalance(name)
        yield await self._end(name, State.DONE)

    async def cancel_rebalance(self, name: str) -> Rebalance:
        return await self._end(name, self.cancelled)

    async def _end(self, name: str, state: State) -> Rebalance:
        found = await self.get_rebalance(name)
        self._rebalances[name] = Rebalance(
            id=found.id, state=state, steps=found.steps, peers=found.peers
        )
        return self._rebalances[name]

"""Reshards of a coordinator in memory: one step, and over at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec.structs import replace

from cleancut.api.interface import PageRequest
from cleancut.api.reshards import Reshard, ReshardOptions, ReshardPage, ReshardPlan, ReshardStep
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.protocol.states import State

STEP = ReshardStep(shards=3, shard_id=2, peer_ids=(7, 8), size_bytes=2048)


class MemoryReshards:
    """`blockers` refuse it; what is started is done when it is asked for again. `cancelled`: how a
    cancel leaves it. `asked`: the options of the last plan."""

    def __init__(self) -> None:
        self.blockers: tuple[str, ...] = ()
        self.cancelled = State.CANCELED
        self.asked = ReshardOptions(collection="", shards=0)
        self._reshards: dict[str, Reshard] = {}

    async def plan_reshard(self, options: ReshardOptions) -> ReshardPlan:
        self.asked = options
        return ReshardPlan(
            collection=options.collection,
            shard_key=options.shard_key,
            shards=2,
            wanted=options.shards,
            steps=(STEP,),
            blockers=self.blockers,
            digest="d1",
            size_bytes=4096,
        )

    async def start_reshard(
        self, options: ReshardOptions, *, request_id: str, plan_digest: str
    ) -> Reshard:
        if self.blockers:
            raise Refused(self.blockers[0], "see its plan")
        if plan_digest not in {"", (await self.plan_reshard(options)).digest}:
            raise Refused("the cluster has changed", "see its plan")
        name = f"n-{request_id}"
        self._reshards[name] = Reshard(
            id=name,
            state=State.MOVING,
            collection=options.collection,
            shard_key=options.shard_key,
            shards=2,
            wanted=options.shards,
            steps=(STEP,),
        )
        return self._reshards[name]

    async def get_reshard(self, name: str) -> Reshard:
        if name not in self._reshards:
            raise NotFound(f"there is no reshard {name}", "see `cleancut reshard list`")
        return self._reshards[name]

    async def list_reshards(self, page: PageRequest) -> ReshardPage:
        return ReshardPage(reshards=tuple(self._reshards.values())[: page.size])

    async def watch_reshard(self, name: str) -> AsyncIterator[Reshard]:
        yield await self.get_reshard(name)
        yield await self._end(name, State.DONE)

    async def cancel_reshard(self, name: str) -> Reshard:
        return await self._end(name, self.cancelled)

    async def _end(self, name: str, state: State) -> Reshard:
        found = await self.get_reshard(name)
        over = replace(found, state=state)
        if state is State.DONE:
            step = replace(STEP, done=True, points=300, seconds=1.5)
            over = replace(over, shards=found.wanted, steps=(step,))
        self._reshards[name] = over
        return over

"""Undeletes of a coordinator in memory: one shard, and over at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec.structs import replace

from cleancut.api.interface import PageRequest
from cleancut.api.undeletes import (
    Undelete,
    UndeleteOptions,
    UndeletePage,
    UndeletePlan,
    UndeleteShard,
)
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.protocol.states import State

SHARD = UndeleteShard(shard_id=0, agent="agent-0", points=500, size_bytes=4096)


class MemoryUndeletes:
    """`blockers` refuse it; what is started is done when it is asked for again. `absent`: points
    that are still missing then. `asked`: the options of the last start."""

    def __init__(self) -> None:
        self.blockers: tuple[str, ...] = ()
        self.absent = 0
        self.asked = UndeleteOptions(backup_id="", collection="")
        self._undeletes: dict[str, Undelete] = {}

    async def plan_undelete(self, options: UndeleteOptions) -> UndeletePlan:
        return UndeletePlan(
            backup_id=options.backup_id,
            backup_epoch=17,
            collection=options.collection,
            into=options.into or options.collection,
            shards=(SHARD,),
            blockers=self.blockers,
            digest="d1",
            size_bytes=4096,
        )

    async def start_undelete(
        self, options: UndeleteOptions, *, request_id: str, plan_digest: str
    ) -> Undelete:
        self.asked = options
        if self.blockers:
            raise Refused(self.blockers[0], "see its plan")
        if plan_digest not in {"", (await self.plan_undelete(options)).digest}:
            raise Refused("the plan has changed", "see its plan")
        name = f"u-{request_id}"
        self._undeletes[name] = Undelete(
            id=name,
            state=State.APPLYING,
            backup_epoch=17,
            collection=options.collection,
            into=options.into or options.collection,
            overwrite=options.overwrite,
            count_only=options.count_only,
            shards=(SHARD,),
        )
        return self._undeletes[name]

    async def get_undelete(self, name: str) -> Undelete:
        if name not in self._undeletes:
            raise NotFound(f"there is no undelete {name}", "see `cleancut undelete list`")
        return self._undeletes[name]

    async def list_undeletes(self, page: PageRequest) -> UndeletePage:
        return UndeletePage(undeletes=tuple(self._undeletes.values())[: page.size])

    async def watch_undelete(self, name: str) -> AsyncIterator[Undelete]:
        yield await self.get_undelete(name)
        yield await self._end(name, State.DONE)

    async def cancel_undelete(self, name: str) -> Undelete:
        return await self._end(name, State.CANCELED)

    async def _end(self, name: str, state: State) -> Undelete:
        found = await self.get_undelete(name)
        over = replace(found, state=state)
        if state is State.DONE:
            over = replace(
                over,
                selected=500,
                present=488,
                missing=12,
                restored=0 if found.count_only else 12,
                absent=self.absent,
                shards=(replace(SHARD, selected=500, done=True),),
            )
        self._undeletes[name] = over
        return over

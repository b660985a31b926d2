"""One manifest that cannot be read is a row of its own, and stops nothing else of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from cleancut.api.interface import PageRequest
from cleancut.core.maintenance.retention import Policy, Retention
from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.states import State
from cleancut_coordinator.api.backups import BackupService
from cleancut_coordinator.api.leadership import Leadership
from cleancut_coordinator.leader.cluster_id import establish
from tests.unit.coordinator.maintenance.test_gc_stops import PATHS, World

BROKEN = Epoch(2)
ALL = PageRequest(50)


class Broken(World):
    """Three backups, the second one cut off in the middle, and the service of a leader."""

    def __init__(self) -> None:
        super().__init__(Policy(Retention(keep_last=1), max_expire_share=1.0), days=3)
        path = PATHS.group(BROKEN)
        self.store.objects[path] = self.store.objects[path][:200]
        leading = cast("Leadership", None)  # what these calls need of it is only that there is one
        self.service = BackupService(self.context, lambda: leading)

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        async def owned() -> Any:
            await establish(self.context, await self.etcd_token())
            return await call

        return asyncio.run(owned())


def states(world: Broken) -> dict[int, State]:
    page = world.run(world.service.list_backups(ALL))
    return {one.epoch: one.state for one in page.backups}


def test_it_is_a_row_and_the_others_are_found_by_number_and_id() -> None:
    world = Broken()
    assert states(world) == {3: State.COMMITTED, 2: State.CORRUPT, 1: State.COMMITTED}
    assert world.run(world.service.get_backup("1")).id == "b-1"
    assert world.run(world.service.get_backup("b-1")).epoch == 1
    assert world.run(world.service.get_backup("latest")).epoch == 3
    assert world.run(world.service.find_epoch("latest", "")) == 3


def test_it_can_be_deleted() -> None:
    world = Broken()
    deleted = world.run(world.service.delete_backup(str(BROKEN)))
    assert deleted.state is State.DELETED
    assert states(world) == {3: State.COMMITTED, 1: State.COMMITTED}
    with pytest.raises(NotFound):
        world.run(world.service.get_backup(str(BROKEN)))


def test_it_does_not_stop_retention() -> None:
    """The newest stays, the oldest expires; of the broken one nobody knows what it is."""
    world = Broken()
    assert [one.epoch for one in world.gc().expired] == [1]

"""One manifest that cannot be read is a row of its own, and stops nothing else of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from cleancut.api.interface import PageRequest
from cleancut.api.restores import Restore, RestoreOptions
from cleancut.core.maintenance.garbage import Tombstone
from cleancut.core.maintenance.retention import Policy, Retention
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import BackupRequest, UndeleteRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut.ports.coordination import Put
from cleancut_coordinator.api.backups import BackupService
from cleancut_coordinator.api.restores import RestoreService
from cleancut_coordinator.leader.cluster_id import establish
from cleancut_coordinator.leader.requests import load_all
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.maintenance.expiry import epochs_in_use
from tests.unit.coordinator.maintenance.test_gc_stops import KEYS, PATHS, World

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


def test_a_backup_that_an_undelete_reads_is_neither_deleted_nor_expired() -> None:
    """Between two attempts, too; once it is over it is."""
    world = Broken()
    request = UndeleteRequest(backup=Epoch(1), collection="docs", into="docs")
    operation = Operation(
        id=OperationId("u-1"),
        kind=OperationKind.UNDELETE,
        state=State.PENDING,
        request=encode(request).decode(),
    )

    def put(state: State) -> None:
        record = Put(KEYS.operation("u-1"), encode(structs.replace(operation, state=state)))
        world.run(world.context.etcd.txn([], [record]))

    put(State.PENDING)
    assert world.run(epochs_in_use(world.context)).keys() == {1}
    with pytest.raises(Refused, match="undelete u-1 needs backup 1"):
        world.run(world.service.delete_backup("1"))
    put(State.DONE)
    assert world.run(world.service.delete_backup("1")).state is State.DELETED


def test_it_can_be_deleted() -> None:
    world = Broken()
    deleted = world.run(world.service.delete_backup(str(BROKEN)))
    assert deleted.state is State.DELETED
    assert states(world) == {3: State.COMMITTED, 1: State.COMMITTED}
    with pytest.raises(NotFound):
        world.run(world.service.get_backup(str(BROKEN)))


def test_a_restore_of_a_deleted_backup_says_that_it_was_deleted() -> None:
    """In words of people, and as a deletion of it does; also while etcd remembers the backup."""
    world, ident = Broken(), OperationId("b-1")
    world.store.objects[PATHS.tombstone(Epoch(1))] = encode(Tombstone(deleted_at="", why=""))
    known = Operation(
        id=ident,
        kind=OperationKind.BACKUP,
        state=State.COMMITTED,
        request=encode(BackupRequest()).decode(),
        epoch=Epoch(1),
    )
    world.run(world.etcd.txn([], [Put(KEYS.operation(ident), encode(known))]))
    with pytest.raises(NotFound, match="backup 1 was deleted"):
        world.run(world.service.find_epoch("1", ""))


def test_it_does_not_stop_retention() -> None:
    """The newest stays, the oldest expires; of the broken one nobody knows what it is."""
    world = Broken()
    assert [one.epoch for one in world.gc().expired] == [1]


class Poked:
    """A leader's term of which only `poke` is used."""

    def poke(self) -> None:
        pass


class Restoring(Broken):
    """The service of restores above the three backups."""

    def __init__(self) -> None:
        super().__init__()
        token = asyncio.run(self.etcd_token())
        leading = cast("Leadership", SimpleNamespace(token=token, term=Poked()))
        self.restores = RestoreService(self.context, lambda: leading, self.service)

    def start(self, backup: str) -> Restore:
        started = self.restores.start_restore(
            backup, RestoreOptions(), request_id="one", plan_digest=""
        )
        shown: Restore = self.run(started)
        return shown

    def recorded(self) -> list[Operation]:
        return asyncio.run(load_all(self.context, OperationKind.RESTORE))


def test_a_restore_of_it_is_refused_before_anything_is_recorded() -> None:
    world = Restoring()
    with pytest.raises(Corrupt, match="not a complete manifest"):
        world.start(str(BROKEN))
    assert world.recorded() == []


def test_a_restore_is_shown_though_its_backup_can_not_be_read_any_more() -> None:
    """It was accepted and goes on; so no answer says that it was refused."""
    world = Restoring()
    started = world.start("3")
    assert not started.warnings
    path = PATHS.group(Epoch(3))
    world.store.objects[path] = world.store.objects[path][:200]
    again = world.run(world.restores.get_restore(started.id))
    assert (again.id, again.state) == (started.id, State.PENDING)
    assert any("not a complete manifest" in warning for warning in again.warnings)
    listed = world.run(world.restores.list_restores(ALL))
    assert [one.id for one in listed.restores] == [started.id]

"""An etcd that went back is noticed by client, leader and agent, and taken over only on request."""

from __future__ import annotations

import asyncio

import pytest

from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.ports.coordination import Compacted, Created, Put
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.cluster_id import (
    check_store_owner,
    establish,
    read_identities,
    write_owner,
)
from cleancut_coordinator.leader.high_water import (
    accept_etcd,
    check_not_behind,
    check_undoable,
    end_behind,
    put_opened,
    put_published,
    read_marks,
)
from cleancut_coordinator.leader.state import LeaderState
from tests.unit.coordinator.leader.test_state import context, lead, run


def model_of(at: CoordinatorContext) -> EtcdModel:
    assert isinstance(at.etcd, MemoryEtcd)
    return at.etcd.model


async def open_epoch(at: CoordinatorContext, state: LeaderState) -> Epoch:
    epoch = await state.next_epoch()
    await put_opened(at, epoch)
    return epoch


def pending() -> Operation:
    return Operation(
        id=OperationId("b-1"),
        kind=OperationKind.BACKUP,
        state=State.PENDING,
        request=encode(BackupRequest()).decode(),
    )


@run
async def test_nothing_begins_in_an_etcd_that_went_back_until_it_is_adopted() -> None:
    """What waited in it ends with a runbook; after `adopt` the next epoch is a new one."""
    at = context()
    token = await lead(at)
    await establish(at, token)
    state = LeaderState(at, token)
    await open_epoch(at, state)
    key = at.keys.operation("b-1")
    await at.etcd.txn([], [Put(key, encode(pending()))])
    snapshot = model_of(at).snapshot()
    newest = await open_epoch(at, state)
    model_of(at).go_back(snapshot, 0.0, cluster_id=0xC2)

    failure = await end_behind(at, state, pending())
    assert failure is not None
    assert "adopt" in failure.hint
    found = await at.etcd.get(key)
    assert found is not None
    assert decode(Operation, found.value, key).state is State.NEEDS_OPERATOR
    with pytest.raises(Refused):
        await check_not_behind(at)

    await accept_etcd(at, token, lambda: None)
    await check_not_behind(at)
    assert await open_epoch(at, state) > newest + 1
    await check_not_behind(at)


@run
async def test_a_bumped_revision_hides_nothing() -> None:
    at = context()
    token = await lead(at)
    await establish(at, token)
    state = LeaderState(at, token)
    await open_epoch(at, state)
    snapshot = model_of(at).snapshot()
    await open_epoch(at, state)
    model_of(at).go_back(snapshot, 0.0)
    model_of(at).revision += 10**9
    with pytest.raises(Refused, match="gone back"):
        await check_not_behind(at)


@run
async def test_a_published_restore_is_never_undone() -> None:
    """The first report that was marked counts, whoever asks again."""
    at = context()
    token = await lead(at)
    await establish(at, token)
    epoch = await open_epoch(at, LeaderState(at, token))
    await check_undoable(at, epoch)
    assert await put_published(at, epoch, "a" * 64) == "a" * 64
    assert await put_published(at, epoch, "b" * 64) == "a" * 64
    assert (await read_marks(at, epoch)).published == "a" * 64
    with pytest.raises(Refused, match="not undone"):
        await check_undoable(at, epoch)


@run
async def test_leases_and_watches_end_when_etcd_goes_back() -> None:
    """Even though the snapshot holds the lease, and the watch would wait for the future."""
    model, clock = EtcdModel(), SystemClock()
    etcd = MemoryEtcd(clock, model)
    async with etcd.lease(5) as lease:
        await etcd.txn([Created("a", 0)], [Put("a", b"1", lease.id)])
        snapshot = model.snapshot()
        for _ in range(5):
            await etcd.txn([], [Put("b", b"")])
        watch = etcd.watch("a", model.revision + 1)
        waiting = asyncio.ensure_future(anext(watch))  # noqa: TID251
        await asyncio.sleep(0)
        model.go_back(snapshot, clock.monotonic_s())
        with pytest.raises(Compacted):
            await waiting
        async with asyncio.timeout(5):
            assert "went back" in await lease.wait_lost()
    assert model.list("a").items == ()


@run
async def test_a_damaged_mark_stops_nothing_and_hides_nothing() -> None:
    """Its path has its epoch; the one before it has the rest."""
    at = context()
    token = await lead(at)
    await establish(at, token)
    state = LeaderState(at, token)
    await open_epoch(at, state)
    snapshot = model_of(at).snapshot()
    for damaged in (b"", b'{"epoch"', b"[" * 100_000):
        epoch = await open_epoch(at, state)
        path = at.paths.mark(epoch, "opened")
        await at.store.delete(path)
        await at.store.put(path, damaged)
    await check_not_behind(at)
    assert (await read_marks(at, epoch)).newest == epoch
    model_of(at).go_back(snapshot, 0.0)
    model_of(at).revision += 10**9
    with pytest.raises(Refused, match="gone back"):
        await check_not_behind(at)


@run
async def test_a_damaged_owner_is_nobody_until_the_store_is_adopted() -> None:
    """Nothing begins, and the way out is the one that is given for another owner."""
    at = context()
    token = await lead(at)
    before = await establish(at, token)
    path = at.paths.owner(before.owner_number)
    await at.store.delete(path)
    await at.store.put(path, b"{")
    with pytest.raises(Refused, match="damaged") as refused:
        await check_store_owner(at)
    assert "cleancut adopt" in refused.value.hint
    await write_owner(at, await read_identities(at))
    assert (await check_store_owner(at)).cluster_id == before.cluster_id

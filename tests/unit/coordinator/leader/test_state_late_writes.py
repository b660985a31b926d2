"""A write that arrives a second time, late, takes nothing back: etcd may apply a re-sent request
long after its twin, while the same leader still leads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, FencingToken, OperationId
from cleancut.core.protocol.commands import Persist
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Failure, Operation
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.ports.coordination import Created, Guard, Op, Put, TxnResult
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.state import LeaderState

Sent = tuple[tuple[Guard, ...], tuple[Op, ...]]


class Recorder(MemoryEtcd):
    """Keeps what was sent, so that it can arrive again."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.sent: list[Sent] = []

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        self.sent.append((tuple(guards), tuple(ops)))
        return await super().txn(guards, ops)


async def leading(etcd: Recorder) -> LeaderState:
    """The state of a leader of this etcd."""
    keys = Keys(ClusterName("prod"))
    context = CoordinatorContext(
        name="c0",
        store_url="memory",
        keys=keys,
        paths=Paths(ClusterName("prod")),
        etcd=etcd,
        store=MemoryStore(),
        peers=(),
        clock=SystemClock(),
    )
    result = await etcd.txn([Created(keys.leader, 0)], [Put(keys.leader, b"{}")])
    leader_state = LeaderState(context, FencingToken(result.revision))
    await leader_state.load()
    return leader_state


async def check(first: Persist) -> None:
    """After a later change of ctl, `first` arriving again is refused."""
    etcd = Recorder()
    leader_state = await leading(etcd)
    assert await leader_state.persist(first, Epoch(1))
    late = etcd.sent[-1]
    ctl = Ctl(phase=Phase.PREPARE, epoch=Epoch(1), operation=OperationId("op"))
    assert await leader_state.persist(
        Persist(ctl, replace(OPERATION, state=State.PREPARING)), Epoch(1)
    )
    assert not etcd.model.txn(*late).applied, "an old write took effect after a newer one"


OPERATION = Operation(
    id=OperationId("op"),
    kind=OperationKind.BACKUP,
    state=State.PENDING,
    request=encode({}).decode(),
)


def test_an_operation_alone() -> None:
    """An attempt that ended before it was opened writes the operation alone. Applied again after
    the next attempt has ended, it would start a finished operation anew."""
    asyncio.run(check(Persist(operation=OPERATION)))


def test_members_alone() -> None:
    """Assignments that were replaced do not come back."""
    asyncio.run(check(Persist(members={AgentName("a1"): EpochMember(session=FencingToken(1))})))


@pytest.mark.parametrize("what", ["waiting", "cancel", "end"])
def test_what_is_said_of_a_pending_operation(what: str) -> None:
    """Why it waits, or that it was ended: arriving again once it is committed, it would be pending
    again, and carried out a second time."""
    failure = Failure(reason="UNAVAILABLE", message="the store fails now")

    async def body() -> None:
        etcd = Recorder()
        state = await leading(etcd)
        assert await state.persist(Persist(operation=OPERATION), Epoch(1))
        if what == "waiting":
            await state.note_waiting(OPERATION, failure)
        elif what == "cancel":
            await state.cancel_pending(OPERATION.id)
        else:
            await state.end_operation(OPERATION, State.NEEDS_OPERATOR, failure)
        late = etcd.sent[-1]
        done = replace(OPERATION, state=State.COMMITTED)
        assert await state.persist(Persist(operation=done), Epoch(1))
        assert not etcd.model.txn(*late).applied, "an old write took effect after a newer one"
        for again in (state.note_waiting(OPERATION, failure), state.cancel_pending(OPERATION.id)):
            await again
            found = await state.operation(OPERATION.id)
            assert found is not None
            assert found.state is State.COMMITTED

    asyncio.run(body())


def test_members_in_parts() -> None:
    """Those that did not fit into one request do not come back either."""

    async def body() -> None:
        etcd = Recorder()
        state = await leading(etcd)
        members = {
            AgentName(f"a{index}"): EpochMember(session=FencingToken(1)) for index in range(250)
        }
        ctl = Ctl(phase=Phase.PREPARE, epoch=Epoch(1), operation=OperationId("op"))
        assert await state.persist(Persist(ctl, OPERATION, members), Epoch(1))
        parts = etcd.sent[-3:]
        assert len(parts) == 3
        assert await state.persist(Persist(replace(ctl, phase=Phase.CUT)), Epoch(1))
        for late in parts:
            assert not etcd.model.txn(*late).applied, "an old member took a newer one's place"

    asyncio.run(body())

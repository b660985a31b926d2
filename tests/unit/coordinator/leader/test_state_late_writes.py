"""A write that arrives a second time, late, takes nothing back: etcd may apply a re-sent request
long after its twin, while the same leader still leads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, FencingToken, OperationId
from cleancut.core.protocol.commands import Persist
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Operation
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


async def check(first: Persist) -> None:
    """After a later change of ctl, `first` arriving again is refused."""
    etcd = Recorder()
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

"""Requests to etcd stay under its limit with thousands of shards: members, votes, operations."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence

import pytest

from cleancut.core.primitives.codec import MAX_UNPACKED, decode, encode, pack
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import (
    AgentName,
    Epoch,
    FencingToken,
    OperationId,
    PeerId,
    ShardId,
)
from cleancut.core.protocol.commands import Decide, Persist
from cleancut.core.protocol.etcd_records import (
    Ctl,
    EpochMember,
    Failure,
    Operation,
    Parent,
    Reading,
    ShardState,
    ShardTask,
    SickCollection,
    UnusableReplica,
    Vote,
)
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.ports.coordination import Guard, Op, Put, TxnResult
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut_coordinator.leader.state import LeaderState
from tests.unit.coordinator.leader.test_state import context, lead, run

LIMIT = 1_500_000
"""etcd's `--max-request-bytes`: 1.5 MiB, with keys and guards."""
RECORD = 1_000_000
EPOCH = Epoch(5)


class Measured(MemoryEtcd):
    """Keeps the largest request and the largest value."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.request = self.value = 0

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        puts = [op for op in ops if isinstance(op, Put)]
        self.request = max(self.request, sum(len(op.key) + len(op.value) for op in puts))
        self.value = max([self.value, *(len(op.value) for op in puts)])
        return await super().txn(guards, ops)


def digest(rng: random.Random) -> str:
    return f"{rng.getrandbits(256):064x}"


def name(rng: random.Random) -> str:
    """As long as Qdrant takes them, nearly, and unlike any other."""
    return f"{rng.getrandbits(760):0190x}"


def state(rng: random.Random) -> ShardState:
    segment = str(uuid.UUID(int=rng.getrandbits(128)))
    return ShardState(status="green", segment=segment, optimizing=0)


def task(rng: random.Random, number: int) -> ShardTask:
    """Every field that a backup or restore may fill, each of another collection."""
    second = Reading(
        number=rng.getrandbits(30), incarnation="2026-01-01", arrivals=3, state=state(rng)
    )
    return ShardTask(
        collection=name(rng),
        shard_id=ShardId(number),
        peer_id=PeerId(rng.getrandbits(53)),
        index=number,
        recipe=digest(rng),
        parent=Parent(second=second, uuid=str(uuid.UUID(int=rng.getrandbits(128)))),
        tar_sha256=digest(rng),
        size_bytes=rng.getrandbits(40),
        count=rng.getrandbits(30),
        uuid=str(uuid.UUID(int=rng.getrandbits(128))),
    )


def members(rng: random.Random, loads: Sequence[int]) -> dict[AgentName, EpochMember]:
    return {
        AgentName(f"agent-{index}"): EpochMember(
            session=FencingToken(index + 1),
            tasks=tuple(task(rng, number) for number in range(load)),
            assigned=True,
        )
        for index, load in enumerate(loads)
    }


def vote(rng: random.Random, load: int) -> Vote:
    return Vote(
        session=FencingToken(1),
        yes=True,
        numbers=tuple(rng.getrandbits(30) for _ in range(load)),
        states=tuple(state(rng) for _ in range(load)),
        incarnation="2026-01-01",
        nonce=digest(rng),
    )


@pytest.mark.parametrize("loads", [(1667, 1667, 1666), (1000,), (10,) * 500])
def test_members_and_an_operation_that_names_all_of_them_fit(loads: tuple[int, ...]) -> None:
    @run
    async def body() -> None:
        rng, etcd = random.Random(1), Measured()
        object.__setattr__(at := context(), "etcd", etcd)
        leader = LeaderState(at, await lead(at))
        await leader.load()
        given = members(rng, loads)
        tasks = [one for member in given.values() for one in member.tasks]
        sick = tuple(SickCollection(name=one.collection, reason="no reply") for one in tasks[:1000])
        operation = Operation(
            id=OperationId("b-1"),
            kind=OperationKind.BACKUP,
            state=State.PREPARING,
            request="{}",
            failure=Failure(reason="UNAVAILABLE", message="sick", sick=sick),
            unusable=tuple(
                UnusableReplica(
                    collection=one.collection, shard_id=one.shard_id, peer_id=one.peer_id
                )
                for one in tasks
            ),
        )
        ctl = Ctl(
            phase=Phase.PREPARE,
            epoch=EPOCH,
            operation=operation.id,
            undrained=tuple(range(5000)),
        )
        assert await leader.persist(Persist(ctl, operation, given), EPOCH)
        assert etcd.value < RECORD
        assert etcd.request < LIMIT
        taken = await leader.load()
        assert {name: member.tasks for name, member in taken.members.items()} == {
            name: member.tasks for name, member in given.items()
        }
        assert taken.operation is not None
        assert taken.operation.unusable == operation.unusable

    body()


@pytest.mark.parametrize("load", [1000, 5000])
def test_a_vote_with_the_numbers_and_states_of_all_shards_fits(load: int) -> None:
    given = vote(random.Random(2), load)
    data = pack(given)
    assert len(data) < RECORD
    assert decode(Vote, data, "vote") == given


@run
async def test_a_decision_over_large_votes_is_taken() -> None:
    rng, etcd = random.Random(3), Measured()
    object.__setattr__(at := context(), "etcd", etcd)
    leader = LeaderState(at, await lead(at))
    assert await leader.persist(Persist(Ctl(phase=Phase.UPLOAD, epoch=EPOCH)), EPOCH)
    votes = {AgentName(f"agent-{index}"): vote(rng, 1667) for index in range(3)}
    for agent, one in votes.items():
        await etcd.txn([], [Put(at.keys.vote(EPOCH, "UPLOAD", agent), pack(one))])
    committed = Ctl(phase=Phase.COMMIT, epoch=EPOCH, manifest=digest(rng))
    assert await leader.decide(Decide(committed, "UPLOAD", tuple(votes)), votes)
    assert etcd.request < LIMIT


def test_small_records_stay_readable() -> None:
    given = vote(random.Random(4), 5)
    assert pack(given) == encode(given)


@pytest.mark.parametrize("harm", ["cut", "changed", "huge"])
def test_what_is_packed_badly_is_corrupt(harm: str) -> None:
    import zlib

    data = pack(vote(random.Random(5), 3000))
    bad = {
        "cut": data[: len(data) // 2],
        "changed": data[:40] + bytes([data[40] ^ 255]) + data[41:],
        "huge": zlib.compress(b" " * (MAX_UNPACKED + 1)),
    }
    with pytest.raises(Corrupt, match="vote is not a valid Vote"):
        decode(Vote, bad[harm], "vote")

"""The machines of a seed: it ends with all that all have read, and never with a group."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.backup.participant import BackupParticipant, SeedShards
from cleancut.core.backup.seed import SeedMachine
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken
from cleancut.core.protocol.commands import CastVote, Command, Persist, Run, Stop
from cleancut.core.protocol.etcd_records import Bounds, Ctl, EpochMember, Failure, Seeded, Vote
from cleancut.core.protocol.events import (
    Cancelled,
    Done,
    Failed,
    Progressed,
    Seen,
    SessionMoved,
    TakenOver,
    Tick,
    Voted,
)
from cleancut.core.protocol.high_water import StoreMarks
from cleancut.core.protocol.states import CLOSED, OperationKind, Phase, State
from tests.unit.core.backup.table import EPOCH, Table, every_history, task

A1, A2 = AgentName("a1"), AgentName("a2")
BROKEN = Failure(reason="UNAVAILABLE", message="broken")
DAY_S = 24 * 3600.0


def new_table(agents: tuple[AgentName, ...] = (A1, A2), crashes: int = 0) -> Table:
    table = Table(agents, crashes_left=crashes, seed=True)
    table.start()
    return table


def uploading() -> tuple[SeedMachine, Table]:
    """A machine whose agents have just been told to read their shards."""
    table = new_table()
    for turn in range(200):
        if table.ctl.phase is Phase.UPLOAD:
            assert isinstance(table.barrier, SeedMachine)
            return table.barrier, table
        moves = table.moves()
        table.move(moves[turn % len(moves)])
    raise AssertionError("never came to UPLOAD")


def voted(table: Table, agent: AgentName, told: Seeded | None) -> Voted:
    failure = None if told else BROKEN
    vote = Vote(session=table.tokens[agent], yes=told is not None, seeded=told, failure=failure)
    return Voted(agent, EPOCH, Phase.UPLOAD.value, vote)


def ends(commands: list[Command], state: State) -> Failure | None:
    """They end the attempt, in this state of the operation."""
    persist, stop = commands
    assert isinstance(persist, Persist)
    assert persist.ctl is not None
    assert persist.operation is not None
    assert (persist.ctl.phase, persist.operation.state) == (Phase.ABORT, state)
    assert stop == Stop(EPOCH)
    return persist.operation.failure


@pytest.mark.parametrize(("agents", "crashes"), [((A1,), 2), ((A1, A2), 1), ((A1, A2), 0)])
def test_every_history(agents: tuple[AgentName, ...], crashes: int) -> None:
    """In every order of events, with a crash of any process after any command: it goes no way but
    that of its table, decides nothing, and is SEEDED only if every agent has said so."""
    seen = set()
    for table, is_end in every_history(new_table(agents, crashes)):
        assert not table.group
        assert not table.published
        assert table.operation is not None
        if table.operation.state is State.SEEDED:
            votes = [table.votes[Phase.UPLOAD.value, name] for name in agents]
            assert all(vote.yes for vote in votes)
            assert table.operation.seeded == Seeded(
                shards=len(agents),
                read_bytes=10 * len(agents),
                new_bytes=5 * len(agents),
                stored_bytes=2 * len(agents),
            )
        if is_end:
            assert table.ctl.phase in CLOSED
            seen.add(table.operation.state)
    assert State.SEEDED in seen
    assert (State.PENDING in seen) is bool(crashes)


def test_agents_are_told_how_many_streams_they_may_have() -> None:
    _, table = uploading()
    assert (table.ctl.kind, table.ctl.streams, table.ctl.draft) == (OperationKind.SEED, 2, "")


def test_an_agent_that_starts_anew_goes_on_in_the_same_epoch() -> None:
    """Nothing is proven, so nothing is lost with its session: it reads its shards again, and its
    vote counts. The coordinator ends nothing because of it."""
    seed, table = uploading()
    assert seed.step(SessionMoved(A2, None), 1.0) == []
    assert seed.step(SessionMoved(A2, FencingToken(900)), 2.0) == []
    member, ctl = table.members[A2], table.ctl
    cut = BackupParticipant(FencingToken(900))
    sow = SeedShards(EPOCH, member.tasks, 2)
    assert cut.step(Seen(ctl, member), 0.0) == [Run(sow)]
    told = Seeded(shards=1, read_bytes=7)
    vote = Vote(session=FencingToken(900), yes=True, seeded=told)
    assert cut.step(Done(sow, told), 0.0) == [CastVote("UPLOAD", vote)]
    assert seed.step(voted(table, A1, Seeded(shards=2, read_bytes=3)), 3.0) == []
    (persist,) = seed.step(Voted(A2, EPOCH, "UPLOAD", vote), 4.0)
    assert isinstance(persist, Persist)
    assert persist.operation is not None
    assert persist.operation.state is State.SEEDED
    assert persist.operation.seeded == Seeded(shards=3, read_bytes=10)
    assert seed.idle


def test_a_stream_that_fails_is_a_no_and_stays_one() -> None:
    """As in a backup: the next attempt is a new epoch."""
    cut, member = (
        BackupParticipant(FencingToken(1)),
        EpochMember(session=FencingToken(1), tasks=(task(0),), assigned=True),
    )
    ctl = Ctl(kind=OperationKind.SEED, phase=Phase.UPLOAD, epoch=Epoch(3), streams=1)
    sow = SeedShards(Epoch(3), member.tasks, 1)
    assert cut.step(Seen(ctl, member), 0.0) == [Run(sow)]
    no = CastVote("UPLOAD", Vote(session=FencingToken(1), yes=False, failure=BROKEN))
    assert cut.step(Failed(sow, BROKEN), 0.0) == [no]
    assert cut.step(Seen(replace(ctl, phase=Phase.ABORT), member), 1.0) == [Stop(Epoch(3))]
    assert cut.step(Seen(ctl, None), 1.0) == []  # no member: it has no part


def test_a_no_is_tried_again_and_a_cancel_is_not() -> None:
    seed, table = uploading()
    failure = ends(seed.step(voted(table, A2, None), 1.0), State.PENDING)
    assert failure is not None
    assert failure.message == "agent a2: broken"
    seed, _ = uploading()
    failure = ends(seed.step(Cancelled(), 1.0), State.ABORTED)
    assert failure is not None
    assert failure.reason == "CANCELLED"


def test_it_may_take_days_as_long_as_bytes_move() -> None:
    """A backup may upload for a day; no progress for ten minutes ends either."""
    seed, _ = uploading()
    now_s = 0.0
    while now_s < 6 * DAY_S:
        now_s += 500.0
        assert seed.step(Progressed(A1), now_s) == []
        assert seed.step(Tick(), now_s) == []
    failure = ends(seed.step(Tick(), now_s + 601.0), State.PENDING)
    assert failure is not None
    assert "no upload made progress" in failure.message
    seed, _ = uploading()
    seed.step(Progressed(A1), 8 * DAY_S)
    failure = ends(seed.step(Tick(), 8 * DAY_S), State.PENDING)
    assert failure is not None
    assert "UPLOAD took too long" in failure.message


def test_a_new_leader_goes_on_with_the_reading() -> None:
    """What was voted counts; before the reading it begins a new epoch."""
    _, table = uploading()
    votes = {("UPLOAD", A1): voted(table, A1, Seeded(shards=1)).vote}
    later = SeedMachine(Bounds())
    took = TakenOver(table.ctl, table.operation, dict(table.members), votes)
    (look,) = later.step(took, 0.0)
    assert isinstance(look, Run)
    assert later.step(Done(look.effect, StoreMarks(newest=table.ctl.epoch)), 0.0) == []
    (persist,) = later.step(voted(table, A2, Seeded(shards=1)), 1.0)
    assert isinstance(persist, Persist)
    assert persist.operation is not None
    assert persist.operation.seeded == Seeded(shards=2)
    early = replace(table.ctl, phase=Phase.PREPARE)
    before = TakenOver(early, table.operation, dict(table.members), {})
    again = SeedMachine(Bounds())
    (look,) = again.step(before, 0.0)
    assert isinstance(look, Run)
    ends(again.step(Done(look.effect, StoreMarks(table.ctl.epoch)), 0.0), State.PENDING)

"""The coordinator's machine: every order of events, every crash, every edge of its table."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.phases import TRANSITIONS, Publish, StoreCanaries
from cleancut.core.primitives.codec import digest_of, encode
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken
from cleancut.core.protocol.commands import Command, Persist, Run, Stop
from cleancut.core.protocol.documents import Canaries, Canary
from cleancut.core.protocol.effect_requests import Drain, Drained
from cleancut.core.protocol.etcd_records import Bounds, Ctl, Failure, Vote
from cleancut.core.protocol.events import (
    Cancelled,
    Done,
    Event,
    Failed,
    Progressed,
    Seen,
    SessionMoved,
    TakenOver,
    Tick,
    Voted,
)
from cleancut.core.protocol.fence import Fence, FencedAlias
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import CLOSED, FENCED, Phase, State
from tests.unit.core.backup.table import COORDINATOR, EPOCH, Table, every_history

A1, A2 = AgentName("a1"), AgentName("a2")
VOTED = (Phase.PREPARE, Phase.CUT, Phase.SEAL, Phase.UPLOAD)
BROKEN = Failure(reason="UNAVAILABLE", message="broken")


FENCE = Fence(epoch=EPOCH, budget_s=2.0, aliases=(FencedAlias(alias="w", collection="c"),))


LONG_FENCE = replace(FENCE, budget_s=30.0)


def new_table(
    agents: Iterable[AgentName] = (A1, A2),
    crashes: int = 0,
    fence: Fence | None = None,
    writes: int = -1,
) -> Table:
    table = Table(tuple(agents), crashes_left=crashes, fence=fence, writes=writes)
    table.round_s = 1.0 if fence and writes >= 0 else 0.0
    table.start()
    return table


def play_until(table: Table, phase: Phase) -> Table:
    """`table` after fair moves in a fixed order, as soon as it is in `phase`."""
    for turn in range(200):
        if table.ctl.phase is phase:
            return table
        moves = table.moves()
        table.move(moves[turn % len(moves)])
    raise AssertionError(f"never came to {phase}")


def barrier_in(phase: Phase, fence: Fence | None = None) -> tuple[Barrier, Table]:
    table = play_until(new_table(fence=fence), phase)
    return table.barrier, table


def check(barrier: Barrier, event: Event, state: State, *, aborted: bool) -> Failure | None:
    """What `event` does: the operation's state after it, and whether the attempt is aborted."""
    commands = barrier.step(event, 1.0)
    assert barrier.operation is not None
    assert barrier.operation.state is state
    assert any(isinstance(command, Stop) for command in commands) is aborted
    if aborted:
        persist = commands[0]
        assert isinstance(persist, Persist)
        assert persist.ctl is not None
        assert persist.ctl.phase is Phase.ABORT
        assert persist.operation == barrier.operation
    return barrier.operation.failure


def check_position(table: Table) -> None:
    """What holds in every position of every history."""
    if table.group:
        for phase in VOTED:
            for name in table.agents:
                assert table.votes[phase.value, name].yes, f"decided without {name} in {phase}"
        assert table.ctl.phase in {Phase.COMMIT, Phase.IDLE}
        if table.ctl.fenced:
            last = "STANDSTILL" if table.ctl.round else "SEAL"
            assert all(table.votes[last, name].fenced for name in table.agents)
        assert table.ctl.fenced is (table.fence is not None)
    assert not table.published or table.group
    assert not table.raised or table.fence_key == table.fence, "raised, and nobody could know"
    assert not table.raised or table.ctl.phase in FENCED
    if table.ctl.phase in CLOSED and table.ctl.epoch:
        assert table.operation is not None
        ended = {State.COMMITTED} if table.published else {State.PENDING, State.ABORTED}
        assert table.operation.state in ended


@cache
def explored(
    agents: tuple[AgentName, ...], crashes: int, fence: Fence | None = None, writes: int = -1
) -> tuple[set[Phase], set[str]]:
    """The phases in which histories end, and the changes of phase on the way. Checks positions."""
    ends: set[Phase] = set()
    said: set[str] = set()
    for position, is_end in every_history(new_table(agents, crashes, fence, writes)):
        check_position(position)
        said.update(position.said)
        if is_end:
            assert position.ctl.phase in CLOSED
            assert not position.group or position.published
            assert not position.raised, "a fence outlived its epoch"
            ends.add(position.ctl.phase)
    return ends, {change for change in said if " to " in change}


@pytest.mark.parametrize("fence", [None, FENCE], ids=["open", "fenced"])
@pytest.mark.parametrize(("agents", "crashes"), [((A1,), 2), ((A1, A2), 1), ((A1, A2), 0)])
def test_every_history(agents: tuple[AgentName, ...], crashes: int, fence: Fence | None) -> None:
    """In every order of events, with a crash of any process after any command: a group is decided
    only with all votes, and in the end there is a group or an aborted attempt, nothing between. A
    fence stands only while its epoch needs it, and somebody who comes later knows of it."""
    ends, _ = explored(agents, crashes, fence)
    assert Phase.IDLE in ends
    assert (Phase.ABORT in ends) is bool(crashes)


def test_a_no_ends_the_attempt_in_every_phase() -> None:
    """One no is enough, and the failure says whose it was."""
    for phase in VOTED:
        barrier, table = barrier_in(phase)
        vote = Vote(session=table.tokens[A2], yes=False, failure=BROKEN)
        event = Voted(A2, EPOCH, phase.value, vote)
        failure = check(barrier, event, State.PENDING, aborted=True)
        assert failure is not None
        assert failure.message == "agent a2: broken"


def test_bounds_end_every_phase_before_the_decision() -> None:
    """No phase waits for ever: its bound ends it, and names who is missing."""
    for phase in VOTED:
        barrier, _ = barrier_in(phase)
        barrier.stalled_s = barrier.deadline_s
        assert barrier.step(Tick(), barrier.deadline_s - 0.001) == []
        commands = barrier.step(Tick(), barrier.deadline_s)
        assert isinstance(commands[-1], Stop)
        assert barrier.operation is not None
        assert barrier.operation.failure is not None
        assert barrier.operation.failure.reason == "TIMED_OUT"


def test_uploads_end_when_nothing_moves() -> None:
    """Uploads may take long, but not stand still; progress starts that clock again."""
    barrier, _ = barrier_in(Phase.UPLOAD)
    barrier.step(Progressed(A1), 500.0)
    assert barrier.step(Tick(), 500.0 + barrier.bounds.stalled_s - 1) == []
    assert isinstance(barrier.step(Tick(), 500.0 + barrier.bounds.stalled_s)[-1], Stop)


def test_a_lost_session_ends_the_attempt_until_all_is_read() -> None:
    """Until SEAL is over a cut lives in its session; afterwards a restarted agent may finish."""
    for phase in VOTED:
        barrier, _ = barrier_in(phase)
        aborted = phase is not Phase.UPLOAD
        state = State.PENDING if aborted else State.UPLOADING
        check(barrier, SessionMoved(A1, None), state, aborted=aborted)


def test_sessions_that_are_no_news_do_nothing() -> None:
    """The member's own session, and agents that are no members, move nothing."""
    barrier, table = barrier_in(Phase.CUT)
    assert barrier.step(SessionMoved(A1, table.tokens[A1]), 1.0) == []
    assert barrier.step(SessionMoved(AgentName("late"), FencingToken(9)), 1.0) == []


def test_votes_count_only_under_the_members_session() -> None:
    """A vote of another session, epoch or agent is none; but a new one may tell an upload's end."""
    barrier, _ = barrier_in(Phase.CUT)
    no = Vote(session=FencingToken(77), yes=False, failure=BROKEN)
    assert barrier.step(Voted(A1, EPOCH, "CUT", no), 1.0) == []
    assert barrier.step(Voted(A1, Epoch(9), "CUT", replace(no, session=FencingToken(1))), 1.0) == []
    assert barrier.step(Voted(AgentName("x"), EPOCH, "CUT", no), 1.0) == []
    barrier, _ = barrier_in(Phase.UPLOAD)
    check(barrier, Voted(A1, EPOCH, "UPLOAD", no), State.PENDING, aborted=True)


def test_cancelling_ends_what_is_not_decided() -> None:
    """A cancelled operation is not tried again; a decided one goes on to its end."""
    for phase in VOTED:
        check(barrier_in(phase)[0], Cancelled(), State.ABORTED, aborted=True)
    barrier, _ = barrier_in(Phase.COMMIT)
    assert barrier.step(Cancelled(), 1.0) == []


def test_takeover_by_phase() -> None:
    """The store is asked first. Before UPLOAD a new leader then aborts; in UPLOAD it goes on; in
    COMMIT it publishes."""
    for phase in (Phase.PREPARE, Phase.CUT, Phase.SEAL, Phase.UPLOAD, Phase.COMMIT):
        _, table = barrier_in(phase)
        took = TakenOver(table.ctl, table.operation, table.members, table.votes)
        barrier = Barrier(Bounds())
        assert barrier.step(took, 1.0) == [Run(ReadMarks(EPOCH))]
        commands = barrier.step(Done(ReadMarks(EPOCH), StoreMarks(EPOCH)), 1.0)
        match phase:
            case Phase.COMMIT:
                assert commands == [Run(Publish(EPOCH, table.group))]
            case Phase.UPLOAD:
                assert commands == []
            case _:
                assert isinstance(commands[-1], Stop)
                assert barrier.ctl.phase is Phase.ABORT


def test_a_backup_that_the_store_holds_is_not_shown_as_aborted() -> None:
    """etcd went back to a phase before its end: a person is asked, whatever the phase was."""
    for phase in (Phase.PREPARE, Phase.CUT, Phase.SEAL, Phase.UPLOAD):
        _, table = barrier_in(phase)
        took = TakenOver(table.ctl, table.operation, table.members, table.votes)
        barrier = Barrier(Bounds())
        barrier.step(took, 1.0)
        marks = StoreMarks(EPOCH, ended=State.COMMITTED)
        barrier.step(Done(ReadMarks(EPOCH), marks), 1.0)
        assert barrier.operation is not None
        assert barrier.operation.state is State.NEEDS_OPERATOR


def test_publishing_is_repeated_until_it_is_done() -> None:
    """While the store is away it is not given up: it is run again at the next tick."""
    barrier, table = barrier_in(Phase.COMMIT)
    publish = Publish(EPOCH, table.group)
    assert [type(c) for c in barrier.step(Failed(publish, BROKEN), 1.0)] == [Persist]
    assert not barrier.idle
    assert barrier.step(Tick(), 2.0) == [Run(publish)]
    commands = barrier.step(Done(publish), 3.0)
    assert [type(command) for command in commands] == [Persist]
    assert barrier.ctl.phase is Phase.IDLE
    assert barrier.idle


def test_no_agent_is_refused_for_good() -> None:
    """Nothing can be cut without agents: said at once, and not tried again."""
    table = new_table(())
    commands = table.handle(COORDINATOR)
    assert [type(command) for command in commands] == [Persist]
    assert table.barrier.operation is not None
    assert table.barrier.operation.state is State.ABORTED
    assert table.barrier.ctl == Ctl()


@pytest.mark.parametrize(
    ("attempts", "reason", "state"),
    [
        (1, "REFUSED", State.ABORTED),
        (2, "REFUSED", State.PENDING),
        (3, "REFUSED", State.ABORTED),
        (2, "INVALID", State.ABORTED),
        (1, "UNAVAILABLE", State.PENDING),
    ],
)
def test_a_refusal_is_final_in_the_first_attempt(attempts: int, reason: str, state: State) -> None:
    """Later ones follow an attempt that began: an agent may be on its way back."""
    barrier, _ = barrier_in(Phase.PREPARE)
    assert barrier.operation is not None
    request = encode(BackupRequest(attempts=3)).decode()
    barrier.operation = replace(barrier.operation, attempts=attempts, request=request)
    token = barrier.members[A1].session
    no = Vote(session=token, yes=False, failure=Failure(reason=reason, message="no"))
    barrier.step(Voted(A1, EPOCH, "PREPARE", no), 1.0)
    assert barrier.operation.state is state


def test_attempts_come_to_an_end() -> None:
    """What can be repeated is pending again until the attempts are used up."""
    for attempts, state in ((0, State.PENDING), (1, State.ABORTED)):
        barrier, _ = barrier_in(Phase.PREPARE)
        assert barrier.operation is not None
        barrier.operation = replace(barrier.operation, attempts=attempts + 1)
        no = Vote(session=barrier.members[A1].session, yes=False, failure=BROKEN)
        check(barrier, Voted(A1, EPOCH, "PREPARE", no), state, aborted=True)


def test_views_that_moved_end_the_attempt() -> None:
    """The second reading must see the cluster that was cut."""
    barrier, table = barrier_in(Phase.SEAL)
    for name in (A1, A2):
        vote = replace(table.votes["CUT", name], view="another")
        commands = barrier.step(Voted(name, EPOCH, "SEAL", vote), 1.0)
    assert isinstance(commands[-1], Stop)


@pytest.mark.parametrize(("number", "point_in_time"), [(6, True), (7, False)])
def test_require_point_in_time(number: int, point_in_time: bool) -> None:
    """Who asks for it gets none but point-in-time backups."""
    barrier, table = barrier_in(Phase.SEAL)
    assert barrier.operation is not None
    request = encode(BackupRequest(require_point_in_time=True)).decode()
    barrier.operation = replace(barrier.operation, request=request)
    for name in (A1, A2):
        vote = replace(table.votes["CUT", name], view="view", numbers=(number,))
        commands = barrier.step(Voted(name, EPOCH, "SEAL", vote), 1.0)
    assert isinstance(commands[-1], Stop) is not point_in_time
    failure = barrier.ctl.failure
    if not point_in_time:
        assert failure is not None
        for word in ("2 shards are", "c/0 on a1 (peer 0): 1 other operation", "c/1 on a2 (peer 1)"):
            assert word in failure.message


def test_both_drains_count() -> None:
    """A collection is undrained if either drain did not answer; agents know of the first."""
    table = new_table()
    for turn in range(200):
        if isinstance(table.barrier.waiting, Drain):
            break
        moves = table.moves()
        table.move(moves[turn % len(moves)])
    assert table.barrier.waiting == Drain(EPOCH, "draft", 1)
    first = Done(table.barrier.waiting, Drained((0,), "at"))
    commands = table.barrier.step(first, 1.0)
    persist = commands[0]
    assert isinstance(persist, Persist)
    assert persist.ctl is not None
    assert persist.ctl.undrained == (0,)
    for name in (A1, A2):
        vote = Vote(session=table.tokens[name], yes=True, numbers=(5,), incarnation="s", arrivals=0)
        commands = table.barrier.step(Voted(name, EPOCH, "CUT", vote), 2.0)
    run = commands[0]
    assert isinstance(run, Run)
    commands = table.barrier.step(Done(run.effect, Drained((1,), "at")), 3.0)
    assert table.barrier.ctl.undrained == (0, 1)
    assert table.barrier.ctl.skew_ms == 1000


def test_canaries_are_kept_while_shards_are_read_again() -> None:
    """SEAL names what was read inside the cut, and does not wait for its storing: whether that
    succeeds changes nothing."""
    barrier, table = barrier_in(Phase.CUT)
    for name in (A1, A2):
        vote = Vote(session=table.tokens[name], yes=True, numbers=(5,), incarnation="s", arrivals=0)
        commands = barrier.step(Voted(name, EPOCH, "CUT", vote), 2.0)
    assert barrier.waiting == Drain(EPOCH, "draft", 2)
    one = Canary(collection="c", vector="", query=1, ids=(2,), scores=(0.5,))
    canaries = Canaries(epoch=EPOCH, canaries=(one,))
    commands = barrier.step(Done(barrier.waiting, Drained((), "at", canaries)), 3.0)
    persist, run = commands
    assert isinstance(persist, Persist)
    assert persist.ctl is not None
    assert (persist.ctl.phase, persist.ctl.canaries) == (Phase.SEAL, digest_of(canaries))
    keep = StoreCanaries(EPOCH, canaries)
    assert run == Run(keep)
    assert barrier.waiting is None
    failure = Failure(reason="UNAVAILABLE", message="the store is away")
    assert barrier.step(Done(keep), 4.0) == barrier.step(Failed(keep, failure), 4.0) == []
    assert barrier.ctl == persist.ctl


def test_every_edge_is_taken() -> None:
    """No way in the table is dead: histories with a crash, and a second attempt, take them all."""
    changes = explored((A1, A2), 1)[1] | explored((A1, A2), 1, FENCE)[1]
    changes |= explored((A1,), 1, writes=1)[1] | explored((A1,), 1, LONG_FENCE, 99)[1]
    taken = {_edge(change) for change in changes}
    for phase in (*VOTED, Phase.FENCE):
        barrier, _ = barrier_in(phase, FENCE if phase is Phase.FENCE else None)
        barrier.step(Cancelled(), 1.0)
        taken.add((phase, barrier.ctl.phase))
    barrier, table = barrier_in(Phase.COMMIT)
    barrier.step(Failed(Publish(EPOCH, table.group), BROKEN), 1.0)
    barrier.step(Cancelled(), 2.0)
    taken.add((Phase.COMMIT, barrier.ctl.phase))
    barrier, _ = barrier_in(Phase.PREPARE)
    barrier.step(SessionMoved(A1, None), 1.0)
    again = new_table()
    again.barrier, again.ctl = barrier, barrier.ctl
    taken |= {_edge(said) for said in play_until(again, Phase.PREPARE).said}
    assert taken == set(TRANSITIONS)


def _edge(said: str) -> tuple[Phase, Phase]:
    before, _, after = said.partition(" to ")
    return Phase(before), Phase(after)


def test_agents_events_are_a_bug() -> None:
    """A coordinator writes ctl; it does not see it."""
    with pytest.raises(AssertionError):
        Barrier(Bounds()).step(Seen(Ctl(), None), 0.0)


class AnyOrder(RuleBasedStateMachine):
    """Any events in any order, sensible or not: the machine goes only the ways of its table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = new_table()
        self.now_s = 0.0

    @rule(steps=st.integers(1, 12), who=st.randoms(use_true_random=False))
    def go_on(self, steps: int, who: object) -> None:
        """What would happen anyway."""
        for _ in range(steps):
            if moves := self.table.moves():
                self.table.move(who.choice(moves))  # type: ignore[attr-defined]

    @rule(
        agent=st.sampled_from([A1, A2, AgentName("stranger")]),
        phase=st.sampled_from(VOTED),
        session=st.integers(1, 3),
        yes=st.booleans(),
        view=st.sampled_from(["view", "other"]),
        epoch=st.integers(0, 2),
    )
    def vote(
        self, *, agent: AgentName, phase: Phase, session: int, yes: bool, view: str, epoch: int
    ) -> None:
        member = self.table.members.get(agent)
        vote = Vote(
            session=FencingToken(session),
            yes=yes,
            view=view,
            ready=digest_of(member.tasks) if member else "",
            numbers=(5,),
            incarnation="s",
            arrivals=0,
            document="document",
        )
        self.feed(Voted(agent, Epoch(epoch), phase.value, vote))

    @rule(
        agent=st.sampled_from([A1, A2]),
        token=st.sampled_from([None, FencingToken(1), FencingToken(9)]),
    )
    def session(self, agent: AgentName, token: FencingToken | None) -> None:
        self.feed(SessionMoved(agent, token))

    @rule(by_s=st.floats(0.0, 100.0))
    def tick(self, by_s: float) -> None:
        self.now_s += by_s
        self.feed(Tick())

    @rule()
    def cancel(self) -> None:
        self.feed(Cancelled())

    @precondition(lambda self: self.table.barrier.waiting is not None)
    @rule()
    def fail(self) -> None:
        assert self.table.barrier.waiting is not None
        self.feed(Failed(self.table.barrier.waiting, BROKEN))

    @rule()
    def crash(self) -> None:
        self.table.revive(COORDINATOR)

    def feed(self, event: Event) -> None:
        if self.table.barrier.operation is None:
            return  # nothing has begun: the shell has no such events yet
        commands: list[Command] = self.table.barrier.step(event, self.now_s)
        for command in commands:
            if not self.table.carry_out(COORDINATOR, command):
                break

    @invariant()
    def one_effect_at_a_time(self) -> None:
        barrier = self.table.barrier
        assert barrier.waiting is None or barrier.again is None

    @invariant()
    def the_machine_is_what_it_has_written(self) -> None:
        if self.table.barrier.operation is not None and self.table.barrier.ctl.epoch:
            assert self.table.barrier.ctl.phase is self.table.ctl.phase

    @invariant()
    def no_group_without_all_votes(self) -> None:
        if self.table.group:
            for name in self.table.agents:
                assert self.table.votes[Phase.UPLOAD.value, name].yes


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestAnyOrder = AnyOrder.TestCase

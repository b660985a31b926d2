"""The agent's machine: what it votes, when it starts anew, and what it never says."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from cleancut.core.backup.participant import (
    BackupParticipant,
    Capture,
    FinishCapture,
    Load,
    ReadJournal,
)
from cleancut.core.primitives.codec import digest_of
from cleancut.core.primitives.ids import Epoch, FencingToken
from cleancut.core.protocol.commands import CastVote, Command, Effect, Run, Stop
from cleancut.core.protocol.effect_requests import Observe, Observed, Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Failure, ShardTask, Vote
from cleancut.core.protocol.events import Done, Event, Failed, Seen, TakenOver, Tick
from cleancut.core.protocol.evidence import is_quiet
from cleancut.core.protocol.states import Phase
from tests.support.groups import SOUND
from tests.unit.core.backup.table import task

ME, EPOCH = FencingToken(7), Epoch(3)
TASKS = (replace(task(0), index=0), replace(task(1), index=1))
OPEN = Ctl(phase=Phase.PREPARE, epoch=EPOCH, probe="nonce")
MEMBER = EpochMember(session=ME, tasks=TASKS, assigned=True)
FIRST = Readings((5, 8), "start", 0, states=(SOUND, SOUND))
SECOND = Readings((6, 9), "start", 0, "view", states=(SOUND, SOUND))
BROKEN = Failure(reason="UNAVAILABLE", message="broken")


def in_phase(phase: Phase) -> Ctl:
    return replace(OPEN, phase=phase)


def observed(
    member: EpochMember | None = MEMBER,
    probe: str = "nonce",
    view: str = "view",
    *,
    arrivals: int = 0,
) -> Observed:
    return Observed(view, f"me.{view}", probe, 10, member, arrivals)


def check(cut: BackupParticipant, event: Event, *expected: Command, now_s: float = 0.0) -> None:
    """`event` has exactly these commands as its answer."""
    assert cut.step(event, now_s) == list(expected)


def yes(**what: object) -> Vote:
    return Vote(session=ME, yes=True, **what)  # type: ignore[arg-type]


def prepared() -> BackupParticipant:
    """A machine that has told that it is ready for its tasks."""
    cut = BackupParticipant(ME)
    observe = Observe(EPOCH, "nonce")
    seen = yes(view="view", view_object="me.view", probe="nonce", free_bytes=10)
    check(cut, Seen(OPEN, MEMBER), Run(observe))
    check(cut, Done(observe, observed()), CastVote("PREPARE", seen), Run(Load(EPOCH, TASKS)))
    check(cut, Done(Load(EPOCH, TASKS)), Run(observe))
    ready = replace(seen, ready=digest_of(TASKS))
    check(cut, Done(observe, observed()), CastVote("PREPARE", ready))
    return cut


def has_cut() -> BackupParticipant:
    cut = prepared()
    check(cut, Seen(in_phase(Phase.CUT), MEMBER), Run(Capture(EPOCH, TASKS)))
    vote = yes(numbers=FIRST.numbers, states=FIRST.states, incarnation="start", arrivals=0)
    check(cut, Done(Capture(EPOCH, TASKS), FIRST), CastVote("CUT", vote))
    return cut


def has_read() -> BackupParticipant:
    cut = has_cut()
    check(cut, Seen(in_phase(Phase.SEAL), MEMBER), Run(ReadNumbers(EPOCH, TASKS)))
    vote = yes(
        numbers=SECOND.numbers, states=SECOND.states, incarnation="start", arrivals=0, view="view"
    )
    check(cut, Done(ReadNumbers(EPOCH, TASKS), SECOND), CastVote("SEAL", vote))
    return cut


def test_a_whole_backup() -> None:
    """Ready, cut, read again, stored: one vote each, with what the phase asks for."""
    cut = has_read()
    finish = FinishCapture(EPOCH, TASKS, FIRST, SECOND)
    check(cut, Seen(in_phase(Phase.UPLOAD), MEMBER), Run(finish))
    check(cut, Done(finish, "document"), CastVote("UPLOAD", yes(document="document")))
    check(cut, Seen(in_phase(Phase.COMMIT), MEMBER), Stop(EPOCH))


def test_what_arrived_since_it_was_ready_is_unknown() -> None:
    """The first operation after a recovery is not counted: where one ended between readiness and
    the first reading, and so maybe after the drain, the numbers prove nothing."""
    cut = prepared()
    check(cut, Seen(in_phase(Phase.CUT), MEMBER), Run(Capture(EPOCH, TASKS)))
    first = dataclasses.replace(FIRST, arrivals=1)
    (cast,) = cut.step(Done(Capture(EPOCH, TASKS), first), 0.0)
    assert isinstance(cast, CastVote)
    assert cast.vote.arrivals == -1
    second = dataclasses.replace(SECOND, arrivals=1)
    readings = dataclasses.replace(first, arrivals=cast.vote.arrivals)
    assert not is_quiet(readings.at(0), second.at(0), drained=True)


def test_it_looks_again_until_all_agree() -> None:
    """In PREPARE it goes on looking; what has not changed is not voted again."""
    cut = prepared()
    check(cut, Tick(), now_s=0.1)
    check(cut, Tick(), Run(Observe(EPOCH, "nonce")), now_s=0.3)
    check(cut, Tick(), now_s=0.9)  # one look at a time
    check(cut, Done(Observe(EPOCH, "nonce"), replace_free(observed())), now_s=1.0)
    check(cut, Tick(), Run(Observe(EPOCH, "nonce")), now_s=2.0)
    (cast,) = cut.step(Done(Observe(EPOCH, "nonce"), observed(view="other")), 2.1)
    assert isinstance(cast, CastVote)
    assert cast.vote.view == "other"


def test_it_looks_less_often_while_shards_are_optimized() -> None:
    """Each look reads all segments of the peer then."""
    cut = prepared()
    check(cut, Tick(), Run(Observe(EPOCH, "nonce")), now_s=0.3)
    cut.step(Done(Observe(EPOCH, "nonce"), dataclasses.replace(observed(), optimizing=1)), 0.4)
    check(cut, Tick(), now_s=1.3)
    check(cut, Tick(), Run(Observe(EPOCH, "nonce")), now_s=1.4)
    cut.step(Done(Observe(EPOCH, "nonce"), observed()), 1.5)
    check(cut, Tick(), Run(Observe(EPOCH, "nonce")), now_s=1.8)


def replace_free(seen: Observed) -> Observed:
    return Observed(seen.view, seen.view_object, seen.probe, 99, seen.member, seen.arrivals)


def test_another_store_is_a_no() -> None:
    """Who cannot read the coordinator's probe object uses another store: nothing is begun."""
    cut = BackupParticipant(ME)
    cut.step(Seen(OPEN, MEMBER), 0.0)
    (cast,) = cut.step(Done(Observe(EPOCH, "nonce"), observed(probe="")), 0.0)
    assert isinstance(cast, CastVote)
    assert not cast.vote.yes
    assert cast.vote.failure is not None
    assert cast.vote.failure.reason == "REFUSED"
    assert cast.vote.failure.hint
    check(cut, Tick(), now_s=9.0)


def test_nothing_is_cut_that_was_not_prepared() -> None:
    """A machine that sees CUT, SEAL or UPLOAD first has nothing to say yes to."""
    for phase in (Phase.CUT, Phase.SEAL):
        (cast,) = BackupParticipant(ME).step(Seen(in_phase(phase), MEMBER), 0.0)
        assert isinstance(cast, CastVote)
        assert not cast.vote.yes
    check(BackupParticipant(ME), Seen(in_phase(Phase.UPLOAD), MEMBER), Run(ReadJournal(EPOCH)))


def test_undrained_collections_are_cut_anew() -> None:
    """Without its first drain a shard may not be taken over from its parent: the one number more
    could be a write."""
    parent = ("start", 4, 0, "uuid")
    tasks = tuple(replace(each, parent=parent) for each in TASKS)
    member = replace(MEMBER, tasks=tasks)
    cut = BackupParticipant(ME)
    observe = Observe(EPOCH, "nonce")
    cut.step(Seen(OPEN, member), 0.0)
    cut.step(Done(observe, observed(member)), 0.0)
    cut.step(Done(Load(EPOCH, tasks)), 0.0)
    ctl = replace(in_phase(Phase.CUT), undrained=(1,))
    expected = (tasks[0], replace(tasks[1], parent=None))
    check(cut, Seen(ctl, member), Run(Capture(EPOCH, expected)))


def test_a_new_session_speaks_only_of_uploads() -> None:
    """A restarted agent is silent until UPLOAD; then its journal decides what it says."""
    other = replace(MEMBER, session=FencingToken(6))
    for phase in (Phase.PREPARE, Phase.CUT, Phase.SEAL):
        check(BackupParticipant(ME), Seen(in_phase(phase), other))
    for document, is_yes in (("document", True), ("", False)):
        cut = BackupParticipant(ME)
        check(cut, Seen(in_phase(Phase.UPLOAD), other), Run(ReadJournal(EPOCH)))
        (cast,) = cut.step(Done(ReadJournal(EPOCH), document), 0.0)
        assert isinstance(cast, CastVote)
        assert (cast.vote.yes, cast.vote.document) == (is_yes, document)


def test_no_member_no_word() -> None:
    """An agent that came late, or was left out, does nothing."""
    for phase in Phase:
        check(BackupParticipant(ME), Seen(in_phase(phase), None))


def test_failures_are_votes() -> None:
    """An effect that fails is told in the phase that asked for it, in its own words."""
    cut = prepared()
    cut.step(Seen(in_phase(Phase.CUT), MEMBER), 0.0)
    no = Vote(session=ME, yes=False, failure=BROKEN)
    check(cut, Failed(Capture(EPOCH, TASKS), BROKEN), CastVote("CUT", no))


def test_a_no_stays_a_no_in_its_epoch() -> None:
    """The coordinator may have moved on before it saw the no: then it is told again, and nothing
    is cut. The next epoch begins anew."""
    cut = prepared()
    cut.step(Tick(), 60.0)
    no = Vote(session=ME, yes=False, failure=BROKEN)
    check(cut, Failed(Observe(EPOCH, "nonce"), BROKEN), CastVote("PREPARE", no))
    check(cut, Seen(in_phase(Phase.CUT), MEMBER), CastVote("CUT", no))
    following = replace(OPEN, epoch=Epoch(4))
    check(cut, Seen(following, MEMBER), Stop(EPOCH), Run(Observe(Epoch(4), "nonce")))


def test_late_answers_are_nothing() -> None:
    """The answer of an effect that is not waited for, of this or another epoch, is dropped."""
    cut = has_cut()
    check(cut, Done(Capture(EPOCH, TASKS), FIRST))
    check(cut, Failed(Observe(Epoch(2), "old"), BROKEN))


def test_an_answer_to_an_earlier_phase_is_nothing() -> None:
    """A look around that ends after the phase has moved on is no vote in the new phase."""
    for phase in (Phase.CUT, Phase.SEAL):
        cut = BackupParticipant(ME)
        observe = Observe(EPOCH, "nonce")
        check(cut, Seen(OPEN, MEMBER), Run(observe))
        (no,) = cut.step(Seen(in_phase(phase), MEMBER), 0.0)
        assert isinstance(no, CastVote)
        assert not no.vote.yes
        check(cut, Done(observe, observed()))
        check(cut, Failed(observe, BROKEN))
        cut = BackupParticipant(ME)
        check(cut, Seen(OPEN, MEMBER), Run(observe))
        check(cut, Seen(in_phase(phase), None))
        check(cut, Done(observe, observed()))


def test_an_end_stops_the_effects() -> None:
    """When the attempt ends, or another has begun, what runs for it is stopped first."""
    for phase in (Phase.ABORT, Phase.COMMIT):
        check(has_cut(), Seen(in_phase(phase), MEMBER), Stop(EPOCH))
    following = replace(OPEN, epoch=Epoch(4))
    check(has_cut(), Seen(following, MEMBER), Stop(EPOCH), Run(Observe(Epoch(4), "nonce")))
    check(has_cut(), Seen(following, None), Stop(EPOCH))


def test_the_same_phase_again_is_no_news() -> None:
    """ctl may be seen twice, after a watch began anew: nothing is done twice."""
    check(has_cut(), Seen(in_phase(Phase.CUT), MEMBER))


def test_coordinators_events_are_a_bug() -> None:
    with pytest.raises(AssertionError):
        BackupParticipant(ME).step(TakenOver(Ctl(), None, {}, {}), 0.0)


class AnyOrder(RuleBasedStateMachine):
    """Any phases in any order, answers late, doubled or failing, restarts at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = BackupParticipant(ME)
        self.session = ME
        self.ctl = Ctl()
        self.member = MEMBER
        self.running: list[Effect] = []
        self.cut_under: dict[Epoch, FencingToken] = {}
        self.now_s = 0.0

    @rule(
        phase=st.sampled_from(Phase),
        epoch=st.integers(1, 3),
        member=st.sampled_from(["mine", "other", "none"]),
        assigned=st.booleans(),
    )
    def see(self, phase: Phase, epoch: int, member: str, assigned: bool) -> None:
        self.ctl = replace(OPEN, phase=phase, epoch=Epoch(epoch))
        session = self.session if member == "mine" else FencingToken(1)
        tasks: tuple[ShardTask, ...] = TASKS if assigned else ()
        self.member = EpochMember(session=session, tasks=tasks, assigned=assigned)
        self.feed(Seen(self.ctl, None if member == "none" else self.member))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), fails=st.booleans(), again=st.booleans())
    def answer(self, data: st.DataObject, fails: bool, again: bool) -> None:
        index = data.draw(st.integers(0, len(self.running) - 1))
        effect = self.running[index] if again else self.running.pop(index)
        if isinstance(effect, Capture) and not fails:
            self.cut_under[effect.epoch] = self.session
        self.feed(Failed(effect, BROKEN) if fails else Done(effect, self.result(effect)))

    def result(self, effect: Effect) -> object:
        match effect:
            case Observe():
                return observed(self.member)
            case Capture(tasks=tasks):
                return Readings((5,) * len(tasks), "start", 0, states=(SOUND,) * len(tasks))
            case ReadNumbers(tasks=tasks):
                return Readings((6,) * len(tasks), "start", 0, "view")
            case FinishCapture() | ReadJournal():
                return "document"
        return None

    @rule(by_s=st.floats(0.0, 1.0))
    def tick(self, by_s: float) -> None:
        self.now_s += by_s
        self.feed(Tick())

    @rule()
    def crash(self) -> None:
        self.session = FencingToken(self.session + 1)
        self.cut = BackupParticipant(self.session)
        self.running = []
        self.cut_under = {}

    def feed(self, event: Event) -> None:
        for command in self.cut.step(event, self.now_s):
            match command:
                case Run(effect=effect):
                    assert effect.epoch == self.cut.ctl.epoch, "work for another epoch"
                    self.running.append(effect)
                case CastVote(phase=phase, vote=vote):
                    self.check_vote(phase, vote)
                case Stop(epoch=epoch):
                    self.running = [each for each in self.running if each.epoch != epoch]
                case _:
                    raise AssertionError(f"not an agent's command: {command}")

    def check_vote(self, phase: str, vote: Vote) -> None:
        """It speaks under its own session and in the phase it sees; it tells of a cut only what
        was cut, in this epoch and this session; and every no says why."""
        assert vote.session == self.session
        assert phase == self.cut.ctl.phase.value
        if vote.yes and phase in {"CUT", "SEAL"}:
            assert self.cut_under.get(self.cut.ctl.epoch) == self.session
        assert vote.yes or vote.failure is not None

    @invariant()
    def ready_means_loaded(self) -> None:
        cast = self.cut.cast
        if cast is not None and cast.ready:
            assert cast.ready == digest_of(self.cut._tasks)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnyOrder = AnyOrder.TestCase

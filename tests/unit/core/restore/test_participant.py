"""The agent's machine of a restore, alone: what it answers to each phase."""

from __future__ import annotations

from cleancut.core.primitives.ids import Epoch, FencingToken, PeerId, ShardId
from cleancut.core.protocol.commands import CastVote, Command, Run, Stop
from cleancut.core.protocol.effect_requests import Observe, Observed, Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Failure, ShardTask, Vote
from cleancut.core.protocol.events import Done, Failed, Seen, Tick
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.core.restore.participant import (
    HasRecovered,
    Recover,
    RestoreParticipant,
    Verified,
    Verify,
)

TOKEN = FencingToken(7)
TASKS = (ShardTask(collection="docs", shard_id=ShardId(0), peer_id=PeerId(1), recipe="r"),)
MEMBER = EpochMember(session=TOKEN, tasks=TASKS, assigned=True)


def _ctl(phase: Phase, epoch: int = 3, round_name: str = "") -> Ctl:
    return Ctl(
        kind=OperationKind.RESTORE,
        phase=phase,
        epoch=Epoch(epoch),
        probe="nonce",
        cut_at=round_name,
    )


def _see(
    machine: RestoreParticipant, phase: Phase, member: EpochMember | None = MEMBER
) -> list[Command]:
    return machine.step(Seen(_ctl(phase), member), 0.0)


def _vote(commands: list[Command]) -> Vote:
    assert [type(command) for command in commands] == [CastVote]
    assert isinstance(commands[0], CastVote)
    return commands[0].vote


def _observed(probe: str = "nonce", view: str = "v", free: int = 5) -> Observed:
    return Observed(view, "", probe, free, None)


def test_votes_what_it_sees_and_looks_again() -> None:
    """In PREPARE the view is told once, and again only when it has changed."""
    machine = RestoreParticipant(TOKEN)
    look = Observe(Epoch(3), "nonce")
    assert _see(machine, Phase.PREPARE, EpochMember(session=TOKEN)) == [Run(look)]
    vote = _vote(machine.step(Done(look, _observed()), 0.0))
    assert vote.yes
    assert (vote.view, vote.free_bytes, vote.session) == ("v", 5, TOKEN)
    assert machine.step(Tick(), 0.1) == []
    assert machine.step(Tick(), 0.3) == [Run(look)]
    assert machine.step(Done(look, _observed(free=4)), 0.4) == []
    assert machine.step(Tick(), 1.0) == [Run(look)]
    assert _vote(machine.step(Done(look, _observed(view="w")), 1.1)).view == "w"


def test_another_store_is_a_no() -> None:
    machine = RestoreParticipant(TOKEN)
    _see(machine, Phase.PREPARE, EpochMember(session=TOKEN))
    vote = _vote(machine.step(Done(Observe(Epoch(3), "nonce"), _observed(probe="")), 0.0))
    assert not vote.yes
    assert vote.failure is not None
    assert "another store" in vote.failure.message


def test_an_unknown_session_says_nothing_in_prepare() -> None:
    """The attempt that it was not chosen for ends by itself."""
    assert (
        _see(RestoreParticipant(TOKEN), Phase.PREPARE, EpochMember(session=FencingToken(1))) == []
    )


def test_who_has_no_member_record_takes_no_part() -> None:
    for phase in Phase:
        assert _see(RestoreParticipant(TOKEN), phase, None) == []


def test_who_has_no_tasks_says_nothing_after_prepare() -> None:
    idle = EpochMember(session=TOKEN, assigned=True)
    for phase in (Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.SEAL):
        assert _see(RestoreParticipant(TOKEN), phase, idle) == []


def test_recovers_verifies_and_reads_again() -> None:
    """Each phase asks for one thing, and its answer is the vote; rounds are named in votes."""
    machine = RestoreParticipant(TOKEN)
    recover = Recover(Epoch(3), TASKS, empty=True)
    assert _see(machine, Phase.RECOVER) == [Run(recover)]
    assert _vote(machine.step(Done(recover), 1.0)).yes
    verify = Verify(Epoch(3), TASKS, "t1")
    seen = Seen(_ctl(Phase.VERIFY, round_name="t1"), MEMBER)
    assert machine.step(seen, 2.0) == [Run(verify)]
    found = Verified(Readings((4,), "start", 2), "sha")
    vote = _vote(machine.step(Done(verify, found), 3.0))
    assert (vote.numbers, vote.incarnation, vote.arrivals) == ((4,), "start", 2)
    assert (vote.document, vote.ready) == ("sha", "t1")
    read = ReadNumbers(Epoch(3), TASKS)
    assert machine.step(Seen(_ctl(Phase.SEAL, round_name="t1"), MEMBER), 4.0) == [Run(read)]
    vote = _vote(machine.step(Done(read, Readings((5,), "start", 2)), 5.0))
    assert (vote.numbers, vote.ready) == ((5,), "t1")


def test_a_new_round_verifies_anew_and_ignores_the_old_answer() -> None:
    machine = RestoreParticipant(TOKEN)
    machine.step(Seen(_ctl(Phase.VERIFY, round_name="t1"), MEMBER), 0.0)
    old, new = Verify(Epoch(3), TASKS, "t1"), Verify(Epoch(3), TASKS, "t2")
    assert machine.step(Seen(_ctl(Phase.VERIFY, round_name="t2"), MEMBER), 1.0) == [Run(new)]
    assert machine.step(Done(old, Verified(Readings((1,), "s", 0), "x")), 2.0) == []
    vote = _vote(machine.step(Done(new, Verified(Readings((2,), "s", 0), "y")), 3.0))
    assert (vote.document, vote.ready) == ("y", "t2")


def test_a_restarted_agent_asks_first_what_it_has_told() -> None:
    """What is voted is not recovered again; what is not may hold the predecessor's points."""
    asked = HasRecovered(Epoch(3))
    machine = RestoreParticipant(FencingToken(9))
    assert _see(machine, Phase.RECOVER) == [Run(asked)]
    assert machine.step(Done(asked, True), 0.0) == []
    machine = RestoreParticipant(FencingToken(9))
    _see(machine, Phase.RECOVER)
    again = Recover(Epoch(3), TASKS, empty=False)
    assert machine.step(Done(asked, False), 0.0) == [Run(again)]
    assert _vote(machine.step(Done(again), 1.0)).session == 9


def test_a_failure_is_a_no_with_its_hint() -> None:
    machine = RestoreParticipant(TOKEN)
    _see(machine, Phase.RECOVER)
    failure = Failure(reason="CORRUPT", message="m", hint="h")
    vote = _vote(machine.step(Failed(Recover(Epoch(3), TASKS, empty=True), failure), 0.0))
    assert (vote.yes, vote.failure) == (False, failure)


def test_rollback_stops_what_runs_and_a_late_answer_is_nothing() -> None:
    machine = RestoreParticipant(TOKEN)
    _see(machine, Phase.RECOVER)
    assert _see(machine, Phase.ROLLBACK) == [Stop(Epoch(3))]
    assert machine.step(Done(Recover(Epoch(3), TASKS, empty=True)), 1.0) == []
    assert _see(machine, Phase.ABORT) == []


def test_the_same_ctl_twice_starts_nothing_twice() -> None:
    machine = RestoreParticipant(TOKEN)
    _see(machine, Phase.RECOVER)
    assert _see(machine, Phase.RECOVER) == []

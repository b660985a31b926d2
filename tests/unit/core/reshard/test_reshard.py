"""The reshard's machine with its agents: every crash, cancels before and after the commit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.live_attempt import TRIES
from cleancut.core.protocol.states import Phase, State
from cleancut.core.reshard.phases import (
    FINISH_S,
    GONE_S,
    AbortStep,
    CommitRings,
    FinishStep,
    MovePoints,
    PlanStep,
)
from tests.unit.core.reshard.world import FIRST, WANTED, ReshardWorld
from tests.unit.core.restore.world import BROKEN, COORDINATOR, A

STEP = [Phase.PREPARE, Phase.MOVE, Phase.COUNT, Phase.COMMIT, Phase.CLEAN, Phase.IDLE]
REFUSED = Failure(reason="REFUSED", message="a blocker")
GONE = Failure(reason="NOT_FOUND", message="there is no such collection")
FINAL = Failure(reason="TIMED_OUT", message="Qdrant gave it up")


def begun() -> ReshardWorld:
    world = ReshardWorld()
    world.begin()
    return world


def run_until(world: ReshardWorld, *phases: Phase) -> None:
    """Goes on without faults until ctl stands at one of `phases`."""
    for _ in range(500):
        if world.at in phases:
            return
        if world.deliver_all():
            continue
        if world.running:
            world.answer(0)
        else:
            world.tick()
    raise AssertionError(f"never came to {phases}")


def answer_kind(world: ReshardWorld, kind: type, failure: Failure | None = None) -> None:
    for _ in range(100):
        found = [i for i, (_, e) in enumerate(world.running) if isinstance(e, kind)]
        if found:
            world.answer(found[0], failure)
            return
        if not world.deliver_all():
            if world.running:
                world.answer(0)
            else:
                world.tick()
    raise AssertionError(f"{kind} never ran")


def test_one_shard_after_the_other_and_others_go_first_in_between() -> None:
    world = begun()
    run_until(world, Phase.CLEAN)
    run_until(world, Phase.IDLE)
    assert world.operation.state is State.PENDING
    assert (world.operation.turns, world.operation.reached) == (1, FIRST + 1)
    assert world.operation.failure is None
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE
    assert [ctl.phase for ctl, _ in world.history] == STEP * (WANTED - FIRST)


def test_a_step_that_failed_lets_others_go_first() -> None:
    """It is tried again after whatever else waits, as the next step is."""
    world = begun()
    answer_kind(world, MovePoints, FINAL)
    answer_kind(world, AbortStep)
    assert (world.operation.state, world.operation.turns) == (State.PENDING, 1)


def test_a_number_that_is_reached_needs_no_step() -> None:
    world = ReshardWorld(shards=WANTED)
    world.begin()
    world.run_on()
    assert world.operation.state is State.DONE
    assert [ctl.phase for ctl, _ in world.history] == [Phase.PREPARE, Phase.IDLE]


def commands_of_a_plain_run() -> int:
    world = begun()
    world.run_on()
    return world.commands


@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("after", range(1, commands_of_a_plain_run() + 1))
def test_a_new_leader_finishes_whatever_command_was_the_last(after: int, *, acted: bool) -> None:
    world = ReshardWorld()
    crash = world.crash
    world.crash_after = after
    world.crash = lambda **_: crash(acted=acted)  # type: ignore[method-assign]
    world.begin()
    world.run_on()
    world.check()
    assert world.crashes == 1
    assert world.operation.state is State.DONE


@pytest.mark.parametrize("phase", [Phase.PREPARE, Phase.MOVE, Phase.COUNT])
def test_a_cancel_before_the_commit_aborts_the_step(phase: Phase) -> None:
    world = begun()
    run_until(world, phase)
    world.cancel()
    world.run_on()
    world.check()
    assert world.operation.state is State.CANCELED
    assert world.shards == FIRST
    if phase is not Phase.PREPARE:
        assert world.operation.failure is not None
        assert world.operation.failure.message.endswith("'docs' has 2 shards")


@pytest.mark.parametrize("new_leader", [False, True])
@pytest.mark.parametrize("phase", [Phase.COMMIT, Phase.CLEAN])
def test_a_cancel_after_the_commit_finishes_the_step(phase: Phase, *, new_leader: bool) -> None:
    world = begun()
    run_until(world, phase)
    world.cancel()
    if new_leader:
        world.crash(acted=True)
    world.run_on()
    world.check()
    assert world.operation.state is State.CANCELED
    assert world.shards == FIRST + 1
    assert world.operation.failure is not None
    assert world.operation.failure.message.endswith("'docs' has 3 shards")


def test_a_cancel_in_the_last_step_after_the_commit_is_too_late() -> None:
    world = ReshardWorld(shards=WANTED - 1)
    world.begin()
    run_until(world, Phase.COMMIT)
    world.cancel()
    world.run_on()
    assert world.operation.state is State.DONE


def test_a_step_that_fails_too_often_is_aborted_each_time_and_says_the_number() -> None:
    world = begun()
    for _ in range(3):
        answer_kind(world, MovePoints, FINAL)
        answer_kind(world, AbortStep)
    world.run_on()
    world.check()
    assert world.operation.state is State.FAILED
    assert world.operation.failure is not None
    assert world.operation.failure.message == "Qdrant gave it up; 'docs' has 2 shards"


def test_what_qdrant_refuses_amid_a_step_is_tried_again() -> None:
    """Such as a stream from a replica whose peer has just died."""
    world = begun()
    answer_kind(world, MovePoints, REFUSED)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_what_blocks_a_later_step_is_waited_for() -> None:
    world = begun()
    run_until(world, Phase.CLEAN)
    for _ in range(TRIES - 1):
        answer_kind(world, PlanStep, BROKEN)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_tries_are_counted_for_each_step() -> None:
    world = begun()
    for _ in range(2):
        answer_kind(world, MovePoints, FINAL)
    run_until(world, Phase.CLEAN)
    run_until(world, Phase.IDLE)
    for _ in range(2):
        answer_kind(world, MovePoints, FINAL)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_a_plan_that_is_refused_changes_nothing() -> None:
    world = begun()
    answer_kind(world, PlanStep, REFUSED)
    world.run_on()
    assert world.operation.state is State.ABORTED
    assert world.operation.failure == REFUSED


def test_replicas_that_do_not_agree_yet_are_counted_again() -> None:
    world = ReshardWorld(shards=WANTED - 1, disagree=2)
    world.begin()
    world.run_on()
    world.check()
    phases = [ctl.phase for ctl, _ in world.history]
    assert phases.count(Phase.COUNT) == 3
    assert len({ctl.cut_at for ctl, _ in world.history if ctl.phase is Phase.COUNT}) == 3
    assert {task.buckets for one in world.members.values() for task in one.tasks} <= {0, 512}


@pytest.mark.parametrize("kind", [CommitRings, FinishStep])
def test_what_is_committed_is_tried_again_until_it_is_finished(kind: type) -> None:
    world = begun()
    run_until(world, Phase.COMMIT)
    for _ in range(30):
        answer_kind(world, kind, FINAL)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_what_cannot_be_finished_needs_an_operator() -> None:
    world = begun()
    run_until(world, Phase.COMMIT)
    world.now_s += FINISH_S
    answer_kind(world, CommitRings, FINAL)
    world.run_on()
    assert world.operation.state is State.NEEDS_OPERATOR
    assert world.operation.failure is not None
    assert "must not be aborted" in world.operation.failure.message


def test_one_whose_collection_was_deleted_ends() -> None:
    """Amid the commits, which cannot be undone: others get their turn after a minute."""
    world = begun()
    run_until(world, Phase.COMMIT)
    for _ in range(1000):
        if world.over():
            break
        if any(isinstance(effect, CommitRings) for _, effect in world.running):
            answer_kind(world, CommitRings, GONE)
        world.tick()
    assert (world.operation.state, world.operation.reached) == (State.FAILED, 0)
    assert GONE_S <= world.now_s < 10 * GONE_S


def test_an_agent_that_cannot_clean_is_asked_again() -> None:
    world = begun()
    run_until(world, Phase.CLEAN)
    world.deliver_all()
    at = next(i for i, (owner, _) in enumerate(world.running) if owner == A)
    world.answer(at, BROKEN)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


FAULTS = ("answer", "fail", "final", "crash", "acted", "restart", "cancel", "tick")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FAULTS), st.integers(0, 5)), max_size=60))
def test_any_order_of_answers_and_faults_leaves_a_whole_collection(
    steps: list[tuple[str, int]],
) -> None:
    world = begun()
    for kind, which in steps:
        if world.over():
            break
        world.deliver_all()
        match kind:
            case "answer" | "fail" | "final" if world.running:
                failure = {"answer": None, "fail": BROKEN, "final": FINAL}[kind]
                at = which % len(world.running)
                looks = world.running[at][0] != COORDINATOR and kind != "answer"
                world.answer(at, BROKEN if looks else failure)
            case "crash" | "acted":
                world.crash(acted=kind == "acted")
            case "restart":
                world.restart(A)
            case "cancel":
                world.cancel()
            case _:
                world.tick()
    world.run_on(rounds=2000)
    world.check()

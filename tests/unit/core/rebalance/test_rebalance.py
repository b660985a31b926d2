"""The rebalance's machine with its agents: every crash, and any order of answers and faults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.live_attempt import TRIES
from cleancut.core.protocol.states import Phase, State
from cleancut.core.rebalance.phases import (
    AbortTransfers,
    CompareCounts,
    MoveShards,
    PlanRebalance,
    Report,
)
from tests.unit.core.rebalance.world import STEPS, MovingWorld
from tests.unit.core.restore.world import AGENTS, BROKEN, COORDINATOR, A

PHASES = [Phase.PREPARE, Phase.MOVE, Phase.COUNT, Phase.MOVE, Phase.VERIFY, Phase.IDLE]
REFUSED = Failure(reason="REFUSED", message="a blocker")
POINTS = 30


def begun() -> MovingWorld:
    world = MovingWorld()
    world.begin()
    return world


def run_until(world: MovingWorld, phase: Phase) -> None:
    """Goes on without faults until ctl stands at `phase`."""
    for _ in range(500):
        if world.ctl.phase is phase:
            return
        if world.deliver_all():
            continue
        if world.running:
            world.answer(0)
        else:
            world.tick()
    raise AssertionError(f"never came to {phase}")


def answer_kind(world: MovingWorld, kind: type, failure: Failure | None = None) -> None:
    world.answer(next(i for i, (_, e) in enumerate(world.running) if isinstance(e, kind)), failure)


def effects(world: MovingWorld) -> list[type]:
    return [type(effect) for owner, effect in world.running if owner == COORDINATOR]


def test_moves_and_counts_when_nothing_fails() -> None:
    world = begun()
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE
    assert [ctl.phase for ctl, _ in world.history] == PHASES


def commands_of_a_plain_run() -> int:
    world = begun()
    world.run_on()
    return world.commands


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("after", range(1, commands_of_a_plain_run() + 1))
def test_a_new_leader_finishes_whatever_command_was_the_last(
    after: int, *, acted: bool, newest_first: bool
) -> None:
    """After each single command the leader may die, with a step done, one under way, or neither:
    the next one goes on from where the cluster stands, and ends in DONE."""
    world = MovingWorld()
    crash = world.crash
    world.crash_after = after
    world.crash = lambda **_: crash(acted=acted)  # type: ignore[method-assign]
    world.begin()
    world.run_on(newest_first=newest_first)
    world.check()
    assert world.crashes == 1
    assert world.operation.state is State.DONE


@pytest.mark.parametrize("point", range(POINTS))
def test_an_agent_may_restart_at_any_point(point: int) -> None:
    world = begun()
    for step in range(POINTS):
        if step == point:
            world.restart(A)
        if world.over():
            break
        if not world.deliver_all():
            if world.running:
                world.answer(0)
            else:
                world.tick()
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_a_cancel_while_moving_aborts_what_is_under_way_and_keeps_what_is_done() -> None:
    world = begun()
    run_until(world, Phase.MOVE)
    world.stop_half_way()
    world.cancel()
    assert world.operation.state is State.ROLLING_BACK
    assert effects(world) == [AbortTransfers]
    world.run_on()
    world.check()
    assert world.operation.state is State.ABORTED
    assert world.operation.failure == Failure(reason="CANCELLED", message="cancelled on request")
    assert world.moved == 1


@pytest.mark.parametrize("phase", [Phase.PREPARE, Phase.VERIFY])
def test_a_cancel_elsewhere_just_ends_it(phase: Phase) -> None:
    world = begun()
    run_until(world, phase)
    world.cancel()
    world.check()
    assert world.operation.state is State.ABORTED


def test_an_blocker_ends_it_before_anything_moves() -> None:
    world = begun()
    while PlanRebalance not in effects(world):
        if not world.deliver_all():
            world.answer(0)
    answer_kind(world, PlanRebalance, REFUSED)
    assert world.operation.state is State.ABORTED
    assert world.moved == 0
    world.check()


@pytest.mark.parametrize("reason", ["TIMED_OUT", "REFUSED"])
def test_a_step_that_cannot_be_done_ends_it(reason: str) -> None:
    """The shell has tried it again already; finished steps stay."""
    world = begun()
    run_until(world, Phase.MOVE)
    world.stop_half_way()
    answer_kind(
        world, MoveShards, Failure(reason=reason, message="move shard 3: its target is dead")
    )
    assert effects(world) == [AbortTransfers]
    world.run_on()
    world.check()
    assert world.operation.state is State.ABORTED
    assert world.operation.failure is not None
    assert "shard 3" in world.operation.failure.message


def test_peers_that_do_not_answer_for_a_while_cost_a_few_tries() -> None:
    world = begun()
    run_until(world, Phase.MOVE)
    for _ in range(TRIES - 1):
        answer_kind(world, MoveShards, BROKEN)
        world.tick(3.0)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_what_cannot_be_halted_needs_an_operator() -> None:
    world = begun()
    run_until(world, Phase.MOVE)
    world.stop_half_way()
    world.cancel()
    for _ in range(TRIES):
        answer_kind(world, AbortTransfers, BROKEN)
        world.tick(3.0)
    assert world.operation.state is State.NEEDS_OPERATOR
    assert world.operation.failure is not None
    assert "a transfer may be under way" in world.operation.failure.message


def test_a_replica_that_cannot_be_counted_fails_it() -> None:
    world = begun()
    run_until(world, Phase.VERIFY)
    world.deliver(A)
    world.answer(next(i for i, (owner, _) in enumerate(world.running) if owner == A), BROKEN)
    world.check()
    assert world.operation.state is State.ABORTED
    assert world.operation.failure is not None
    assert world.operation.failure.message == "agent a: broken"


@pytest.mark.parametrize("phase", PHASES[:-1])
def test_silence_ends_at_the_bound(phase: Phase) -> None:
    world = begun()
    run_until(world, phase)
    world.running = [r for r in world.running if r[0] == COORDINATOR]
    world.tick(90_000.0)
    assert world.operation.failure is not None
    assert "took too long" in world.operation.failure.message
    assert world.ctl.phase in {Phase.ABORT, Phase.ROLLBACK, Phase.PREPARE}


def test_the_report_is_tried_again() -> None:
    world = begun()
    while Report not in effects(world):
        if not world.deliver_all():
            world.answer(0)
    answer_kind(world, Report, BROKEN)
    world.tick(3.0)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


ACTIONS = ["deliver", "answer", "answer", "answer", "fail", "crash", "acted", "restart", "tick"]
CHOICES = st.lists(
    st.tuples(st.sampled_from([*ACTIONS, "cancel", "late"]), st.integers(0, 5)), max_size=80
)


def perturb(world: MovingWorld, action: str, which: int) -> None:
    match action:
        case "deliver":
            world.deliver(AGENTS[which % 2])
        case "answer" | "fail" if world.running:
            world.answer(which % len(world.running), BROKEN if action == "fail" else None)
        case "crash" | "acted":
            world.crash(acted=action == "acted")
        case "restart":
            world.restart(AGENTS[which % 2])
        case "tick":
            world.tick()
        case "late":
            world.tick(200.0)
        case "cancel" if which == 0:
            world.cancel()
        case _:
            pass


@settings(max_examples=150)
@given(CHOICES, st.booleans())
def test_any_order_of_faults_ends_without_a_transfer_under_way(
    actions: list[tuple[str, int]], newest_first: bool
) -> None:
    """Once the faults stop, everything is moved and counted, or it ended and says why."""
    world = begun()
    for action, which in actions:
        perturb(world, action, which)
        if world.over():
            break
    world.run_on(newest_first=newest_first)
    world.check()
    assert world.moved <= STEPS


def test_nothing_moves_before_every_replica_was_counted() -> None:
    world = begun()
    run_until(world, Phase.COUNT)
    assert world.moved == 0
    round_ = world.ctl.cut_at
    world.deliver(A)
    world.answer(next(i for i, (owner, _) in enumerate(world.running) if owner == A))
    assert world.ctl.phase is Phase.COUNT
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE
    assert round_ == "1"


def test_replicas_that_differ_are_counted_again_and_what_the_shell_says_of_it_ends_it() -> None:
    world = begun()
    world.differ = "shard 0 of 'docs': its replicas hold different numbers of points"
    for round_ in ("1", "2", "3"):
        run_until(world, Phase.COUNT)
        assert world.ctl.cut_at == round_
        run_until(world, Phase.MOVE)
        asked = next(e for o, e in world.running if isinstance(e, MoveShards))
        assert asked.counted == ()
        assert asked.differ == world.differ
    answer_kind(world, MoveShards, Failure(reason="REFUSED", message=world.differ))
    world.run_on()
    world.check()
    assert world.operation.state is State.ABORTED
    assert world.moved == 0


def test_a_count_of_an_earlier_round_says_nothing() -> None:
    """An agent's late vote of round 1 does not stand for round 2."""
    world = begun()
    world.differ = "they differ"
    run_until(world, Phase.COUNT)
    run_until(world, Phase.MOVE)
    old = {key: vote for key, vote in world.votes.items() if key[0] == Phase.COUNT.value}
    run_until(world, Phase.COUNT)
    assert world.ctl.cut_at == "2"
    assert {vote.ready for vote in old.values()} == {"1"}
    assert CompareCounts not in effects(world)
    world.crash()
    assert CompareCounts not in effects(world)

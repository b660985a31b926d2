"""The undelete's machine with its agents: every crash, and any order of answers and faults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.protocol.etcd_records import Bounds, Failure
from cleancut.core.protocol.events import Progressed
from cleancut.core.protocol.live_attempt import TRIES
from cleancut.core.protocol.states import Phase, State
from cleancut.core.undelete.phases import (
    AWAY_S,
    LOOK_S,
    RESTARTS,
    SETTLE_S,
    CountPoints,
    FindAgents,
    PlanUndelete,
    PutBack,
    Settle,
)
from tests.unit.core.restore.world import AGENTS, BROKEN, COORDINATOR, A, B
from tests.unit.core.undelete.world import BATCHES, UndeleteWorld

PHASES = [Phase.PREPARE, Phase.APPLY, Phase.COUNT, Phase.IDLE]
REFUSED = Failure(reason="REFUSED", message="a blocker")
POINTS = 25


def begun() -> UndeleteWorld:
    world = UndeleteWorld()
    world.begin()
    return world


def run_until(world: UndeleteWorld, phase: Phase) -> None:
    """Goes on without faults until ctl stands at `phase`, and all agents know."""
    for _ in range(500):
        if world.deliver_all():
            continue
        if world.at is phase:
            return
        if world.running:
            world.answer(0)
        else:
            world.tick()
    raise AssertionError(f"never came to {phase}")


def answer_kind(
    world: UndeleteWorld, kind: type, failure: Failure | None = None, owner: str = COORDINATOR
) -> None:
    running = enumerate(world.running)
    world.answer(next(i for i, (o, e) in running if o == owner and isinstance(e, kind)), failure)


def said(world: UndeleteWorld) -> str:
    assert world.operation.failure is not None
    return world.operation.failure.message


def test_puts_back_and_counts_when_nothing_fails() -> None:
    world = begun()
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE
    assert [ctl.phase for ctl, _ in world.history] == PHASES


def commands_of_a_plain_run() -> int:
    world = begun()
    world.run_on()
    return world.commands


@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("after", range(1, commands_of_a_plain_run() + 1))
def test_a_new_leader_finishes_whatever_command_was_the_last(after: int, *, acted: bool) -> None:
    world = UndeleteWorld()
    crash = world.crash
    world.crash_after = after
    world.crash = lambda **_: crash(acted=acted)  # type: ignore[method-assign]
    world.begin()
    world.run_on()
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


def test_a_cancel_waits_for_all_agents_and_says_how_many_points_are_back() -> None:
    world = begun()
    run_until(world, Phase.APPLY)
    world.send_one(A)
    world.cancel()
    assert world.at is Phase.COUNT
    while world.deliver_all():
        pass
    answer_kind(world, Settle, owner=B)
    assert not [e for o, e in world.running if o == COORDINATOR]
    world.send_one(A)
    answer_kind(world, Settle, owner=A)
    world.send_one(A)
    world.run_on()
    world.check()
    assert world.operation.state is State.CANCELED
    assert world.back == {0: 2, 1: 0}
    assert said(world) == "cancelled on request; 2 points are back"


def test_a_cancel_waits_not_for_ever_for_an_agent_that_is_silent() -> None:
    world = begun()
    run_until(world, Phase.APPLY)
    world.cancel()
    world.running = [r for r in world.running if r[0] == COORDINATOR]
    world.tick(SETTLE_S - 1)
    assert not world.running
    world.tick(2.0)
    answer_kind(world, CountPoints)
    assert world.operation.state is State.CANCELED


def test_a_cancel_before_anything_is_written_just_ends_it() -> None:
    world = begun()
    run_until(world, Phase.PREPARE)
    world.cancel()
    world.check()
    assert world.operation.state is State.CANCELED
    assert world.back == {0: 0, 1: 0}


def test_a_blocker_ends_it_before_anything_is_written() -> None:
    world = begun()
    while not any(isinstance(e, PlanUndelete) for _, e in world.running):
        if not world.deliver_all():
            world.answer(0)
    answer_kind(world, PlanUndelete, REFUSED)
    assert world.operation.state is State.ABORTED
    world.check()


def test_the_shards_of_an_agent_that_stays_away_go_to_another() -> None:
    """What it has put back already is not lost, and the attempt after it goes on from there."""
    world = begun()
    run_until(world, Phase.APPLY)
    world.send_one(A)
    answer_kind(world, PutBack, owner=B)
    world.away.add(A)
    world.running = [r for r in world.running if r[0] != A]
    for _ in range(int(AWAY_S / LOOK_S) + 2):
        world.tick(LOOK_S)
        if world.at is not Phase.APPLY:
            break
        for index, (owner, _) in enumerate(world.running):
            if owner == COORDINATOR:
                world.answer(index)
    assert world.at is Phase.COUNT
    world.tick(SETTLE_S + 1)
    answer_kind(world, CountPoints)
    assert world.operation.state is State.PENDING
    assert said(world) == f"agent a has been away for {AWAY_S:g} s"
    assert world.operation.reached == 1 + BATCHES


def test_an_agent_that_ends_again_and_again_ends_the_attempt() -> None:
    """As one that lacks the memory for its shard: it would hold up all other operations."""
    world = begun()
    run_until(world, Phase.APPLY)
    for _ in range(RESTARTS):
        world.restart(A)
        assert world.at is Phase.APPLY
    world.restart(A)
    assert world.at is Phase.COUNT
    assert said(world) == f"agent a was restarted {RESTARTS + 1} times"
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_a_damaged_shard_is_tried_three_times_and_what_is_back_is_said() -> None:
    world = begun()
    for _ in range(3):
        run_until(world, Phase.APPLY)
        world.send_one(A)
        answer_kind(world, PutBack, Failure(reason="CORRUPT", message="damaged"), owner=B)
        for _ in range(100):
            if world.at is not Phase.COUNT:
                break
            if not world.deliver_all():
                world.answer(0)
        if not world.over():
            world.tick()
    world.check()
    assert world.operation.state is State.FAILED
    assert said(world) == "agent b: damaged; 3 points are back"


def test_agents_that_put_nothing_back_do_not_keep_the_turn() -> None:
    """As one whose Qdrant hangs: each attempt ends, and others get their turn in between. One that
    goes on slowly is waited for."""
    world = begun()
    run_until(world, Phase.APPLY)
    for _ in range(20):
        world.tell(Progressed(A))
        world.tick(Bounds().stalled_s / 2)
        answer_kind(world, FindAgents)
    assert world.ctl.phase is Phase.APPLY
    for _ in range(500):
        if world.over() or world.operation.state is State.PENDING:
            break
        if any(isinstance(effect, FindAgents) for _, effect in world.running):
            answer_kind(world, FindAgents)
        elif any(isinstance(effect, CountPoints) for _, effect in world.running):
            answer_kind(world, CountPoints)
        else:
            world.tick(10.0)
    assert world.operation.state is State.PENDING
    assert "no point was looked at or put back" in said(world)


def test_a_refusal_is_final() -> None:
    world = begun()
    run_until(world, Phase.APPLY)
    answer_kind(world, PutBack, REFUSED, owner=A)
    world.run_on()
    world.check()
    assert world.operation.state in {State.ABORTED, State.FAILED}
    assert world.operation.attempts == 1


def test_the_count_is_tried_again() -> None:
    world = begun()
    run_until(world, Phase.COUNT)
    for _ in range(TRIES - 1):
        answer_kind(world, CountPoints, BROKEN)
        world.tick(3.0)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


ACTIONS = ["deliver", "answer", "answer", "answer", "fail", "crash", "acted", "restart", "tick"]
CHOICES = st.lists(
    st.tuples(st.sampled_from([*ACTIONS, "send", "cancel", "late"]), st.integers(0, 5)),
    max_size=80,
)


def perturb(world: UndeleteWorld, action: str, which: int) -> None:
    match action:
        case "deliver":
            world.deliver(AGENTS[which % 2])
        case "answer" | "fail" if world.running:
            world.answer(which % len(world.running), BROKEN if action == "fail" else None)
        case "crash" | "acted":
            world.crash(acted=action == "acted")
        case "restart":
            world.restart(AGENTS[which % 2])
        case "send":
            world.send_one(AGENTS[which % 2])
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
def test_any_order_of_faults_ends_with_all_back_or_a_reason(
    actions: list[tuple[str, int]], newest_first: bool
) -> None:
    world = begun()
    for action, which in actions:
        perturb(world, action, which)
        if world.over():
            break
    world.run_on(newest_first=newest_first)
    world.check()

"""The restore's two machines together: every crash, and any order of answers and faults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.protocol.effect_requests import Drain, Observe
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.states import Phase, State
from cleancut.core.restore.phases import (
    FOREIGN_WRITES,
    NEVER_STEADY,
    ROUNDS_MORE,
    TRIES,
    Create,
    PublishRestore,
    RollBack,
)
from tests.unit.core.restore.world import AGENTS, BROKEN, COORDINATOR, A, World

RESTART_POINTS = 60
PHASES = [
    Phase.PREPARE,
    Phase.CREATE,
    Phase.RECOVER,
    Phase.VERIFY,
    Phase.SEAL,
    Phase.PUBLISH,
    Phase.IDLE,
]


def _run_until(world: World, phase: Phase) -> None:
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


def _run_until_not(world: World, phase: Phase) -> None:
    for _ in range(500):
        if world.ctl.phase is not phase:
            return
        if not world.deliver_all() and world.running:
            world.answer(0)
    raise AssertionError(f"never left {phase}")


def _answer_kind(world: World, kind: type, failure: Failure | None = None) -> None:
    index = next(i for i, (_, effect) in enumerate(world.running) if isinstance(effect, kind))
    world.answer(index, failure)


def test_restores_and_publishes_when_nothing_fails() -> None:
    """The plain way goes through all phases once, in order, and ends in DONE."""
    world = World()
    world.begin()
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE
    assert [ctl.phase for ctl, _ in world.history] == PHASES
    assert world.drains == 2


@pytest.mark.parametrize("after", [-1, *range(1, 20)])
def test_a_collection_without_shards_is_restored(after: int) -> None:
    """As one whose shards have keys, of which there is none yet: no agent has to vote for it."""
    world = World(crash_after=after, without_shards=True)
    world.begin()
    world.run_on()
    assert world.operation.state is State.DONE
    assert world.published


def _commands_of_a_plain_run() -> int:
    world = World()
    world.begin()
    world.run_on()
    return world.commands


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("after", range(1, _commands_of_a_plain_run() + 1))
def test_a_new_leader_finishes_whatever_command_was_the_last(
    after: int, *, acted: bool, newest_first: bool
) -> None:
    """After each single command the leader may die, with its effect done or not: the restore still
    ends in DONE, and nothing is published twice by different rules."""
    world = World()
    crash = world.crash
    world.crash_after = after
    world.crash = lambda **_: crash(acted=acted)  # type: ignore[method-assign]
    world.begin()
    world.run_on(newest_first=newest_first)
    world.check()
    assert world.crashes == 1
    assert world.operation.state is State.DONE


@pytest.mark.parametrize("point", range(RESTART_POINTS))
def test_an_agent_may_restart_at_any_point(point: int) -> None:
    """An agent that comes back under a new session goes on; in PREPARE the attempt is repeated."""
    world = World()
    world.begin()
    for step in range(RESTART_POINTS):
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


@pytest.mark.parametrize("phase", [Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.SEAL])
def test_a_cancel_before_publishing_rolls_back(phase: Phase) -> None:
    """What was made is dropped, and the operation says that it was cancelled."""
    world = World()
    world.begin()
    _run_until(world, phase)
    world.cancel()
    assert world.operation.state is State.ROLLING_BACK
    assert [type(e) for owner, e in world.running if owner == COORDINATOR] == [RollBack]
    world.run_on(newest_first=True)
    world.check()
    assert world.operation.state is State.ROLLED_BACK
    assert world.operation.failure == Failure(reason="CANCELLED", message="cancelled on request")


def test_a_cancel_in_prepare_touches_nothing() -> None:
    world = World()
    world.begin()
    _run_until(world, Phase.PREPARE)
    world.cancel()
    assert world.operation.state is State.ABORTED
    assert not any(isinstance(effect, Create) for _, effect in world.running)
    world.check()


def test_a_cancel_comes_too_late_for_what_is_published() -> None:
    world = World()
    world.begin()
    _run_until(world, Phase.PUBLISH)
    world.cancel()
    world.run_on()
    assert world.operation.state is State.DONE


def test_a_write_between_the_readings_is_not_dropped() -> None:
    """One foreign operation is enough: it is nowhere else, so an operator decides."""
    world = World()
    world.begin()
    _run_until(world, Phase.SEAL)
    world.write()
    world.run_on()
    world.check()
    assert world.operation.state is State.NEEDS_OPERATOR
    assert world.operation.failure == FOREIGN_WRITES
    assert Phase.ROLLBACK not in [ctl.phase for ctl, _ in world.history]


def test_a_peer_that_is_started_anew_between_the_readings_is_counted_again() -> None:
    """Its numbers say nothing over a start, so all is read once more, and then published."""
    world = World()
    world.begin()
    _run_until(world, Phase.SEAL)
    world.startups[A] += 1
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE
    assert [ctl.phase for ctl, _ in world.history].count(Phase.VERIFY) == 2
    assert world.drains == 4


def test_a_peer_that_never_stays_up_rolls_back() -> None:
    """Rounds come to an end, with a failure that does not speak of writes."""
    world = World()
    world.begin()
    for _ in range(ROUNDS_MORE + 1):
        _run_until(world, Phase.SEAL)
        world.startups[A] += 1
        if world.ctl.phase is Phase.SEAL:
            _run_until_not(world, Phase.SEAL)
    world.run_on()
    world.check()
    assert world.operation.state is State.ROLLED_BACK
    assert world.operation.failure == NEVER_STEADY


@pytest.mark.parametrize("phase", [Phase.RECOVER, Phase.VERIFY, Phase.SEAL])
def test_a_no_of_one_agent_rolls_back(phase: Phase) -> None:
    world = World()
    world.begin()
    _run_until(world, phase)
    world.deliver(A)
    index = next(i for i, (owner, _) in enumerate(world.running) if owner == A)
    world.answer(index, BROKEN)
    assert world.operation.state is State.ROLLING_BACK
    world.run_on()
    world.check()
    assert world.operation.failure is not None
    assert "agent a: broken" in world.operation.failure.message


def test_a_rollback_is_repeated_until_an_operator_is_needed() -> None:
    """Each failure is followed by another try, until the bound; then a person is asked."""
    world = World()
    world.begin()
    _run_until(world, Phase.RECOVER)
    world.cancel()
    tries = 0
    while not world.over():
        if any(isinstance(effect, RollBack) for _, effect in world.running):
            _answer_kind(world, RollBack, BROKEN)
            tries += 1
        world.tick()
        assert tries < 1000
    assert tries > 100
    assert world.operation.state is State.NEEDS_OPERATOR
    assert world.operation.failure is not None
    assert "cannot be rolled back: broken" in world.operation.failure.message


@pytest.mark.parametrize("kind", [Create, Drain])
def test_what_is_the_same_when_done_twice_is_done_again(kind: type) -> None:
    """A peer that restarts meanwhile costs a few tries, not the restore."""
    world = World()
    world.begin()
    failures = 3
    while not world.over():
        running = [type(effect) for _, effect in world.running]
        if kind in running and failures:
            failures -= 1
            _answer_kind(world, kind, BROKEN)
            world.tick(3.0)
        elif world.running:
            world.answer(0)
        elif not world.deliver_all():
            world.tick()
    assert failures == 0
    assert world.operation.state is State.DONE
    assert len(world.history) == len(PHASES)


def test_tries_come_to_an_end() -> None:
    world = World()
    world.begin()
    tries = 0
    _run_until(world, Phase.CREATE)
    while world.ctl.phase is Phase.CREATE:
        if any(isinstance(effect, Create) for _, effect in world.running):
            _answer_kind(world, Create, BROKEN)
            tries += 1
        world.tick(3.0)
    assert tries == TRIES
    assert world.operation.state is State.ROLLING_BACK


def test_the_second_drain_is_not_repeated() -> None:
    """Its outcome is unknown, and with it what the numbers must be."""
    world = World()
    world.begin()
    _run_until(world, Phase.VERIFY)
    while not any(isinstance(effect, Drain) for _, effect in world.running):
        world.deliver_all()
        world.answer(0)
    _answer_kind(world, Drain, BROKEN)
    assert world.operation.state is State.ROLLING_BACK


def test_a_refused_create_is_not_repeated() -> None:
    world = World()
    world.begin()
    _run_until(world, Phase.CREATE)
    _answer_kind(world, Create, Failure(reason="REFUSED", message="taken"))
    assert world.operation.state is State.ROLLING_BACK


def test_a_refused_rollback_asks_for_an_operator_soon() -> None:
    world = World()
    world.begin()
    _run_until(world, Phase.RECOVER)
    world.cancel()
    began_s = world.now_s
    while not world.over():
        if any(isinstance(effect, RollBack) for _, effect in world.running):
            _answer_kind(world, RollBack, Failure(reason="REFUSED", message="whose?"))
        world.tick()
    assert world.operation.state is State.NEEDS_OPERATOR
    assert world.now_s - began_s < 60


def test_publishing_is_repeated_until_it_succeeds() -> None:
    world = World()
    world.begin()
    _run_until(world, Phase.PUBLISH)
    for _ in range(3):
        _answer_kind(world, PublishRestore, BROKEN)
        world.tick(3.0)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_prepare_is_repeated_as_a_new_epoch_and_not_for_ever() -> None:
    """Three attempts, then it is over; a refusal is over at once."""
    world = World()
    world.begin()
    while not world.over():
        looks = [i for i, (_, e) in enumerate(world.running) if isinstance(e, Observe)]
        if looks:
            world.answer(looks[0], BROKEN)
        elif world.running:
            world.answer(0)
        elif not world.deliver_all():
            world.tick()
    assert world.epochs == 3
    assert world.operation.state is State.ABORTED


@pytest.mark.parametrize("phase", [Phase.PREPARE, Phase.RECOVER, Phase.VERIFY, Phase.SEAL])
def test_silence_ends_at_the_bound(phase: Phase) -> None:
    """An agent that says nothing is waited for no longer than the phase's bound."""
    world = World()
    world.begin()
    _run_until(world, phase)
    world.running = [r for r in world.running if r[0] == COORDINATOR]
    world.tick(90_000.0)
    assert world.operation.state in {State.ROLLING_BACK, State.PENDING}
    assert world.operation.failure is not None
    assert "no vote of" in world.operation.failure.message


CHOICES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "deliver",
                "answer",
                "answer",
                "answer",
                "answer",
                "fail",
                "crash",
                "acted",
                "restart",
                "tick",
                "tick",
                "write",
                "cancel",
                "late",
                "startup",
            ]
        ),
        st.integers(0, 5),
    ),
    max_size=120,
)


def _perturb(world: World, action: str, which: int) -> None:
    agent = AGENTS[which % 2]
    match action:
        case "deliver":
            world.deliver(agent)
        case "answer" | "fail" if world.running:
            failure = BROKEN if action == "fail" else None
            world.answer(which % len(world.running), failure)
        case "crash" | "acted":
            world.crash(acted=action == "acted")
        case "restart":
            world.restart(agent)
        case "tick":
            world.tick()
        case "late":
            world.tick(200.0)
        case "startup":
            world.startups[agent] += 1
        case "write":
            world.write()
        case "cancel" if which == 0:
            world.cancel()
        case _:
            pass


@settings(max_examples=400)
@given(CHOICES, st.booleans())
def test_any_order_of_faults_ends_whole_or_not_at_all(
    actions: list[tuple[str, int]], newest_first: bool
) -> None:
    """Crashes, restarts, failures, writes and cancels in any order: once they stop, the restore is
    either verified and published, or nothing of it is left."""
    world = World()
    world.begin()
    for action, which in actions:
        _perturb(world, action, which)
        if world.over():
            break
    world.run_on(newest_first=newest_first)
    world.check()

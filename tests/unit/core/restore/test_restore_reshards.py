"""A restore with reshards: verified first, published after the last of them."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.followers import waits_for_reshards
from cleancut.core.protocol.states import Phase, State
from cleancut.core.restore.phases import MakeWay, MarkPublished, Review, RollBack, TakeUp
from tests.unit.core.restore.world import BROKEN, COORDINATOR, A, World

FIRST = [Phase.PREPARE, Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.SEAL, Phase.IDLE]
SECOND = [Phase.PREPARE, Phase.SEAL, Phase.PUBLISH, Phase.IDLE]
REFUSED = Failure(reason="REFUSED", message="it holds other points")


def _world() -> World:
    world = World(reshards=2)
    world.begin()
    return world


def _on(world: World) -> None:
    if world.deliver_all():
        return
    if world.running:
        world.answer(0)
    else:
        world.tick()


def _until_waiting(world: World) -> None:
    for _ in range(500):
        if waits_for_reshards(world.operation):
            return
        _on(world)
    raise AssertionError("it never waits for its reshards")


def _until_running(world: World, kind: type, epoch: int = 2) -> None:
    for _ in range(500):
        if any(isinstance(one, kind) and one.epoch == epoch for _, one in world.running):
            return
        _on(world)
    raise AssertionError(f"never came to {kind}")


def _commands_of_a_plain_run() -> int:
    world = _world()
    world.run_on()
    return world.commands


def test_names_are_published_after_the_last_reshard() -> None:
    """It lets them go first when all is verified, and nothing is verified by agents again."""
    world = _world()
    _until_waiting(world)
    assert not world.published
    assert world.operation.after == "n-2"
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE
    assert [ctl.phase for ctl, _ in world.history] == [*FIRST, *SECOND]
    assert (world.operation.detail_at, world.drains) == (Epoch(2), 2)


def test_one_whose_reshards_are_over_is_published_at_once() -> None:
    """They were canceled while it ran."""
    world = _world()
    world.left = 0
    world.run_on()
    world.check()
    assert [ctl.phase for ctl, _ in world.history] == [*FIRST[:-1], Phase.PUBLISH, Phase.IDLE]


@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("after", range(1, _commands_of_a_plain_run() + 1))
def test_a_new_leader_finishes_whatever_command_was_the_last(after: int, *, acted: bool) -> None:
    """After each single command the leader may die, with its effect done or not."""
    world = World(reshards=2)
    crash = world.crash
    world.crash_after = after
    world.crash = lambda **_: crash(acted=acted)  # type: ignore[method-assign]
    world.begin()
    world.run_on()
    world.check()
    assert world.crashes == 1
    assert world.operation.state is State.DONE


@pytest.mark.parametrize("after", range(1, _commands_of_a_plain_run() + 1))
def test_a_cancel_and_a_new_leader_at_any_point_leave_nothing_half(after: int) -> None:
    """A cancel drops what was made, unless that is published already."""
    world = World(reshards=2)
    crash = world.crash

    def cancel_and_crash(**_: bool) -> None:
        world.cancel()
        crash(acted=True)
        world.cancel()

    world.crash_after = after
    world.crash = cancel_and_crash  # type: ignore[method-assign]
    world.begin()
    world.run_on()
    world.check()
    assert world.operation.state in {State.DONE, State.ROLLED_BACK, State.ABORTED}
    assert world.operation.state is not State.DONE or world.marked


def test_a_cancel_while_it_waits_drops_what_it_made() -> None:
    """In the attempt that would have published it."""
    world = _world()
    _until_waiting(world)
    world.cancel()
    world.run_on()
    world.check()
    assert world.operation.state is State.ROLLED_BACK
    assert [ctl.phase for ctl, _ in world.history[-3:]] == [
        Phase.PREPARE,
        Phase.ROLLBACK,
        Phase.ABORT,
    ]


@pytest.mark.parametrize("kind", [TakeUp, Review])
def test_a_cancel_after_its_reshards_drops_what_it_made(kind: type) -> None:
    world = _world()
    _until_running(world, kind)
    world.cancel()
    world.run_on()
    world.check()
    assert world.operation.state is State.ROLLED_BACK


def test_a_cancel_that_comes_after_the_mark_changes_nothing() -> None:
    world = _world()
    _until_running(world, MarkPublished)
    world.cancel()
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


@pytest.mark.parametrize("failure", [BROKEN, REFUSED])
@pytest.mark.parametrize("kind", [MakeWay, TakeUp, Review])
def test_what_goes_wrong_after_the_verification_drops_nothing(kind: type, failure: Failure) -> None:
    """It is tried again until a bound; then a person is asked. Clients may use the collection."""
    world = _world()
    _until_running(world, kind, epoch=1 if kind is MakeWay else 2)
    tries = 0
    for _ in range(3000):
        for index, (owner, effect) in enumerate(world.running):
            if owner == COORDINATOR and isinstance(effect, kind):
                world.answer(index, failure)
                tries += 1
                break
        else:
            if world.over():
                break
            world.tick()
    assert world.operation.state is State.NEEDS_OPERATOR
    assert tries > 5
    assert world.made
    assert world.operation.failure is not None
    assert "but not published" in world.operation.failure.message
    assert not [one for _, one in world.running if isinstance(one, RollBack)]


def test_it_needs_no_agent_after_its_reshards() -> None:
    """Those that restart, or are away, do not matter."""
    world = _world()
    _until_running(world, TakeUp)
    world.restart(A)
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE

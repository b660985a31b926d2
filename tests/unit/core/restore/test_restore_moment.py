"""A restore to a moment in the machine: its check reads all entries, however long that takes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.moment import Moment, MomentRequest
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import Phase, State
from cleancut.core.restore.phases import CheckRestore
from tests.unit.core.restore.world import World

MOMENT = Moment(asked=MomentRequest(at_ms=5), at_ms=4, instant=True, shards=())


def _until_checked(moment: Moment | None) -> World:
    """Stands where the check has begun."""
    world = World()
    request = RestoreRequest(backup=Epoch(1), target=moment)
    world.operation = replace(world.operation, request=encode(request).decode())
    world.begin()
    for _ in range(500):
        if any(isinstance(effect, CheckRestore) for _, effect in world.running):
            return world
        if not world.deliver_all() and world.running:
            world.answer(0)
    raise AssertionError("never checked")


def test_the_bound_of_prepare_does_not_end_the_check_of_entries() -> None:
    world = _until_checked(MOMENT)
    world.tick(3_600.0)
    assert world.operation.state is State.PREPARING
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE


def test_without_entries_the_bound_holds() -> None:
    world = _until_checked(None)
    world.tick(3_600.0)
    assert world.operation.state is State.PENDING


@pytest.mark.parametrize("moment", [MOMENT, None])
def test_the_request_reaches_the_check(moment: Moment | None) -> None:
    world = _until_checked(moment)
    (check,) = (e for _, e in world.running if isinstance(e, CheckRestore))
    assert check.request.target == moment
    assert world.ctl.phase is Phase.PREPARE

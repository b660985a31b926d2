"""Lost shards come back into a collection that lives: its writers do no harm."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.states import Phase, State
from cleancut.core.restore.phases import Create
from tests.unit.core.restore.world import AGENTS, World, task_of


@dataclass
class LiveWorld(World):
    """A world whose tasks are lost shards, and whose clients go on writing."""

    def _act_as_leader(self, effect: Effect) -> object:
        if isinstance(effect, Create):
            self.made = True
            return {name: (replace(task_of(name), repair=True),) for name in AGENTS}
        return super()._act_as_leader(effect)

    def tick(self, seconds: float = 1.0) -> None:
        self.write()
        super().tick(seconds)


def repaired(world: LiveWorld) -> None:
    assert world.operation.state is State.DONE
    assert world.recovered == set(AGENTS)
    assert world.published


def test_writes_do_not_fail_a_repair() -> None:
    """They are what the collection is there for."""
    world = LiveWorld()
    world.begin()
    while world.ctl.phase is not Phase.SEAL:
        assert world._answer_one(0) or world.deliver_all()
    world.write()
    world.run_on()
    repaired(world)


@pytest.mark.parametrize("crash_after", range(1, 16))
def test_a_repair_survives_the_leader(crash_after: int) -> None:
    """Whichever command was the last one: the next leader goes on, writers or not."""
    world = LiveWorld(crash_after=crash_after)
    world.begin()
    world.run_on()
    repaired(world)

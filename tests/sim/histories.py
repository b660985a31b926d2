"""A seed is a history: odd ones have backups alone, even ones have restores in them too."""

from __future__ import annotations

from tests.sim.restoring import RestoreScenario
from tests.sim.scenario import Parts, Result, Scenario


def play(seed: int, parts: Parts | None = None) -> Result:
    """The history of `seed`. The same seed and parts give the same one."""
    kind = RestoreScenario if seed % 2 == 0 else Scenario
    return kind(seed, parts or Parts()).play()

"""Whoever is killed or frozen in whichever phase of a restore: it ends restored or undone, never
half, and what was there before is untouched. While a rebalance moves shards: none is lost."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cleancut.core.protocol.states import Phase
from tests.chaos.arena import SEED, Arena, Cell, Result
from tests.chaos.killer import Victim

PHASES = (Phase.PREPARE, Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.PUBLISH, Phase.MOVE)
CELLS = [Cell(victim, phase) for victim in Victim for phase in PHASES]
SAMPLE = random.Random(SEED).sample(CELLS, 1)
"""The cells that every run of all tests has."""


def marks(cell: Cell) -> list[pytest.MarkDecorator]:
    return [pytest.mark.chaos, *([pytest.mark.sample] if cell in SAMPLE else [])]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "cell", [pytest.param(cell, id=str(cell), marks=marks(cell)) for cell in CELLS]
)
def test_nothing_is_ever_half_done(
    arenas: Callable[[], Arena], cell: Cell, results: list[Result]
) -> None:
    """Restored: every shard complete, everything equal. Undone: nothing of it is left. The elders
    are equal point by point, and no alias, fence or transfer is left over. Moved or stopped: the
    same of everything, with all replicas; moved evenly."""
    result = arenas().run_cell(cell)
    results.append(result)
    assert result.wrong == []
    assert result.hit is not None, f"missed: {result}"

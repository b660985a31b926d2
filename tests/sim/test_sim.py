"""A backup's machines under faults, over many seeds; and the checkers under broken machines."""

from __future__ import annotations

import os

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.runner import run_seeds, tell
from tests.sim.scenario import play

SEEDS = int(os.environ.get("SIM_SEEDS", "2500"))
MUTANT_SEEDS = range(1, 401)


@pytest.mark.slow
def test_all_checkers_hold_in_every_history() -> None:
    """Whatever fails and in whichever order: what the checkers say holds, and all comes to an end.
    Enough histories end in groups, proven and bounded ones, that this means something."""
    results = run_seeds(1, SEEDS, os.cpu_count() or 1)
    failed = [result for result in results if result.wrong]
    assert not failed, f"{len(failed)} seeds failed; the first:\n{tell(failed[0])}"
    groups, quiet = sum(r.committed for r in results), sum(r.quiet for r in results)
    assert groups > SEEDS
    assert groups / 4 < quiet < groups


def test_a_seed_is_a_history() -> None:
    """The same seed tells the same story twice."""
    assert play(7) == play(7)


@pytest.mark.parametrize("name", MUTANTS)
def test_checkers_find_broken_machines(name: str) -> None:
    """Each rule, once broken, is found by a checker that stands for it."""
    mutant = MUTANTS[name]
    for seed in MUTANT_SEEDS:
        found = {wrong.partition(":")[0] for wrong in play(seed, mutant.parts).wrong}
        if found & set(mutant.checkers):
            return
    pytest.fail(f"no seed of {MUTANT_SEEDS} shows that {mutant.rule}")

"""All machines under faults, over many seeds; and the checkers under broken machines."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.sim.histories import play
from tests.sim.mutants import MUTANT_SEEDS, MUTANTS, find_mutant
from tests.sim.runner import run_seeds, tell

SEEDS = int(os.environ.get("SIM_SEEDS", "3000"))
KNOWN = (324, 420, 662, 718, 812, 1124, 1540, 1762, 1864, 1282, 11912, 92126, 94130)


@pytest.mark.slow
def test_all_checkers_hold_in_every_history() -> None:
    """Whatever fails and in whichever order: what the checkers say holds, and all comes to an end.
    Enough histories end in groups, proven and bounded ones, and in restores, done and undone, that
    this means something."""
    results = run_seeds(1, SEEDS, os.cpu_count() or 1)
    failed = [result for result in results if result.wrong]
    assert not failed, f"{len(failed)} seeds failed; the first:\n{tell(failed[0])}"
    groups, quiet = sum(r.committed for r in results), sum(r.quiet for r in results)
    ended = Counter(state for result in results for state in result.restores)
    assert groups > SEEDS * 0.7
    assert groups / 8 < quiet < groups
    assert sum(r.fenced for r in results) > groups / 8
    assert ended["DONE"] > SEEDS / 4
    assert ended["ROLLED_BACK"] > SEEDS / 20
    assert Counter(state for result in results for state in result.seeds)["SEEDED"] > SEEDS / 20


@pytest.mark.parametrize("seed", [7, 8])
def test_a_seed_is_a_history(seed: int) -> None:
    """The same seed tells the same story twice, with restores (even ones) and without."""
    assert play(seed) == play(seed)


@pytest.mark.parametrize("seed", KNOWN)
def test_what_was_found_once_stays_away(seed: int) -> None:
    """Seeds that have shown a bug."""
    assert play(seed).wrong == ()


@pytest.mark.parametrize("name", MUTANTS)
def test_checkers_find_broken_machines(name: str) -> None:
    """Each rule, once broken, is found by a checker that stands for it."""
    seed, _ = find_mutant(name, MUTANTS[name])
    assert seed is not None, f"none of {MUTANT_SEEDS} seeds shows that {MUTANTS[name].rule}"

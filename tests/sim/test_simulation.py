"""The programs under faults, over many seeds; and the checkers under rules broken on purpose."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from simulation.all_mutants import MUTANTS
from simulation.runner import play_lean, run_seeds, shown
from simulation.scenario import play

KNOWN: dict[int, str] = {}
"""Seeds that have shown a bug, and which."""
SECONDS = 45.0
"""As many histories as fit into this time are played; each of them is whole."""


@pytest.mark.slow
def test_all_checkers_hold_in_every_history() -> None:
    """Whatever fails and in whichever order: what the checkers say holds, and all comes to an end.
    Histories end in groups, proven and bounded ones, in restores, done and undone, and in
    rebalances, so that this means something."""
    ends: Counter[str] = Counter()
    until_s, played = time.monotonic() + SECONDS, 0
    first = int(os.environ.get("SIM_FIRST", "1"))
    while time.monotonic() < until_s:
        for result in run_seeds(first + played, 2 * 20, os.cpu_count() or 1):
            assert not result.wrong, shown(result)
            ends += Counter(result.ends)
            ends += Counter(groups=result.committed, quiet=result.quiet, fenced=result.fenced)
            played += 1
    sys.stdout.write(f"{played} histories in {SECONDS:.0f} s: {dict(sorted(ends.items()))}\n")
    assert ends["groups"] > ends["quiet"] > 0
    assert {"restore DONE", "rebalance DONE", "seed SEEDED", "fenced"} <= set(ends)


@pytest.mark.parametrize("seed", [7, 8])
def test_a_seed_is_a_history(seed: int) -> None:
    """The same seed gives the same history twice, every write and every line of it, with restores
    (even ones) and without; also in a process that hashes strings in another way."""
    digest = play(seed).digest
    assert play(seed).digest == digest
    code = f"from simulation.scenario import play; print(play({seed}).digest)"
    for hash_seed in ("1", "2"):
        path = os.pathsep.join(sys.path)
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == digest


@pytest.mark.parametrize("seed", KNOWN)
def test_what_was_found_once_stays_away(seed: int) -> None:
    assert play_lean(seed).wrong == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_checkers_find_broken_rules(name: str) -> None:
    """Each rule, once broken, is found by a checker that stands for it, in a seed that is known."""
    mutant = MUTANTS[name]
    wrong = mutant.play(mutant.first).wrong
    found = {one.partition(":")[0] for one in wrong}
    assert found & set(mutant.checkers), f"seed {mutant.first} does not show that {mutant.rule}"

"""The programs under faults, over many seeds; and the checkers under rules broken on purpose."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from cleancut.qdrant.client import Qdrant
from simulation.all_mutants import MUTANTS
from simulation.mutation import find
from simulation.peer import SimPeer
from simulation.runner import play_lean, run_for, shown
from simulation.scenario import FIRST_SEED, play

KNOWN = {
    21072: "an agent said for ever that it follows a shard that was given to another one",
    51: "no backup was made while consensus had stopped: the installation could not be marked",
}
"""Seeds that have shown a bug, and which. `mutants_regressions.py` puts such bugs back, so that
each has a seed whatever else changes."""
NEVER_ASKED = {
    "close",
    "create_shard_key",
    "delete_shard_key",
    "nearest",
    "put_quotas",
    "ready",
    "remove_peer",
}
"""Calls about shard keys and samples, which no group of the simulation has, the doctor's, and
quotas."""
SHARED = {"change", "read", "replica_of"}
"""What the parts of a simulated peer have of each other."""
SECONDS = 12.0
"""As many histories as fit into this time are played; each of them is whole."""


@pytest.mark.slow
def test_all_checkers_hold_in_every_history(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever fails and in whichever order: what the checkers say holds, and all comes to an end.
    Histories end in groups, proven and bounded ones, in restores, done and undone, in rebalances
    and reshards, so that this means something."""
    ends: Counter[str] = Counter()
    began_s, played = time.monotonic(), 0
    for result in run_for(SECONDS, FIRST_SEED, os.cpu_count() or 1):
        assert not result.wrong, shown(result)
        ends += Counter(result.ends)
        ends += Counter(groups=result.committed, quiet=result.quiet, fenced=result.fenced)
        played += 1
    rate = played / (time.monotonic() - began_s)
    with capsys.disabled():
        sys.stdout.write(f"\n{played} histories, {rate:.1f} a second\n")
    assert ends["groups"] > ends["quiet"] > 0
    wanted = {"restore DONE", "rebalance DONE", "reshard DONE", "seed SEEDED", "fenced"}
    assert wanted <= set(ends)


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
@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if not mutant.rare])
def test_checkers_find_broken_rules(name: str) -> None:
    """Each rule, once broken, is found by a checker that stands for it. The rare ones are looked
    for by `python -m simulation --mutants` alone."""
    seed, _ = find(MUTANTS[name])
    assert seed is not None, f"no seed shows that {MUTANTS[name].rule}"


def test_mutants_replace_what_there_is() -> None:
    """A mutant of a machine overrides methods of that machine, not names of earlier days."""
    for mutant in MUTANTS.values():
        for patch in mutant.patches:
            if isinstance(patch.value, type):
                mine = {name for name in vars(patch.value) if not name.startswith("__")}
                (base,) = patch.value.__bases__
                assert {name for name in mine if not hasattr(base, name)} <= {"_recovers"}


def test_functions_of_mutants_are_called_as_those_that_they_replace() -> None:
    """Else a mutant fails on its own, and no checker ever sees what it breaks."""
    for name, mutant in MUTANTS.items():
        for patch in mutant.patches:
            if isinstance(patch.owner, dict) or not inspect.isfunction(patch.value):
                continue
            real, mine = vars(patch.owner)[patch.name], patch.value
            spec = inspect.getfullargspec(mine)
            if spec.varkw is None:
                assert by_name_alone(mine) == by_name_alone(real), (name, patch.name)
            if spec.varargs is None and inspect.isfunction(real):
                places = len(inspect.getfullargspec(real).args)
                assert len(spec.args) == places, (name, patch.name)


def by_name_alone(function: Callable[..., object]) -> list[str]:
    return sorted(inspect.getfullargspec(function).kwonlyargs)


def test_a_simulated_peer_has_the_calls_of_the_client() -> None:
    """Every call of the real client, by name, but for what nothing in the simulation asks for; and
    no others."""
    calls = {name for name in dir(SimPeer) if not name.startswith("_")} - SHARED
    real = {name for name in dir(Qdrant) if not name.startswith("_")}
    assert calls <= real
    assert real - calls == NEVER_ASKED

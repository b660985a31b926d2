"""`python -m tests.sim --seed N` replays one history; `--seeds N [--first M]` runs many;
`--mutants` tells which seed finds which wrong program."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from tests.sim.histories import play
from tests.sim.mutants import MUTANTS, find_mutant
from tests.sim.runner import run_seeds, tell


def tell_mutants() -> int:
    """0 if each program that is wrong on purpose is found, else 1."""
    missed = 0
    for name, mutant in MUTANTS.items():
        seed, told = find_mutant(name, mutant)
        missed += seed is None
        sys.stdout.write(f"{name:24} seed {seed}: {told}  ({mutant.rule})\n")
    sys.stdout.write(f"{len(MUTANTS)} mutants, {missed} missed\n")
    return 1 if missed else 0


def main() -> int:
    """0 if all held in all seeds, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its story")
    parser.add_argument("--seeds", type=int, default=3000, help="how many to run")
    parser.add_argument("--mutants", action="store_true", help="which seed finds which mutant")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    if asked.mutants:
        return tell_mutants()
    if asked.seed is not None:
        result = play(asked.seed)
        sys.stdout.write(tell(result) + "\n")
        return 1 if result.wrong else 0
    began_s = time.monotonic()
    results = run_seeds(asked.first, asked.seeds, asked.processes)
    failed = [result for result in results if result.wrong]
    for result in failed[:3]:
        sys.stdout.write(tell(result) + "\n\n")
    groups, quiet = sum(r.committed for r in results), sum(r.quiet for r in results)
    fenced = sum(r.fenced for r in results)
    ended = Counter(state for result in results for state in result.restores)
    told = ", ".join(f"{count} {state}" for state, count in sorted(ended.items()))
    took_s = time.monotonic() - began_s
    sys.stdout.write(
        f"{len(results)} seeds, {groups} groups, {quiet} of them quiet and {fenced} fenced, "
        f"restores: {told}; in {took_s:.1f} s; "
        f"{len(failed)} failed: {[result.seed for result in failed[:20]]}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m simulation --seed N` replays one history; `--seeds N [--first M]` runs many;
`--mutants` shows which seed finds which rule broken on purpose."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from simulation.all_mutants import MUTANTS, find_all
from simulation.runner import run_seeds, shown
from simulation.scenario import FIRST_SEED, Result, play

SHOWN = 3


def run_many(first: int, count: int, processes: int) -> int:
    """0 if all held in all seeds, else 1."""
    began_s = time.monotonic()
    groups: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    failed: list[Result] = []
    for result in run_seeds(first, count, processes):
        groups += Counter(groups=result.committed, quiet=result.quiet, fenced=result.fenced)
        groups["rolled"] += result.rolled
        ends += Counter(result.ends)
        if result.wrong:
            failed.append(result)
            if len(failed) <= SHOWN:
                sys.stdout.write(shown(result) + "\n\n")
                sys.stdout.flush()
    took_s = time.monotonic() - began_s
    shown_ends = ", ".join(f"{count} {what}" for what, count in sorted(ends.items()))
    sys.stdout.write(
        f"{count} histories in {took_s:.1f} s, {count / took_s:.1f} a second; "
        f"{groups['groups']} groups, {groups['quiet']} of them quiet, {groups['fenced']} fenced, "
        f"{groups['rolled']} rolled forward; "
        f"{shown_ends}; {len(failed)} failed: {[result.seed for result in failed[:20]]}\n"
    )
    return 1 if failed else 0


def show_mutants(processes: int) -> int:
    """0 if each rule that is broken on purpose is found, else 1."""
    missed = 0
    for name, (seed, found) in find_all(processes):
        missed += seed is None
        sys.stdout.write(f"{name:20} seed {seed}: {found}  ({MUTANTS[name].rule})\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(MUTANTS)} mutants, {missed} missed\n")
    return 1 if missed else 0


def main() -> int:
    """0 if all held, else 1."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its story")
    parser.add_argument("--seeds", type=int, default=1000, help="how many to run")
    parser.add_argument("--mutants", action="store_true", help="which seed finds which mutant")
    parser.add_argument("--first", type=int, default=FIRST_SEED)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    if asked.mutants:
        return show_mutants(asked.processes)
    if asked.seed is not None:
        result = play(asked.seed)
        sys.stdout.write(shown(result) + "\n")
        return 1 if result.wrong else 0
    return run_many(asked.first, asked.seeds, asked.processes)


if __name__ == "__main__":
    sys.exit(main())

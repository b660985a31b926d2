"""Many seeds over all cores, and how a failure is told."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from tests.sim.histories import play
from tests.sim.scenario import Result

CHUNK = 25


def run_seeds(first: int, count: int, processes: int) -> list[Result]:
    """The results of `count` seeds from `first` on, in order; stories only of what failed."""
    seeds = range(first, first + count)
    if processes <= 1:
        return [play_lean(seed) for seed in seeds]
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return list(pool.map(play_lean, seeds, chunksize=CHUNK))


def play_lean(seed: int) -> Result:
    """The result of one seed, without its story if all held."""
    result = play(seed)
    return result if result.wrong else replace(result, story=())


def tell(result: Result) -> str:
    """A failure with its story, and how to see it again."""
    lines = [*result.story, *(f"WRONG {found}" for found in result.wrong)]
    return "\n".join([*lines, f"again: make sim SEED={result.seed}"])

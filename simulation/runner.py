"""Many seeds over all cores, and how a failure is shown."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from simulation.scenario import Result, play

CHUNK = 10


def run_seeds(first: int, count: int, processes: int) -> Iterator[Result]:
    """The results of `count` seeds from `first` on, in order; stories only of what failed."""
    seeds = range(first, first + count)
    if processes <= 1:
        yield from map(play_lean, seeds)
        return
    with _pool(processes) as pool:
        yield from pool.map(play_lean, seeds, chunksize=CHUNK)


def run_for(seconds: float, first: int, processes: int) -> Iterator[Result]:
    """The results of as many seeds from `first` on as fit into that time, in order."""
    until_s = time.monotonic() + seconds
    with _pool(processes) as pool:
        while time.monotonic() < until_s:
            yield from pool.map(play_lean, range(first, first + CHUNK * processes))
            first += CHUNK * processes


def _pool(processes: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    return ProcessPoolExecutor(processes, mp_context=context)


def play_lean(seed: int) -> Result:
    """The result of one seed, without its story if all held. Cycles are collected in between."""
    gc.disable()
    gc.freeze()
    try:
        result = play(seed)
    finally:
        gc.enable()
        gc.collect()
    return result if result.wrong else replace(result, story=())


def shown(result: Result) -> str:
    """A failure with its story, and how to see it again."""
    lines = [*result.story, *(f"WRONG {found}" for found in result.wrong)]
    return "\n".join([*lines, f"again: make sim SEED={result.seed}"])

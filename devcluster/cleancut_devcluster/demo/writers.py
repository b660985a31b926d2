"""Causal writers, and what their chains say about a backup that was made meanwhile.

A writer sends point k of its chain only after point k - 1 was acknowledged. A state that existed
at one instant therefore holds a chain without holes; a hole is a point missing from the middle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from cleancut.core.primitives.errors import CleancutError
from cleancut.runtime.concurrency import first_of
from cleancut_devcluster.demo.data import Data, make_vectors

FIRST_ID = 1_000_000_000
CHAIN_IDS = 100_000
_AGAIN_S = 0.005
_VECTORS = 256


@dataclass(slots=True)
class Chain:
    """One writer's points; `acknowledged_s` is wall-clock time, point by point. `refused`: how many
    tries a fence turned away."""

    number: int
    acknowledged_s: list[float] = field(default_factory=list)
    refused: int = 0

    def point(self, step: int) -> int:
        """Ids hash to all shards, so that neighbours in a chain rarely share one."""
        return FIRST_ID + self.number * CHAIN_IDS + step


@dataclass(frozen=True, slots=True)
class Holes:
    """What a backup holds of the chains.

    `holes`: points missing below a chain's last one. `lost`: points missing although they were
    acknowledged before the cuts began, which no consistent backup may have.
    """

    points: int
    holes: int
    lost: int


@dataclass(frozen=True, slots=True)
class WriteRate:
    """How writers go about it. `keep`: how many points of its chain a writer leaves, deleting the
    oldest; 0: all."""

    patient: bool
    pause_s: float
    keep: int = 0


@asynccontextmanager
async def writing(
    data: Data,
    writers: int,
    *,
    patient: bool = False,
    pause_s: float = 0.0,
    keep: int = 0,
    first: int = 0,
) -> AsyncIterator[list[Chain]]:
    """The chains from number `first` on, while writers extend them, with a pause between points; at
    the block's end the last writes have ended.

    Raises: what a refused write raises, out of the block; `patient` writers try it again.
    """
    chains = [Chain(number) for number in range(first, first + writers)]
    stop, pace = asyncio.Event(), WriteRate(patient, pause_s, keep)
    try:
        async with asyncio.TaskGroup() as group:
            for chain in chains:
                group.create_task(_write(data, chain, stop, pace))
            try:
                yield chains
            finally:
                stop.set()
    except BaseExceptionGroup as failures:
        raise first_of(failures) from failures


async def _write(data: Data, chain: Chain, stop: asyncio.Event, pace: WriteRate) -> None:
    while not stop.is_set():
        step = len(chain.acknowledged_s)
        at = step % _VECTORS
        if at == 0:  # each point has its own, so that no search has ties
            vectors = make_vectors(data.shape, chain.point(step), _VECTORS)
        payload = {"chain": chain.number, "step": step, "category": "chain"}
        try:
            await data.upsert([chain.point(step)], vectors[at : at + 1], [payload])
        except CleancutError:
            if not pace.patient:
                raise
            chain.refused += 1
            await asyncio.sleep(_AGAIN_S)
            continue
        chain.acknowledged_s.append(time.time())
        if 0 < pace.keep <= step:
            await data.delete([chain.point(step - pace.keep)])
        if pace.pause_s:
            await asyncio.sleep(pace.pause_s)


@asynccontextmanager
async def changing(data: Data, pause_s: float, share: float = 0.2) -> AsyncIterator[None]:
    """Inside the block a share of the shape's points is written again and again, so that Qdrant
    has segments to optimize."""

    async def change() -> None:
        while True:
            await data.change(share)
            await asyncio.sleep(pause_s)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(change())
        yield
        task.cancel()


async def wait_written(chains: Iterable[Chain], count: int, limit_s: float = 30.0) -> None:
    """Returns once every chain has `count` points. Raises: TimeoutError."""
    async with asyncio.timeout(limit_s):
        while True:
            if all(len(chain.acknowledged_s) >= count for chain in chains):
                return
            await asyncio.sleep(0.02)


def stall_ms(chains: Iterable[Chain]) -> int:
    """The longest time between two acknowledged points of any chain."""
    gaps = (b - a for chain in chains for a, b in pairwise(chain.acknowledged_s))
    return round(max(gaps, default=0.0) * 1000)


def broken_windows(chains: Iterable[Chain], found: Mapping[int, set[int]], keep: int) -> list[str]:
    """What is wrong with the steps `found` of writers that each leave `keep` points: at any instant
    they are consecutive, and at most one more, which is just being deleted."""
    wrong = []
    for chain in chains:
        steps = found.get(chain.number, set())
        if not steps:
            wrong.append(f"chain {chain.number} has no point")
        elif max(steps) - min(steps) + 1 != len(steps) or len(steps) > keep + 1:
            wrong.append(f"chain {chain.number}: {len(steps)} in {min(steps)}..{max(steps)}")
    return wrong


def find_holes(
    chains: Iterable[Chain], found: Mapping[int, set[int]], cut_at_s: float | None
) -> Holes:
    """Compares what was acknowledged with the steps `found` in a backup, by chain.

    `cut_at_s`: when the cuts began, by the clock of the writers; None: not known.
    """
    points = holes = lost = 0
    for chain in chains:
        steps = found.get(chain.number, set())
        points += len(steps)
        holes += max(steps, default=-1) + 1 - len(steps)
        before = () if cut_at_s is None else chain.acknowledged_s
        lost += sum(
            1 for step, at_s in enumerate(before) if at_s < (cut_at_s or 0) and step not in steps
        )
    return Holes(points, holes, lost)

"""Canaries of a backup: what to ask is chosen in PREPARE, and asked inside the cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

from cleancut.core.format.manifest import CollectionEntry
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, TimedOut, Unavailable
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.documents import Canaries, Canary, Question
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.verification.canaries import (
    LIMIT,
    POINTS,
    Sample,
    askable,
    canary_of,
    in_turn,
    questions,
)
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import get_checked
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext

CANARY_S = 0.5
"""For all canaries of a backup together, in seconds. Every write that comes meanwhile costs a shard
its proof, and under a fence clients wait for it: so what takes longer is left out."""
CHOOSE_S = 5.0
_AT_ONCE = 8


async def choose_questions(
    context: CoordinatorContext, entries: Sequence[CollectionEntry]
) -> tuple[Question, ...]:
    """What to ask inside the cut: the first points of each vector, by id, so that one backup asks
    what the next one does. What cannot be read in time is not asked; never a failure."""
    found: dict[tuple[str, str], tuple[Sample, ...]] = {}

    async def look(entry: CollectionEntry, vector: str) -> None:
        async def points(peer: Qdrant) -> tuple[Sample, ...]:
            return await peer.points_with(entry.name, vector, POINTS, timeout_s=CHOOSE_S)

        with contextlib.suppress(CleancutError):
            found[entry.name, vector] = await ask_any(context.peers, points)

    looks = [partial(look, entry, vector) for entry in entries for vector in askable(entry.info)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CHOOSE_S):
            await run_all(looks, _AT_ONCE)
    chosen: list[Question] = []
    for entry in entries:
        mine = {
            vector: some for (name, vector), some in sorted(found.items()) if name == entry.name
        }
        chosen += questions(entry.info, entry.name, mine)
    return in_turn(chosen)


async def read_canaries(
    context: CoordinatorContext, epoch: Epoch, asked: Sequence[Question]
) -> Canaries | None:
    """The answers that come within `CANARY_S`; None for none. Never a failure."""
    answers: list[Canary] = []

    async def ask(number: int, question: Question) -> None:
        async def nearest(peer: Qdrant) -> tuple[tuple[str | int, float], ...]:
            return await peer.nearest(
                question.collection,
                question.target,
                vector_name=question.vector,
                shard_key=question.shard_key,
                limit=LIMIT,
                timeout_s=CANARY_S,
                all_replicas=question.replicated,
            )

        first = number % len(context.peers)
        peers = (*context.peers[first:], *context.peers[:first])
        with contextlib.suppress(CleancutError):
            canary = canary_of(question, await ask_any(peers, nearest))
            answers.extend([canary] if canary else [])

    asks = [partial(ask, number, question) for number, question in enumerate(asked)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANARY_S):
            await run_all(asks, _AT_ONCE)
    return Canaries(epoch=epoch, canaries=tuple(answers)) if answers else None


async def stored_canaries(context: CoordinatorContext, ctl: Ctl) -> tuple[Canary, ...]:
    """What was read inside the cut of this attempt; () if it never got into the store."""
    if not ctl.canaries:
        return ()
    path = context.paths.staged(ctl.epoch, ctl.canaries)
    try:
        data = await get_checked(context.store, path, ctl.canaries)
        return decode(Canaries, data, path).canaries
    except (Corrupt, NotFound, TimedOut, Unavailable):
        return ()

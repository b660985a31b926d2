"""The last look at what was restored, before clients get it: the group's canaries, asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from cleancut.canaries import LIMIT, Hit, is_equal
from cleancut.errors import CleancutError, Corrupt, NotFound, Unavailable
from cleancut.io.qdrant import Qdrant
from cleancut.io.tasks import run_all
from cleancut.manifest import Canary
from cleancut.restored import RestoreDraft, RestoreReport
from coordinator.context import Context
from coordinator.peers import ask_any

ASK_S = 30.0
"""For one answer: a search reads all vectors, which nobody has read since they were restored."""
ASK_ALL_S = 600.0
_TRIES = 3
_PAUSE_S = 1.0
_AT_ONCE = 4


async def with_canaries(
    context: Context, draft: RestoreDraft, report: RestoreReport
) -> RestoreReport:
    """The report, with `canaries_equal` of each collection that the group has some of.

    Raises: Corrupt, naming the first answer that is another one; Unavailable, if one cannot be had.
    """
    if not draft.canaries:
        return report
    created = {planned.name: planned.created_as for planned in draft.planned}
    asks = [partial(_check, context, created[one.collection], one) for one in draft.canaries]
    try:
        async with asyncio.timeout(ASK_ALL_S):
            await run_all(asks, _AT_ONCE)
    except TimeoutError as error:
        raise Unavailable(f"searching took over {ASK_ALL_S:.0f} s", "see Qdrant's logs") from error
    asked = {canary.collection for canary in draft.canaries}
    return replace(
        report,
        collections=tuple(
            replace(entry, canaries_equal=True if entry.name in asked else None)
            for entry in report.collections
        ),
    )


async def _check(context: Context, name: str, canary: Canary) -> None:
    found = await _ask(context, name, canary)
    if found is not None and is_equal(canary, found):
        return
    vector = f"vector {canary.vector!r}" if canary.vector else "the vector"
    expected = list(zip(canary.ids, canary.scores, strict=True))
    told = "no such point" if found is None else _shown(found)
    raise Corrupt(
        f"collection {name!r} answers otherwise than when it was backed up: nearest to"
        f" {vector} of point {canary.query!r} were {_shown(expected)}, and now are {told}",
        "verify the backup, or restore another one",
    )


async def _ask(context: Context, name: str, canary: Canary) -> tuple[Hit, ...] | None:
    """The answer of any peer; None, if the point is not there."""

    async def nearest(peer: Qdrant) -> tuple[Hit, ...]:
        return await peer.nearest(
            name, canary.query, vector_name=canary.vector, limit=LIMIT, timeout_s=ASK_S
        )

    last = ""
    for turn in range(_TRIES):
        if turn:
            await context.clock.sleep(_PAUSE_S)
        try:
            return await ask_any(context.peers, nearest)
        except NotFound:
            return None
        except CleancutError as error:
            last = error.message
    raise Unavailable(f"collection {name!r} cannot be searched: {last}", "see Qdrant's logs")


def _shown(hits: Sequence[Hit]) -> str:
    return ", ".join(f"{point} ({score:.6g})" for point, score in hits) or "none"

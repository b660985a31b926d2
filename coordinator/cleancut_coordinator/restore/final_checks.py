"""The last look at what was restored, before clients get it: that it still is what was made, and
the group's canaries, asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import WITHOUT_CLUSTER
from cleancut.core.protocol.documents import Canary
from cleancut.core.restore.report import Creation, ObservedCollection, RestoreDraft, RestoreReport
from cleancut.core.verification.canaries import LIMIT, Hit, is_equal, tolerance_of
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import ask_any, first_peer
from cleancut_coordinator.context import CoordinatorContext

ASK_S = 30.0
"""For one answer: a search reads all vectors, which are unread since they were restored."""
ASK_ALL_S = 600.0
_TRIES = 3
_PAUSE_S = 1.0
_AT_ONCE = 4
_OTHERS = "keep clients away from the collection, then restore again"


async def observe_created(
    context: CoordinatorContext, known: Mapping[str, Creation], name: str
) -> ObservedCollection:
    """A collection that this attempt made, as any one peer shows it. `known`: what it recorded.

    Raises: NotFound, if it has gone; Refused, if it is another one by now; Unavailable, TimedOut.
    """
    peer = await first_peer(context.peers)
    found = (await peer.telemetry()).collections.get(name)
    made = known.get(name)
    if found is None or made is None or made.outcome != "made":
        raise NotFound(f"collection {name!r} has gone while it was restored", _OTHERS)
    if (found.uuid or "") != made.uuid:
        raise Refused(f"collection {name!r} was replaced while it was restored", _OTHERS)
    placement = await peer.placement(name)
    enabled = (await peer.cluster()).enabled
    info = await peer.collection(name)
    return ObservedCollection(
        active=all(replica.state == ACTIVE for replica in placement.shards),
        schema=dict(info.get("payload_schema") or {}),
        places=tuple(
            (shard, at if enabled else WITHOUT_CLUSTER) for shard, at in placement.places()
        ),
        shard_keys=placement.shard_keys(),
        config=info["config"],
    )


async def check_canaries(
    context: CoordinatorContext, draft: RestoreDraft, report: RestoreReport
) -> RestoreReport:
    """The report, with `canaries_equal` of each collection that the group has some of, and a
    warning for each that answers otherwise: counts and checksums have proven the data already.

    Raises: Corrupt, if the restore is strict, naming the first answer that is another one.
    """
    asked = [canary for canary in draft.canaries if canary.target is not None]
    if not asked:
        return report
    created = {planned.name: planned.created_as for planned in draft.planned}
    infos = {entry.name: entry.info for entry in draft.collections}
    differ: dict[int, str] = {}

    async def check(number: int, canary: Canary) -> None:
        tolerance = tolerance_of(infos[canary.collection], canary.vector)
        name = created[canary.collection]
        if difference := await _difference(context, name, canary, tolerance):
            differ[number] = difference

    try:
        async with asyncio.timeout(ASK_ALL_S):
            await run_all([partial(check, *one) for one in enumerate(asked)], _AT_ONCE)
    except TimeoutError:
        differ.setdefault(0, f"sample searches took over {ASK_ALL_S:.0f} s")
    found = [what for _, what in sorted(differ.items())]
    if found and draft.strict:
        raise Corrupt(found[0], "verify the backup, restore another one, or leave out --strict")
    names, wrong = {one.collection for one in asked}, {asked[one].collection for one in differ}
    return replace(
        report,
        warnings=(*report.warnings, *found),
        collections=tuple(
            replace(entry, canaries_equal=entry.name not in wrong if entry.name in names else None)
            for entry in report.collections
        ),
    )


async def _difference(
    context: CoordinatorContext, name: str, canary: Canary, tolerance: float
) -> str:
    """What is other than it was, with both answers; "" for nothing."""
    vector = f"vector {canary.vector!r}" if canary.vector else "the vector"
    try:
        found = await _ask(context, name, canary)
    except Unavailable as error:
        return error.message
    if is_equal(canary, found, tolerance):
        return ""
    expected = list(zip(canary.ids, canary.scores, strict=True))
    return (
        f"collection {name!r} answers otherwise than when it was backed up: nearest to"
        f" {vector} of point {canary.query!r} were {_shown(expected)}, and now are {_shown(found)}"
    )


async def _ask(context: CoordinatorContext, name: str, canary: Canary) -> tuple[Hit, ...]:
    """The answer of any peer. Raises: Unavailable."""

    async def nearest(peer: Qdrant) -> tuple[Hit, ...]:
        return await peer.nearest(
            name,
            canary.target,
            vector_name=canary.vector,
            limit=LIMIT,
            timeout_s=ASK_S,
            shard_key=canary.shard_key,
        )

    last = ""
    for turn in range(_TRIES):
        if turn:
            await context.clock.sleep(_PAUSE_S)
        try:
            return await ask_any(context.peers, nearest)
        except CleancutError as error:
            last = error.message
    raise Unavailable(f"collection {name!r} cannot be searched: {last}", "see Qdrant's logs")


def _shown(hits: Sequence[Hit]) -> str:
    return ", ".join(f"{point} ({score:.6g})" for point, score in hits) or "none"

"""Restores with reshards: what an attempt leaves to the one after them, and the last look before
names are published.

The collections and their uuids are recorded under the epoch that made them. The later attempt has
an epoch of its own, and records them again: whatever it changes is guarded by that.
"""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.followers import open_reshards_of, waits_for_reshards
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.restore.phases import TakeUp
from cleancut.core.restore.report import ObservedCollection, RestoreDraft, RestoreReport
from cleancut.core.restore.resharded_report import report_resharded
from cleancut.core.restore.target import PromisedName
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import put_staged
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.high_water import put_ended
from cleancut_coordinator.leader.requests import load_all
from cleancut_coordinator.restore.create_collections import known_creations
from cleancut_coordinator.restore.final_checks import observe_created
from cleancut_coordinator.restore.publish import find_replaced
from cleancut_coordinator.restore.source_hold import drop_hold
from cleancut_coordinator.restore.staged import load_staged


async def make_way(context: CoordinatorContext, draft: RestoreDraft) -> OperationId:
    """The last reshard that is to come first; "" if there is none. Then the backup is not needed
    any more, and the attempt is marked as over. Repeatable."""
    recorded = await load_all(context, OperationKind.RESHARD)
    reshards = open_reshards_of(draft.operation, recorded)
    if not reshards:
        return OperationId("")
    await drop_hold(context, draft)
    await put_ended(context, draft.epoch, State.PENDING)
    return reshards[-1]


async def take_up(context: CoordinatorContext, effect: TakeUp) -> str:
    """Raises: NotFound, Corrupt, and what the store does."""
    before, sha256 = effect.before

    async def stage(document: Record) -> str:
        return await put_staged(context.store, context.paths, effect.epoch, document)

    report = await load_staged(context, RestoreReport, before, sha256)
    draft = await load_staged(context, RestoreDraft, before, report.draft)
    for creation in (await known_creations(context, before)).values():
        await stage(replace(creation, epoch=effect.epoch))
    verified = await stage(replace(report, epoch=effect.epoch))
    return await stage(replace(draft, epoch=effect.epoch, verified=verified))


async def review_resharded(context: CoordinatorContext, draft: RestoreDraft) -> RestoreReport:
    """The report as it is now that the reshards are over: each has counted all replicas by the hash
    ring, so that all points are counted once more here, and no shard.

    Raises: Refused, if a collection is not what was restored, is still resharded, or holds other
        points; NotFound, Unavailable, TimedOut.
    """
    report = await load_staged(context, RestoreReport, draft.epoch, draft.verified)
    known = await known_creations(context, draft.epoch)
    kept = await find_replaced(context, draft)
    looks: dict[str, ObservedCollection] = {}
    counts: dict[str, int] = {}
    for planned in draft.planned:
        await _check_settled(context, planned.created_as)
        looks[planned.name] = await observe_created(context, known, planned.created_as)
        counts[planned.name] = await _count(context, planned.created_as)
    return report_resharded(draft, report, looks, counts, kept=kept)


async def _check_settled(context: CoordinatorContext, name: str) -> None:
    async def under_way(peer: Qdrant) -> bool:
        return bool((await peer.placement(name)).resharding)

    if await ask_any(context.peers, under_way):
        raise Refused(
            f"collection {name!r} is still being resharded",
            "end that resharding (see `cleancut reshard list`), then point the aliases to the"
            " collection, or restore again",
        )


async def _count(context: CoordinatorContext, name: str) -> int:
    return await ask_any(context.peers, lambda peer: peer.count_collection(name))


async def read_promised(context: CoordinatorContext) -> tuple[PromisedName, ...]:
    """The names that restores will publish once their reshards are over. Raises: NotFound, Corrupt,
    and what the store does."""
    found = list[PromisedName]()
    for restore in await load_all(context, OperationKind.RESTORE):
        if waits_for_reshards(restore):
            report = await load_staged(context, RestoreReport, restore.detail_at, restore.detail)
            names = {
                name for one in report.collections for name in (one.published_as, *one.aliases)
            }
            found += [PromisedName(name=one, restore=restore.id) for one in sorted(names)]
    return tuple(found)

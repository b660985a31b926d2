"""Publishes what was restored and verified: aliases, settings that only a PATCH takes, and strict
mode and quotas last, since they may forbid everything else."""

from __future__ import annotations

from collections.abc import Mapping

from cleancut.core.cluster.collection_config import later_optimizers, later_params, strict_mode
from cleancut.core.format.manifest import CollectionEntry
from cleancut.core.primitives.errors import CleancutError, Refused, TimedOut
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.report import ReplacedCollection, RestoreDraft
from cleancut.core.restore.upload_names import left_names
from cleancut.qdrant.client import Qdrant
from cleancut_coordinator.any_peer import ask_any, first_peer
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import check_phase
from cleancut_coordinator.restore.overwrite import delete_old

_APPLY_S = 15.0
_POLL_S = 0.1


async def publish_restore(
    context: CoordinatorContext, draft: RestoreDraft, read_s: float | None = None
) -> bool:
    """All is as the plan says; what was repaired was never hidden. Repeatable. False, if what is
    overwritten has to be read before, see `delete_old`.

    Raises: Refused, if an alias was pointed elsewhere meanwhile; Unavailable, TimedOut, Fenced.
    """
    if draft.repairs:
        return True
    peer = await first_peer(context.peers)
    if not await delete_old(context, draft, read_s):
        return False
    await _set_aliases(context, peer, draft)
    await _set_metadata(peer, draft)
    each = tuple(zip(draft.planned, draft.collections, strict=True))
    for planned, entry in each:
        await _patch(peer, planned.created_as, entry)
    for planned, entry in each:
        strict = strict_mode(entry.info)
        if strict:
            await peer.patch_collection(planned.created_as, {"strict_mode_config": strict})
    if draft.quotas is not None:
        await peer.put_quotas(draft.quotas)
    return True


async def find_replaced(
    context: CoordinatorContext, draft: RestoreDraft
) -> tuple[ReplacedCollection, ...]:
    """What the aliases that are to be replaced point to, identified by its uuid.

    Order: before anything is published. Raises: Refused, if an alias is not as it was planned.
    """
    aliases = await ask_any(context.peers, lambda peer: peer.aliases())
    _check_aliases(draft, aliases)
    if draft.old is not None:
        return ()  # a backup has it, and not the cluster
    found = (await ask_any(context.peers, lambda peer: peer.telemetry())).collections
    kept: dict[str, list[str]] = {}
    for alias, name in (pair for planned in draft.planned for pair in planned.replaced):
        kept.setdefault(name, []).append(alias)
    return tuple(
        ReplacedCollection(
            collection=name,
            uuid=(found[name].uuid or "") if name in found else "",
            aliases=tuple(sorted(kept[name])),
        )
        for name in sorted(kept)
    )


def _check_aliases(draft: RestoreDraft, there: Mapping[str, str]) -> None:
    """Raises: Refused, unless each alias still is as the plan found it, or already ours."""
    for planned in draft.planned:
        before = dict(planned.replaced)
        for alias in planned.aliases:
            now = there.get(alias)
            if now not in {before.get(alias), planned.created_as}:
                raise Refused(
                    f"alias {alias!r} of {planned.created_as!r} "
                    + (f"was pointed to {now!r} meanwhile" if now else "was deleted meanwhile"),
                    "see who changes aliases; plan and restore again, or set it by hand",
                )


async def _set_aliases(context: CoordinatorContext, peer: Qdrant, draft: RestoreDraft) -> None:
    """All in one call, so that no client sees some of them only.

    Order: targets first, since Qdrant keeps what precedes a failing action.
    """
    there = await peer.aliases()
    _check_aliases(draft, there)
    names = set(await peer.collections())
    wanted = {alias: one.created_as for one in draft.planned for alias in one.aliases}
    for alias, name in wanted.items():
        if name not in names:
            raise Refused(f"collection {name!r} has gone before it was published", "restore again")
        if alias in names:
            raise Refused(
                f"alias {alias!r} of {name!r} is the name of a collection by now",
                "rename or delete that collection",
            )
    missing = {alias: name for alias, name in wanted.items() if there.get(alias) != name}
    left = [alias for one in draft.planned for alias in left_names(there, one.created_as)]
    if missing or left:
        await check_phase(context, draft.epoch, Phase.PUBLISH)
        await peer.change_aliases(
            [
                {"create_alias": {"alias_name": alias, "collection_name": name}}
                for alias, name in sorted(missing.items())
            ]
            + [{"delete_alias": {"alias_name": alias}} for alias in left]
        )
    await _wait_seen(context, wanted)


async def _wait_seen(context: CoordinatorContext, wanted: Mapping[str, str]) -> None:
    """Every peer that answers sees the aliases. Raises: TimedOut."""
    clock = context.clock
    deadline_s = clock.monotonic_s() + _APPLY_S
    for peer in context.peers:
        while not await _sees(peer, wanted):
            if clock.monotonic_s() >= deadline_s:
                raise TimedOut(
                    f"the peer at {peer.url} does not see the restored aliases",
                    "look at its consensus state in /cluster",
                )
            await clock.sleep(_POLL_S)


async def _sees(peer: Qdrant, wanted: Mapping[str, str]) -> bool:
    try:
        there = await peer.aliases()
    except CleancutError:
        return True  # a peer that is down learns them when it comes back
    return wanted.items() <= there.items()


async def _set_metadata(peer: Qdrant, draft: RestoreDraft) -> None:
    """Cluster-wide keys that are missing; those that exist are somebody's by now.

    Limits: none without cluster mode.
    """
    if not draft.metadata:
        return
    there = await peer.cluster_metadata()
    for key, value in sorted(draft.metadata.items()):
        if key not in there:
            await peer.put_cluster_metadata(key, value)


async def _patch(peer: Qdrant, name: str, entry: CollectionEntry) -> None:
    params = later_params(entry.info)
    if params:
        await peer.patch_collection(name, {"params": params})
    optimizers = later_optimizers(entry.info)
    if optimizers:
        await peer.patch_collection(name, {"optimizers_config": optimizers})

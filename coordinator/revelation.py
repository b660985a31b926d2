"""Publishes what was restored and verified: aliases, settings that only a PATCH takes, and strict
mode last, since it may forbid everything else."""

from __future__ import annotations

from collections.abc import Mapping

from cleancut.errors import CleancutError, Refused, TimedOut
from cleancut.io.qdrant import Qdrant
from cleancut.manifest import CollectionEntry
from cleancut.recreate import later_params, strict_mode
from cleancut.restored import RestoreDraft
from coordinator.context import Context
from coordinator.recreation import first_peer

_APPLY_S = 15.0
_POLL_S = 0.1


async def reveal(context: Context, draft: RestoreDraft) -> None:
    """All is as the group says. Repeatable.

    Raises: Refused, if an alias was pointed elsewhere meanwhile; Unavailable, TimedOut.
    """
    peer = await first_peer(context)
    await _set_aliases(context, peer, draft)
    await _set_metadata(peer, draft)
    for entry in draft.collections:
        await _patch(peer, entry)
    for entry in draft.collections:
        strict = strict_mode(entry.info)
        if strict:
            await peer.patch_collection(entry.name, {"strict_mode_config": strict})


async def _set_aliases(context: Context, peer: Qdrant, draft: RestoreDraft) -> None:
    """Order: targets first, since Qdrant keeps what precedes a failing action."""
    wanted = {alias: entry.name for entry in draft.collections for alias in entry.aliases}
    there = await peer.aliases()
    for alias, name in wanted.items():
        if there.get(alias, name) != name:
            raise Refused(
                f"alias {alias!r} of {name!r} was pointed to {there[alias]!r} meanwhile",
                "delete that alias, or create the right one by hand",
            )
    names = set(await peer.collections())
    missing = {alias: name for alias, name in wanted.items() if alias not in there}
    for name in missing.values():
        if name not in names:
            raise Refused(f"collection {name!r} has gone before it was published", "restore again")
    if missing:
        await peer.change_aliases(
            [
                {"create_alias": {"alias_name": alias, "collection_name": name}}
                for alias, name in sorted(missing.items())
            ]
        )
    await _wait_seen(context, wanted)


async def _wait_seen(context: Context, wanted: Mapping[str, str]) -> None:
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
    """Cluster-wide keys that are missing; those that exist are somebody's by now."""
    if not draft.metadata:
        return
    there = await peer.cluster_metadata()
    for key, value in sorted(draft.metadata.items()):
        if key not in there:
            await peer.put_cluster_metadata(key, value)


async def _patch(peer: Qdrant, entry: CollectionEntry) -> None:
    params = later_params(entry.info)
    if params:
        await peer.patch_collection(entry.name, {"params": params})

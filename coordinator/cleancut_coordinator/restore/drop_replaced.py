"""Drops the old data that a restore has replaced: what it recorded by uuid, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from cleancut.core.primitives.errors import CleancutError, Fenced, Refused, TimedOut, Unavailable
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.restore.report import ReplacedCollection
from cleancut.qdrant.client import Qdrant
from cleancut_coordinator.any_peer import ask_any, first_peer
from cleancut_coordinator.context import CoordinatorContext

_LOOK_S = 3.0


async def drop_replaced(
    context: CoordinatorContext, token: FencingToken, kept: Iterable[ReplacedCollection]
) -> None:
    """All of `kept` is gone. Repeatable.

    Raises: Refused, before anything is dropped, if an alias points to some of it, or it cannot be
        distinguished from other data of that name; Unavailable, TimedOut, Fenced.
    """
    peer = await first_peer(context.peers)
    garbage = [one for one in kept if await _is_there(peer, one)]
    for one in garbage:
        await _check_unused(context, one)
    for one in garbage:
        await _check_leading(context, token)
        await _check_unused(context, one)  # dropping the ones before may have taken long
        if not await _is_there(peer, one):
            continue
        await peer.delete_collection(one.collection)
        if await _is_there(peer, one):
            raise TimedOut(f"collection {one.collection!r} is still there after its deletion")


async def _check_unused(context: CoordinatorContext, one: ReplacedCollection) -> None:
    """Raises: Refused, if any peer that answers shows an alias of it; Unavailable, TimedOut, if
    none answers."""
    pointing: set[str] = set()
    failure: CleancutError | None = None
    answered = False
    for peer in context.peers:
        try:
            aliases = await peer.aliases()
        except (Unavailable, TimedOut) as error:
            failure = error
            continue
        answered = True
        pointing |= {alias for alias, name in aliases.items() if name == one.collection}
    if not answered:
        raise failure or Unavailable("no Qdrant URL was given", "set --qdrant-url")
    if pointing:
        alias = min(pointing)
        raise Refused(
            f"alias {alias!r} points to the old collection {one.collection!r}",
            "point it elsewhere or delete it, if the old data is no longer needed",
            alias=alias,
        )


async def remaining_replaced(
    context: CoordinatorContext, kept: tuple[ReplacedCollection, ...]
) -> tuple[ReplacedCollection, ...]:
    """Those that are in the cluster; all, as recorded, if no peer answers."""
    if not kept:
        return ()
    try:
        there = await ask_any(context.peers, lambda peer: peer.collections(_LOOK_S))
    except CleancutError:
        return kept
    return tuple(one for one in kept if one.collection in there)


async def _is_there(peer: Qdrant, one: ReplacedCollection) -> bool:
    """True for the very collection that was replaced. Raises: Refused, if that is unknown."""
    found = (await peer.telemetry()).collections.get(one.collection)
    if found is None or (one.uuid and found.uuid != one.uuid):
        return False
    if not one.uuid:
        raise Refused(
            f"collection {one.collection!r} has no uuid, as on a Qdrant without cluster mode, so"
            " it may have been created again since",
            "look at it, and delete it by hand",
        )
    return True


async def _check_leading(context: CoordinatorContext, token: FencingToken) -> None:
    """Raises: Fenced, if another coordinator leads by now."""
    found = await context.etcd.get(context.keys.leader)
    if found is None or found.create_revision != token:
        raise Fenced("another coordinator leads now", "repeat the request")

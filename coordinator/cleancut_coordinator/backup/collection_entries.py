"""Entries of collections in a draft: read from any peer, one failure never hiding the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from cleancut.core.backup.assignment import shard_ids, shard_keys
from cleancut.core.cluster.collection_config import vector_names
from cleancut.core.cluster.payload_indexes import unequal_indexes
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import CollectionEntry, Draft
from cleancut.core.primitives.errors import CleancutError, NotFound, TimedOut, Unavailable
from cleancut.core.primitives.ids import ShardId
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext

READ_S = 4.0
"""For one answer of one peer: a shard at a frozen peer makes it hang."""
PATIENT_S = 25.0
"""For the answer that decides whether a collection is sick: a peer that optimizes answers late."""
_AT_ONCE = 32


async def read_entries(
    context: CoordinatorContext, view: View, names: Sequence[str]
) -> tuple[list[CollectionEntry], dict[str, str]]:
    """The entries of those that can be read, and of the others the reasons.

    Raises: Unavailable, if no peer can be reached, or a collection was dropped meanwhile; Denied.
    """
    found: dict[str, CollectionEntry] = {}
    sick: dict[str, str] = {}

    async def read(name: str) -> None:
        try:
            found[name] = _entry(view, name, await _patient_info(context, name))
        except NotFound as error:
            raise Unavailable(f"collection {name!r} was dropped during the backup") from error
        except (Unavailable, TimedOut) as error:
            if isinstance(error, Unavailable) and "status" not in error.context:
                raise  # no peer was reached at all
            sick[name] = error.message

    await run_all([partial(read, name) for name in names], _AT_ONCE)
    return [found[name] for name in names if name in found], sick


async def check_schemas(context: CoordinatorContext, draft: Draft) -> None:
    """Returns if payload indexes and vectors of all collections are what the draft says; one that
    cannot be read now is not compared.

    Raises: Unavailable, naming the collection and what has changed.
    """

    async def check(entry: CollectionEntry) -> None:
        try:
            info = await _info(context, entry.name)
        except CleancutError:
            return
        changed = unequal_indexes(entry.info.get("payload_schema"), info.get("payload_schema"))
        if changed:
            raise Unavailable(
                f"the payload index of field {changed[0]!r} of {entry.name!r} changed during the"
                " backup",
                "create and drop payload indexes at another time than backups run",
            )
        if vector_names(entry.info) != vector_names(info):
            raise Unavailable(
                f"the vectors of {entry.name!r} changed during the backup",
                "add and drop vectors at another time than backups run",
            )

    await run_all([partial(check, entry) for entry in draft.collections], _AT_ONCE)


async def _patient_info(context: CoordinatorContext, name: str) -> dict[str, Any]:
    """Asked once more, with time, where no peer answered in time."""
    try:
        return await _info(context, name)
    except TimedOut:
        return await _info(context, name, PATIENT_S)


async def _info(
    context: CoordinatorContext, name: str, timeout_s: float = READ_S
) -> dict[str, Any]:
    return await ask_any(context.peers, lambda peer: peer.collection(name, timeout_s))


def _entry(view: View, name: str, info: dict[str, Any]) -> CollectionEntry:
    seen = view.collection(name)
    assert seen is not None, "chosen from this very view"
    return CollectionEntry(
        name=name,
        uuid=seen.uuid,
        info=info,
        shard_ids=tuple(ShardId(shard) for shard in shard_ids(seen)),
        shard_keys=shard_keys(seen),
        aliases=tuple(alias for alias, of in view.aliases if of == name),
    )

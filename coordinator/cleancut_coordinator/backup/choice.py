"""Choice of the collections of a backup: those that can be backed up, and those left out."""

from __future__ import annotations

from typing import NamedTuple

from cleancut.core.backup.assignment import (
    Usable,
    check_at_rest,
    choose_collections,
    only_agents_missing,
    sick_collections,
)
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import CollectionEntry
from cleancut.core.protocol.etcd_records import SickCollection
from cleancut.core.protocol.failures import SickCollections
from cleancut.core.protocol.requests import BackupRequest
from cleancut_coordinator.backup.collection_entries import read_entries
from cleancut_coordinator.context import CoordinatorContext


class Choice(NamedTuple):
    """The names of the collections to back up, their entries, and those that are left out."""

    chosen: list[str]
    entries: list[CollectionEntry]
    missing: tuple[SickCollection, ...]


async def choose(
    context: CoordinatorContext,
    view: View,
    usable: Usable,
    request: BackupRequest,
    *,
    patient: bool,
) -> Choice:
    """What of `view` is backed up. `patient`: shards on their way are waited for.

    Raises: ShardsMoving, if it is patient; SickCollections, unless what cannot be backed up may be
        missing; NotFound, Refused (nothing to back up).
    """
    chosen, absent = choose_collections(view, request)
    if patient:
        check_at_rest(view, chosen, usable)
    sick = absent | sick_collections(view, chosen, usable)
    healthy = [name for name in chosen if name not in sick]
    entries, unread = await read_entries(context, view, healthy)
    sick |= unread
    found = tuple(SickCollection(name=name, reason=sick[name]) for name in sorted(sick))
    if found and (not request.allow_missing or not entries):
        away = not unread and only_agents_missing(view, sick, usable)
        raise SickCollections(found, named=bool(request.collections), away=away)
    return Choice([entry.name for entry in entries], entries, found)

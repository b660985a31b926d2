"""Protection of the cluster now: the catalog, the schedules and the live collections, judged.

What the API, and with it the command line and the status page, and the metrics show is this one
judgement.
"""

from __future__ import annotations

import asyncio

from cleancut.core.doctor.protection import (
    Promise,
    Protection,
    RestoreTest,
    judge_protection,
    unknown_protection,
)
from cleancut.core.maintenance.schedule import Do, Schedules, max_age_s
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Corrupt
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_operations
from cleancut_coordinator.maintenance.catalog_reader import CatalogReader

_ASK_S = 2.0
_BOUND_S = 10.0


async def read_protection(context: CoordinatorContext, catalog: CatalogReader) -> Protection:
    """The judgement on what the store holds now. `catalog` keeps what it has read.

    Raises: errors of etcd.
    """
    try:
        async with asyncio.timeout(_BOUND_S):
            await catalog.read()
    except TimeoutError:
        return unknown_protection("the store does not answer in time")
    except CleancutError as error:
        return unknown_protection(error.message)
    return await judge_now(context, catalog)


async def judge_now(context: CoordinatorContext, catalog: CatalogReader) -> Protection:
    """The judgement on what `catalog` has read last. Raises: errors of etcd."""
    try:
        live = await ask_any(context.peers, lambda peer: peer.collections(_ASK_S))
    except CleancutError:
        live = None
    tests = [one for one in (catalog.last_drill(), await _last_restore(context)) if one]
    return judge_protection(
        catalog.protecting(),
        promises_of(context.schedules),
        live,
        context.clock.wall_s(),
        last_restore_test=max(tests, key=lambda one: one.at_s, default=None),
    )


def promises_of(schedules: Schedules) -> list[Promise]:
    """The schedules of backups."""
    return [
        Promise(name, max_age_s(rule), rule.collections, rule.exclude)
        for name, rule in sorted(schedules.items())
        if rule.do is Do.BACKUP
    ]


async def _last_restore(context: CoordinatorContext) -> RestoreTest | None:
    """The newest restore that is done, of those that etcd still knows."""
    done = [
        one
        for one in await read_operations(context)
        if one.kind is OperationKind.RESTORE and one.state is State.DONE and one.ended_at
    ]
    newest = max(done, key=lambda one: one.ended_at, default=None)
    if newest is None:
        return None
    return RestoreTest(kind="restore", at_s=parse_time(newest.ended_at), epoch=_backup_of(newest))


def _backup_of(operation: Operation) -> int:
    """Number of the backup; 0 if the request cannot be read, or names one of another cluster."""
    try:
        request = decode(RestoreRequest, operation.request.encode(), operation.id)
    except Corrupt:
        return 0
    return 0 if request.from_cluster else request.backup

"""Protection of the cluster now: the catalog, the schedules and the live collections, judged.

What the API, and with it the command line and the status page, and the metrics show is this one
judgement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cleancut.core.doctor.protection import (
    Promise,
    Protection,
    RestoreTest,
    judge_protection,
    unknown_protection,
)
from cleancut.core.maintenance.schedule import Do, Schedules, max_age_s
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.protocol.fence import aliases_in_use
from cleancut.repository.history import restore_test_of
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_operations
from cleancut_coordinator.schedules import read_schedules

_ASK_S = 2.0
_BOUND_S = 10.0


async def read_protection(context: CoordinatorContext) -> Protection:
    """The judgement on what the store holds now.

    Raises: errors of etcd.
    """
    try:
        async with asyncio.timeout(_BOUND_S):
            await context.catalog.read()
    except TimeoutError:
        return unknown_protection("the store does not answer in time")
    except CleancutError as error:
        return unknown_protection(error.message)
    return await judge_now(context, await read_live(context))


class LiveNames(NamedTuple):
    """The cluster's collections, and the one behind each alias."""

    collections: Sequence[str]
    aliases: Mapping[str, str]


async def read_live(context: CoordinatorContext) -> LiveNames | None:
    """None, if no peer answers."""
    try:
        there = await ask_any(context.peers, lambda peer: peer.collections(_ASK_S))
        aliases = await ask_any(context.peers, lambda peer: peer.aliases(_ASK_S))
    except CleancutError:
        return None
    return LiveNames(there, aliases_in_use(aliases, there))


async def judge_now(context: CoordinatorContext, live: LiveNames | None) -> Protection:
    """The judgement on what was read of the catalog last, for these collections of the cluster;
    None: they are not known. Raises: errors of etcd."""
    tests = [one for one in (context.catalog.last_drill(), await _last_restore(context)) if one]
    return judge_protection(
        context.catalog.protecting(),
        promises_of(await read_schedules(context)),
        live.collections if live else None,
        context.clock.wall_s(),
        aliases=live.aliases if live else None,
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
    """The newest restore that is done: of those that etcd still knows, or else of the history."""
    known = [restore_test_of(one) for one in await read_operations(context)]
    found = max((one for one in known if one), key=lambda one: one.at_s, default=None)
    if found:
        return context.catalog.remember_restore(found)
    return await context.catalog.last_restore(context.clock.wall_s())

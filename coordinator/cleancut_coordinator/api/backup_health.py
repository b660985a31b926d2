"""Health of the backups, read from the catalog and from etcd."""

from __future__ import annotations

import asyncio

from cleancut.core.doctor.facts import BackupHealth, ScheduleHealth
from cleancut.core.maintenance.inventory import Inventory, partial_backups
from cleancut.core.maintenance.schedule import Do, ScheduleRule, max_age_s
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.outcomes import Outcome, outcome_of
from cleancut.core.protocol.states import FINAL_STATES, SUCCEEDED, OperationKind
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_operations
from cleancut_coordinator.maintenance.protection import judge_now, read_live
from cleancut_coordinator.maintenance.scheduler import read_state
from cleancut_coordinator.schedules import read_policy, read_schedules

_BOUND_S = 10.0


async def read_backup_health(context: CoordinatorContext) -> BackupHealth | None:
    """None, if the store does not answer within the bound.

    Raises: errors of etcd.
    """
    try:
        async with asyncio.timeout(_BOUND_S):
            stock, proven = await context.catalog.read()
    except (CleancutError, TimeoutError):
        return None
    schedules = [
        await _schedule(context, name, rule, stock)
        for name, rule in (await read_schedules(context)).items()
        if rule.do is Do.BACKUP
    ]
    return BackupHealth(
        good=stock.good,
        protection=(await judge_now(context, await read_live(context))).collections,
        last_failed=await _last_failed(context),
        schedules=tuple(schedules),
        verified="verify" in proven,
        drilled="drill" in proven,
        retention=not (await read_policy(context)).keeps_all,
        partial=partial_backups(stock),
        unverified=tuple(
            (one.name, stock.unverified[one.name])
            for one in schedules
            if one.name in stock.unverified
        ),
    )


async def _schedule(
    context: CoordinatorContext, name: str, rule: ScheduleRule, stock: Inventory
) -> ScheduleHealth:
    state = await read_state(context, name)
    newest = stock.schedules.get(name)
    return ScheduleHealth(
        name=name,
        max_age_s=max_age_s(rule),
        last_good_s=newest.group.cut_at_s if newest else None,
        since_s=parse_time(state.since) if state and state.since else None,
        paused=state is not None and state.paused,
    )


async def _last_failed(context: CoordinatorContext) -> Failure | None:
    """Why the newest backup that has ended failed; None, if it did not. One that was cancelled or
    rejected says nothing of backups, so the one before counts."""
    ended = [
        one
        for one in await read_operations(context)
        if one.kind is OperationKind.BACKUP and one.state in FINAL_STATES and one.ended_at
    ]
    decisive = [one for one in ended if outcome_of(one) in {Outcome.COMPLETE, Outcome.FAILED}]
    newest = max(decisive, key=lambda one: one.ended_at, default=None)
    return newest.failure if newest is not None and newest.state not in SUCCEEDED else None

"""Status of a cluster, asked of its coordinators or read from a store alone."""

from __future__ import annotations

import asyncio
import time

from cleancut.api.cluster import ClusterStatus, Diagnosis, StoreStatus
from cleancut.api.protection import Protection, shown_protection
from cleancut.api.schedules import ScheduleList
from cleancut.api.status import Status, status_of
from cleancut.cli import offline
from cleancut.cli.settings import Settings
from cleancut.client.client import Client
from cleancut.core.doctor.protection import (
    ProtectingBackup,
    RestoreTest,
    judge_protection,
    unknown_protection,
)
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.verification.damage import DRILL
from cleancut.ports.store import Store
from cleancut.repository.catalog import list_epochs, read_rows
from cleancut.repository.history import last_restore
from cleancut.repository.verification_log import list_checks, newest_good, read_damage

_LOOK_BACK = 200
_DIAGNOSIS_S = 10.0
"""`cleancut doctor` waits for as long as it takes."""
_UNKNOWN_OFFLINE = (
    "leader, agents, running operations and schedules: the store does not know them",
    "collections that are not in the newest backups, and the schedules' limits on age",
)


async def ask_status(client: Client) -> Status:
    """Raises: what the cluster's own status raises; what else does not answer is unknown."""
    cluster = await client.cluster_status()
    unknown: list[str] = []

    async def protection() -> Protection:
        try:
            return await client.protection()
        except CleancutError as error:
            return shown_protection(unknown_protection(error.message), time.time())

    async def schedules() -> ScheduleList:
        try:
            return await client.list_schedules()
        except CleancutError as error:
            unknown.append(f"schedules: {error.message}")
            return ScheduleList()

    async def diagnosis() -> Diagnosis:
        try:
            async with asyncio.timeout(_DIAGNOSIS_S):
                return await client.diagnose()
        except (CleancutError, TimeoutError) as error:
            unknown.append(f"what is wrong: {str(error) or 'no answer yet'}; see `cleancut doctor`")
            return Diagnosis()

    async with asyncio.TaskGroup() as group:
        judged = group.create_task(protection())
        due = group.create_task(schedules())
        found = group.create_task(diagnosis())
    return status_of(
        cluster,
        judged.result(),
        schedules=due.result().schedules,
        findings=found.result().findings,
        unknown=tuple(unknown),
    )


def read_status_offline(settings: Settings) -> Status:
    """What the store alone says. Raises: what reading it does."""

    async def read(store: Store, paths: Paths) -> Status:
        epochs = (await list_epochs(store, paths))[::-1]
        checks = await list_checks(store, paths)
        damage = await read_damage(store, paths, checks)
        rows = [row async for row in read_rows(store, paths, epochs[:_LOOK_BACK])]
        known = [
            ProtectingBackup(
                epoch=one.epoch,
                cut_at_s=parse_time(one.cut_at),
                collections={entry.name for entry in one.collections},
                schedule=one.schedule,
                damaged=bool(damage.of(one)),
                imported=one.consistency is Consistency.IMPORTED,
                aliases=one.aliases,
                missing=[sick.name for sick in one.missing],
            )
            for one in (row.manifest for row in rows)
            if one is not None
        ]
        drill = newest_good(checks).get(DRILL)
        drilled = drill and RestoreTest(kind=DRILL, at_s=drill.at_s, epoch=drill.epoch)
        now_s = time.time()
        tests = [one for one in (drilled, await last_restore(store, paths, now_s)) if one]
        test = max(tests, key=lambda one: one.at_s, default=None)
        judged = judge_protection(known, (), None, now_s, last_restore_test=test)
        state = StoreStatus(url=settings.store or "", reachable=True, backups=len(epochs))
        return status_of(
            ClusterStatus(cluster=paths.cluster, store=state),
            shown_protection(judged, now_s),
            unknown=_UNKNOWN_OFFLINE,
        )

    return offline.with_store(settings, read)

"""`cleancut status`: whether the data is protected, first; then what runs, and what is wrong."""

from __future__ import annotations

import asyncio
import time

import click

from cleancut.api.cluster import ClusterStatus, Diagnosis, StoreStatus
from cleancut.api.protection import Protection, shown_protection
from cleancut.api.schedules import ScheduleList
from cleancut.api.status import Status, status_of
from cleancut.cli import offline
from cleancut.cli.commands.doctor import lines_of
from cleancut.cli.exit_codes import Exit
from cleancut.cli.render.output import TABLES, emit, print_parts
from cleancut.cli.render.status_tables import status_details, status_facts
from cleancut.cli.settings import Settings, Verb, settings_of
from cleancut.cli.terminal import write_out
from cleancut.cli.wait import ask
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
from cleancut.core.primitives.visible import visible
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.verification.damage import DRILL
from cleancut.ports.store import Store
from cleancut.repository.catalog import list_epochs, read_rows
from cleancut.repository.verification_log import list_checks, newest_good, read_damage

_LOOK_BACK = 200
_DIAGNOSIS_S = 10.0
"""`cleancut doctor` waits for as long as it takes."""
_UNKNOWN_OFFLINE = (
    "leader, agents, running operations and schedules: the store does not know them",
    "collections that are not in the newest backups, and the schedules' limits on age",
)


@click.command(cls=Verb)
@click.option("--exit-code", "as_code", is_flag=True, help="Exit with 1 if not protected.")
@click.pass_context
def status(context: click.Context, /, *, as_code: bool) -> Exit:
    """Say whether each collection has a recent whole backup, then what runs and what is wrong.

    The first line starts with `Protected:` or `NOT protected:`. Protected means: each collection
    has a whole, undamaged backup younger than `max-age` of the strictest schedule that covers it
    (default: one and a half intervals; 26 h where no schedule does). -o wide adds coordinators,
    agents, owner and collections. With --store it is read from the store alone.
    """
    settings = settings_of(context)
    found = _offline(settings) if settings.offline else ask(settings, _ask_status)
    if settings.output in TABLES:
        _print(settings, found)
    else:
        emit(settings.output, "status", found)
    return Exit.FAILED if as_code and not found.protected else Exit.OK


async def _ask_status(client: Client) -> Status:
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


def _offline(settings: Settings) -> Status:
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
            )
            for one in (row.manifest for row in rows)
            if one is not None
        ]
        drill = newest_good(checks).get(DRILL)
        test = drill and RestoreTest(kind=DRILL, at_s=drill.at_s, epoch=drill.epoch)
        now_s = time.time()
        judged = judge_protection(known, (), None, now_s, last_restore_test=test)
        state = StoreStatus(url=settings.store or "", reachable=True, backups=len(epochs))
        return status_of(
            ClusterStatus(cluster=paths.cluster, store=state),
            shown_protection(judged, now_s),
            unknown=_UNKNOWN_OFFLINE,
        )

    return offline.with_store(settings, read)


def _print(settings: Settings, found: Status) -> None:
    """The sentence, the facts, and what is wrong; `wide`: the details in between."""
    write_out(f"{visible(found.summary)}\n\n")
    print_parts(settings.output, status_facts(found, time.time()))
    if settings.output == "wide":
        print_parts(settings.output, status_details(found))
    if found.findings:
        write_out("\n" + "".join(f"{line}\n" for line in lines_of(found.findings)))

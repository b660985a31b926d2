"""Calls to the coordinators: one for each thing that a decision asks for."""

from __future__ import annotations

from typing import Any

from cleancut.api.backups import Backup
from cleancut.api.restores import Restore
from cleancut.api.schedules import Schedule
from cleancut.client.client import Client
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut_operator.decisions import Call
from cleancut_operator.requests import backup_request, restore_options
from cleancut_operator.resources import Kind, Seen


async def ask(client: Client, seen: Seen, call: Call) -> Backup | Restore | None:
    """The operation of the object afterwards; None: its backup is deleted.

    Order: repeatable. Raises: as the client does.
    """
    name: Any = seen.status.get("id")
    if seen.kind is Kind.RESTORE:
        if call is Call.START:
            spec = seen.spec
            digest = spec.get("planDigest", "")
            options = restore_options(spec)
            return await client.start_restore(str(spec["backup"]), seen.uid, options, digest)
        return await client.get_restore(name)
    match call:
        case Call.START:
            return await client.create_backup(backup_request(seen.spec), seen.uid)
        case Call.DELETE:
            await client.delete_backup(name)
            return None
        case Call.CANCEL:
            try:
                return await client.cancel_backup(name)
            except Refused:  # it has ended by itself meanwhile
                return await client.get_backup(name)
        case _:
            return await client.get_backup(name)


async def look_at_schedule(client: Client, seen: Seen) -> Schedule:
    """The schedule as it is, once it is paused or resumed as the object says, if it says so.

    Order: repeatable. Raises: NotFound, if none is configured under that name; as the client does.
    """
    name = str(seen.spec.get("schedule") or seen.name)
    listed = await client.list_schedules()
    found = next((one for one in listed.schedules if one.name == name), None)
    if found is None:
        raise NotFound(
            f"there is no schedule {name!r} in the settings of the coordinators",
            "add `[schedule.NAME]`, in the chart `settings.schedule`",
        )
    suspend = seen.spec.get("suspend")
    if suspend is None or suspend == found.paused:
        return found
    return await (client.pause_schedule(name) if suspend else client.resume_schedule(name))

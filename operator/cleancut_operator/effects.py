"""Calls to the coordinators: one for each thing that a decision asks for."""

from __future__ import annotations

from typing import Any

from cleancut.api.backups import Backup
from cleancut.api.restores import Restore
from cleancut.api.schedules import Schedule
from cleancut.client.client import Client
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut_operator.decisions import Call, is_of_another, must_define
from cleancut_operator.requests import (
    backup_request,
    defined_schedule,
    restore_options,
    schedule_name,
)
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
    """The schedule as it is, once it is defined, and paused or resumed, as the object says. One
    that the object may not define is left alone.

    Order: repeatable. Raises: NotFound, if there is none of that name and the object defines none;
        as the client does.
    """
    name, found = schedule_name(seen), await _find_schedule(client, seen)
    if must_define(seen, found):
        wanted = defined_schedule(seen, found.revision if found else 0)
        found = await client.put_schedule(wanted)
    if found is None:
        raise NotFound(f"there is no schedule {name!r}", "give `cron` to define it here")
    suspend = seen.spec.get("suspend")
    if suspend is None or suspend == found.paused or is_of_another(seen, found):
        return found
    return await (client.pause_schedule(name) if suspend else client.resume_schedule(name))


async def delete_schedule(client: Client, seen: Seen) -> None:
    """The schedule that the object defines is deleted; another's of the name stays.

    Order: repeatable. Raises: as the client does.
    """
    found = await _find_schedule(client, seen)
    if found is not None and not is_of_another(seen, found):
        await client.delete_schedule(found.name, found.revision, seen.owner)


async def _find_schedule(client: Client, seen: Seen) -> Schedule | None:
    listed = await client.list_schedules()
    return next((one for one in listed.schedules if one.name == schedule_name(seen)), None)

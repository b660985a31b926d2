"""Calls to the coordinators: one for each thing that a decision asks for."""

from __future__ import annotations

from typing import Any

from cleancut.api.backups import Backup
from cleancut.api.restores import Restore
from cleancut.client.client import Client
from cleancut.core.primitives.errors import Refused
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

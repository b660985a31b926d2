"""State of a solo: where it is by default, and whether the store knows another one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.core.primitives.ids import ClusterName
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.cluster_id import read_identities
from cleancut_coordinator.leader.high_water import read_why_behind

_READ_S = 30.0
HINT = (
    "backups and restores are refused; if no other process uses the store under this name, run"
    " `cleancut adopt`: epochs go on above all that the store knows"
)


def default_state(cluster: ClusterName) -> Path:
    """Source: XDG Base Directory Specification. Raises: Invalid, without a home directory."""
    home = os.environ.get("HOME")
    base = os.environ.get("XDG_STATE_HOME") or (home and f"{home}/.local/state")
    if not base:
        raise Invalid("there is no home directory for the state", "give --state DIR")
    return Path(base) / "cleancut" / cluster


async def report_state(context: CoordinatorContext, log: Logger) -> None:
    """Logs a warning if the store belongs to another state, or to a later one of this. A store that
    does not answer is reported by what needs it."""
    try:
        async with asyncio.timeout(_READ_S):
            now = await read_identities(context)
            behind = await read_why_behind(context)
    except (CleancutError, TimeoutError) as error:
        log.warning("the store cannot be read yet", cause=str(error))
        return
    if now.owner_id and not now.equal:
        log.warning("the state was lost, or the store belongs to another cluster", hint=HINT)
    elif behind:
        log.warning("the state has gone back", cause=behind, hint=HINT)

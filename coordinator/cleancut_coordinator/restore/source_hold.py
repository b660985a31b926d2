"""Holds keep another cluster's group from being deleted while it is restored here.

The own catalog needs none: a gc run deletes nothing while an epoch from before it is open.
"""

from __future__ import annotations

import contextlib

from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.restore.report import RestoreDraft
from cleancut_coordinator.context import CoordinatorContext

HOLD_S = 48 * 3600.0


async def put_hold(context: CoordinatorContext, draft: RestoreDraft) -> None:
    """The group is held for 48 h, counted from the operation's first attempt.

    Raises: Unavailable, Denied, Refused, if the store does not take it.
    """
    path = _path(context, draft)
    if await context.store.stat(path) is not None:
        return  # objects are written once
    now_s = context.clock.wall_s()
    hold = Hold(
        operation=draft.operation,
        created_at=format_time(now_s),
        expires_at=format_time(now_s + HOLD_S),
    )
    await context.store.put(path, encode(hold))


async def drop_hold(context: CoordinatorContext, draft: RestoreDraft) -> None:
    """The hold is gone, or else expires by itself."""
    if draft.source:
        with contextlib.suppress(CleancutError):
            await context.store.delete(_path(context, draft))


def _path(context: CoordinatorContext, draft: RestoreDraft) -> str:
    return context.paths.of(draft.source).hold(draft.backup, draft.operation)

"""Holds keep a group of another cluster or store from being deleted while it is restored here.

A hold lasts two days and is renewed for as long as its restore is under way, so that it outlives no
crash by more. The own catalog needs none: a gc run deletes nothing while an epoch from before it is
open.
"""

from __future__ import annotations

import contextlib

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import CleancutError, Corrupt, Fenced, LeaseLost, NotFound
from cleancut.core.primitives.ids import OperationId
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.states import CLOSED, OperationKind
from cleancut.core.restore.report import RestoreDraft
from cleancut.ports.store import Store
from cleancut.repository.catalog import get_checked
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_ctl

HOLD_S = 48 * 3600.0
RENEW_S = 12 * 3600.0
_LOOK_S = 600.0
_NEWEST = 2
"""Holds of a restore that stay: a gc run that reads while they are renewed finds one of them."""


async def put_hold(context: CoordinatorContext, draft: RestoreDraft) -> None:
    """The group is held for a day and a half at least, and two at most. Repeatable.

    Raises: Unavailable, Denied, Refused, if the store does not take it.
    """
    now_s = context.clock.wall_s()
    there = await _holds(context, draft)
    store = context.store_of(draft.store)
    if there and await _expiry_s(store, there[max(there)]) > now_s + HOLD_S - RENEW_S:
        return
    number = max(there, default=-1) + 1  # objects are written once
    hold = Hold(
        operation=draft.operation,
        created_at=format_time(now_s),
        expires_at=format_time(now_s + HOLD_S),
    )
    await store.put(_path(context, draft, number), encode(hold))
    for old in sorted(there)[: 1 - _NEWEST]:
        with contextlib.suppress(CleancutError):  # it expires by itself
            await store.delete(there[old])


async def drop_hold(context: CoordinatorContext, draft: RestoreDraft) -> None:
    """The holds are gone, or else expire by themselves."""
    if draft.elsewhere:
        with contextlib.suppress(CleancutError):
            for path in (await _holds(context, draft)).values():
                await context.store_of(draft.store).delete(path)


async def renew_holds(context: CoordinatorContext, log: Logger) -> None:
    """Keeps the hold of the restore that is under way. Never returns."""
    while True:
        await context.clock.sleep(_LOOK_S)
        try:
            await renew_hold(context)
        except (Fenced, LeaseLost):
            raise
        except CleancutError as error:
            log.warning("hold not renewed", cause=error.message, hint=error.hint)


async def renew_hold(context: CoordinatorContext) -> None:
    """The group that a restore reads now is held for a day and a half at least.

    Raises: what etcd and the store do; Corrupt.
    """
    ctl = await read_ctl(context)
    if ctl.kind is not OperationKind.RESTORE or ctl.phase in CLOSED or not ctl.draft:
        return
    path = context.paths.staged(ctl.epoch, ctl.draft)
    draft = decode(RestoreDraft, await get_checked(context.store, path, ctl.draft), path)
    if draft.elsewhere:
        await put_hold(context, draft)


async def _holds(context: CoordinatorContext, draft: RestoreDraft) -> dict[int, str]:
    """The paths of this operation's holds, by their number; the first one has none in its name."""
    paths = _source(context, draft)
    found = {}
    async for info in context.store_of(draft.store).list(paths.holds_of(draft.backup)):
        name, _, number = paths.parse(info.path).name.partition(".")
        place = whole_number(number or "0")
        if name == draft.operation and place is not None:
            found[place] = info.path
    return found


async def _expiry_s(store: Store, path: str) -> float:
    """When the hold ends; one that cannot be read has ended."""
    try:
        return parse_time(decode(Hold, await store.get(path), path).expires_at)
    except (Corrupt, NotFound):
        return 0.0


def _source(context: CoordinatorContext, draft: RestoreDraft) -> Paths:
    return context.paths.of(draft.source)


def _path(context: CoordinatorContext, draft: RestoreDraft, number: int) -> str:
    name = f"{draft.operation}.{number}" if number else draft.operation
    return _source(context, draft).hold(draft.backup, OperationId(name))

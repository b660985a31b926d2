"""Staged documents of a restore, read."""

from __future__ import annotations

from typing import TypeVar

from cleancut.core.primitives.codec import Record, decode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.restore.report import RestoreDraft, RestoreReport
from cleancut.repository.catalog import get_checked
from cleancut_coordinator.context import CoordinatorContext

R = TypeVar("R", bound=Record)


async def load_staged(context: CoordinatorContext, kind: type[R], epoch: Epoch, sha256: str) -> R:
    """A document of the attempt. Raises: NotFound, Corrupt, and what the store does."""
    path = context.paths.staged(epoch, sha256)
    return decode(kind, await get_checked(context.store, path, sha256), path)


async def load_totals(context: CoordinatorContext, draft: RestoreDraft) -> dict[str, int]:
    """The points that each collection was verified with, by its name in the cluster; none unless
    reshards came in between. Raises: as `load_staged`."""
    if not draft.verified:
        return {}
    report = await load_staged(context, RestoreReport, draft.epoch, draft.verified)
    return {one.created_as: report.total_of(one.name) for one in draft.planned}

"""Plans of backups as API values."""

from __future__ import annotations

from collections.abc import Iterable

from cleancut.api.backups import BackupPlan, MissingCollection, PlannedCut
from cleancut.api.values import to_value
from cleancut.core.backup import plan as core


def shown_plan(plan: core.BackupPlan) -> BackupPlan:
    """The plan with the sums over its shards."""
    fence = plan.fence
    hooks = fence.hooks if fence is not None else ()
    return BackupPlan(
        collections=plan.collections,
        shards=tuple(map(_cut, plan.cuts)),
        missing=tuple(to_value(MissingCollection, one) for one in plan.missing),
        fence_aliases=tuple(one.alias for one in fence.aliases) if fence is not None else (),
        fence_hooked=tuple(sorted(name for hook in hooks for name in hook.collections)),
        notes=plan.notes,
        blockers=plan.blockers,
        size_bytes=_sum(cut.size_bytes for cut in plan.cuts),
        expected_bytes=_sum(cut.expected_bytes for cut in plan.cuts),
    )


def _cut(cut: core.PlannedCut) -> PlannedCut:
    key = None if cut.shard_key is None else str(cut.shard_key)
    return to_value(PlannedCut, cut, shard_key=key, parent_epoch=cut.parent)


def _sum(given: Iterable[int | None]) -> int | None:
    """None, if any is unknown."""
    known = list(given)
    return None if None in known else sum(one for one in known if one is not None)

"""Archive of logs: shards that are not followed, late or without a base, and marks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cleancut.core.doctor import fixes
from cleancut.core.doctor.facts import ArchiveHealth, ArchiveShard, Facts, Finding, Fix

LATE_S = 60.0
NO_MARK_S = 600.0
_SHOWN = 5


def find_archive_problems(facts: Facts) -> Iterator[Finding]:
    """Nothing while nothing is archived."""
    health = facts.archive
    if health is None or not health.shards:
        return
    look = Fix("cleancut archive status", what="shows each shard, and why")
    lost = [one for one in health.shards if one.problem]
    if lost:
        yield Finding(
            kind="not_archived",
            severity="error",
            what=f"{_named(lost)} should be archived and no agent follows the log:"
            f" {lost[0].problem}",
            fixes=(look,),
        )
    late = [one for one in health.shards if not one.problem and one.lag_s > LATE_S]
    if late:
        worst_s = max(one.lag_s for one in late)
        yield Finding(
            kind="archive_late",
            severity="error",
            what=f"operations of {_named(late)} wait to be stored in the archive,"
            f" up to {worst_s:.0f} s: they would be lost with the disk",
            fixes=(look,),
        )
    bare = [one for one in health.shards if one.chain and not one.base]
    if bare:
        command = fixes.back_up(min(one.collection for one in bare))
        yield Finding(
            kind="archive_without_base",
            severity="warning",
            what=f"what is archived of {_named(bare)} cannot be restored yet: no backup was made"
            " since it is followed",
            fixes=(Fix(command, what="a schedule that covers it is asked for one by itself"),),
        )
    yield from _without_mark(health, facts.now_s)


def _without_mark(health: ArchiveHealth, now_s: float) -> Iterator[Finding]:
    at_s = health.last_mark_s
    if at_s is not None and now_s - at_s <= NO_MARK_S:
        return
    since = "never" if at_s is None else f"for {(now_s - at_s) / 60:.0f} min not"
    yield Finding(
        kind="no_mark",
        severity="warning",
        what=f"the archived shards have {since} stood still together: a restore to a time goes back"
        " to such a moment",
        fixes=(Fix("cleancut mark NAME", what="pause the writers for a moment meanwhile"),),
    )


def _named(shards: Sequence[ArchiveShard]) -> str:
    """The shards, the first few by name."""
    names = [f"{one.collection!r}/{one.shard}" for one in shards[:_SHOWN]]
    left = len(shards) - _SHOWN
    return f"{', '.join(names)}{f' and {left} more' if left > 0 else ''}"

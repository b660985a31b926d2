"""Health of the backups: late, failed or missing ones, and what guards them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Set

from cleancut.core.doctor.facts import BackupHealth, Facts, Finding, Fix, ScheduleHealth
from cleancut.core.doctor.protection import why_unprotected
from cleancut.core.primitives.durations import format_duration, rough_duration

_SHOWN = 20


def find_backup_problems(facts: Facts) -> Iterator[Finding]:
    """Nothing, if the catalog could not be read: the store's own finding says so."""
    health = facts.backups
    if health is None:
        return
    late = [one for one in health.schedules if not one.paused and _is_late(one, facts.now_s)]
    for one in health.schedules:
        if one.paused:
            yield _paused(one)
    for one in late:
        yield _late(one, facts.now_s)
    yield from _partial(health)
    yield from _unprotected(facts, health, {one.name for one in late})
    yield from _unproven(health)
    yield from _unwatched(health)


def find_failed(facts: Facts) -> Iterator[Finding]:
    """Why the newest backup failed, if it did."""
    one = facts.backups.last_failed if facts.backups is not None else None
    if one is not None:
        hint = f" ({one.hint})" if one.hint else ""
        yield Finding(
            kind="backup_failed",
            severity="error",
            what=f"the newest backup failed: {one.message}{hint} [{one.reason}]",
            fixes=(Fix("cleancut backup list", what="once the cause is gone, back up again"),),
        )


def _paused(one: ScheduleHealth) -> Finding:
    return Finding(
        kind="schedule_paused",
        severity="info",
        what=f"schedule {one.name!r} is paused: it starts no backup",
        fixes=(Fix(f"cleancut schedule resume {one.name}"),),
    )


def _is_late(one: ScheduleHealth, now_s: float) -> bool:
    """A new schedule has until its limit to make its first backup."""
    return now_s - max(one.last_good_s or 0.0, one.since_s or now_s) > one.max_age_s


def _late(one: ScheduleHealth, now_s: float) -> Finding:
    made = "made no good backup yet"
    if one.last_good_s is not None:
        made = f"is late: its newest good backup is {rough_duration(now_s - one.last_good_s)} old"
    return Finding(
        kind="backup_late",
        severity="error",
        what=f"schedule {one.name!r} {made}; it allows {format_duration(one.max_age_s)}",
        fixes=(Fix("cleancut schedule list", what="see why its last time was skipped"),),
    )


def _partial(health: BackupHealth) -> Iterator[Finding]:
    for epoch, names in health.partial:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield Finding(
            kind="backup_partial",
            severity="warning",
            what=f"backup #{epoch} is partial: it could not hold "
            f"{', '.join(repr(name) for name in names[:_SHOWN])}{more}, and no later one does",
            fixes=(Fix(f"cleancut backup show {epoch}", what="see the reason, and mend it"),),
        )


def _unprotected(facts: Facts, health: BackupHealth, late: Set[str]) -> Iterator[Finding]:
    """What `cleancut status` calls not protected, less what a late schedule explains."""
    if not health.good:
        if facts.collections:
            yield Finding(
                kind="no_backup",
                severity="info",
                what="there is no good backup yet",
                fixes=(Fix("cleancut backup create"),),
            )
        return
    bad = [one for one in health.protection if not one.protected and not one.excluded]
    bad = [one for one in bad if not (one.backup and one.schedule in late)]
    if bad:
        yield Finding(
            kind="unprotected",
            severity="warning",
            what=why_unprotected(bad),
            fixes=(Fix("cleancut backup create"),),
        )


def _unproven(health: BackupHealth) -> Iterator[Finding]:
    if health.good and not health.verified:
        yield Finding(
            kind="never_verified",
            severity="info",
            what="no backup was ever verified",
            fixes=(Fix("cleancut backup verify latest"),),
        )
    for name, newest in health.unverified:
        yield Finding(
            kind="schedule_unverified",
            severity="info",
            what=f"no backup of schedule {name!r} in the store was verified or drilled: the checks"
            " were of other backups",
            fixes=(
                Fix(
                    f"cleancut backup verify {newest}",
                    what='let a schedule do it: do = "verify", with the collections of these',
                ),
            ),
        )
    if health.good and not health.drilled:
        yield Finding(
            kind="never_drilled",
            severity="info",
            what="no backup was ever opened by a drill",
            fixes=(Fix("cleancut backup drill latest"),),
        )


def _unwatched(health: BackupHealth) -> Iterator[Finding]:
    if not health.schedules:
        yield Finding(
            kind="no_schedule",
            severity="info",
            what="no schedule makes backups: add [schedule.NAME] to the coordinators' settings, or"
            " use `cleancut schedule set`",
        )
    if health.schedules and not health.retention:
        yield Finding(
            kind="no_retention",
            severity="info",
            what="nothing deletes old backups: add [retention] to the coordinators' settings",
        )

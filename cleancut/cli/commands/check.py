"""`cleancut backup check`: the age of the newest backups, as monitoring plugins report it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from cleancut.cli.options import collections_option
from cleancut.cli.render.output import TABLES, emit_facts
from cleancut.cli.settings import Settings, Verb, parse_duration, settings_of
from cleancut.cli.terminal import write_out
from cleancut.cli.wait import ask
from cleancut.core.primitives.durations import format_duration
from cleancut.core.primitives.errors import CleancutError, Unavailable
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.primitives.visible import visible
from cleancut.core.protocol.states import State

if TYPE_CHECKING:
    from cleancut.api.backups import Backup
    from cleancut.client.client import Client
    from cleancut.core.doctor.protection import ProtectingBackup

OK, WARNING, CRITICAL = range(3)
_WORDS = ("OK", "WARNING", "CRITICAL")
_LOOK_BACK = 500
_SHOWN = 3


class AgeLimits(NamedTuple):
    """Ages in seconds; `warn_s` 0: none. `require`: of backups that count; "": any."""

    max_s: float
    warn_s: float = 0.0
    require: str = ""


class Age(NamedTuple):
    """A state from 0 to 2, the reason, and the backup with its age if there is one."""

    state: int
    why: str
    backup_id: str = ""
    age_s: float = -1.0


@click.command(cls=Verb)
@click.option(
    "--max-age",
    "max_s",
    type=parse_duration,
    required=True,
    metavar="DURATION",
    help="An older backup is critical (exit code 2).",
)
@click.option(
    "--warn-age",
    "warn_s",
    type=parse_duration,
    default=0.0,
    metavar="DURATION",
    help="An older backup is a warning (exit code 1).",
)
@click.option(
    "--require",
    type=click.Choice(["point-in-time", "fenced"]),
    help="Only such backups count. fenced: point-in-time, and a fence was needed for it and held.",
)
@collections_option
@click.pass_context
def check(
    context: click.Context,
    /,
    max_s: float,
    warn_s: float,
    require: str | None,
    collections: tuple[str, ...],
) -> int:
    """Report in one line whether each collection has a recent backup, for cron and monitoring.

    Exit code 0: it has. 1: older than --warn-age. 2: older than --max-age, missing, or unknown. The
    newest backup of each collection counts, and the oldest of them decides. Without --collection
    these are all of the cluster but for those that schedules exclude. From a store alone, they are
    those of the newest backup of each schedule; with manual backups only, of their last week.
    """
    settings = settings_of(context)
    if warn_s >= max_s:
        raise click.UsageError("--warn-age has to be less than --max-age")
    limits = AgeLimits(max_s, warn_s, require or "")
    try:
        if collections:
            found = _of_named(settings, collections, limits)
        else:
            found = judge_all(*_all(settings), limits, time.time())
    except CleancutError as error:
        found = Age(CRITICAL, f"the age is unknown: {error}")
    line = f"{_WORDS[found.state]}: {found.why}"
    if settings.output in TABLES:
        measured = f" | age={found.age_s:.0f}s;{warn_s or max_s:.0f};{max_s:.0f};0"
        write_out(f"{visible(line)}{measured if found.age_s >= 0 else ''}\n")
    else:
        facts = {"backup_id": found.backup_id, "state": _WORDS[found.state], "why": found.why}
        emit_facts(settings.output, "check", {**facts, "age_s": round(found.age_s, 3)})
    return found.state


def _of_named(settings: Settings, collections: Collection[str], limits: AgeLimits) -> Age:
    """Of a store no more is read than decides. Raises: what reading it does."""
    from cleancut.cli import offline

    def judged(backups: list[Backup]) -> Age:
        return judge(backups, collections, limits, time.time())

    if not settings.offline:
        return judged(list(ask(settings, lambda client: client.list_backups(_LOOK_BACK)).backups))
    found = offline.list_backups(
        settings, _LOOK_BACK, lambda backups: bool(judged(backups).backup_id)
    )
    return judged(found)


def _all(settings: Settings) -> tuple[list[Backup], set[str]]:
    """The newest backups, newest first, and the collections that need one. Raises: Unavailable
    (what there is to protect is not known); what reading them does."""
    from cleancut.cli import offline
    from cleancut.core.doctor.protection import collections_of_recent

    if settings.offline:
        found = offline.list_backups(settings, _LOOK_BACK)
        return found, collections_of_recent(map(_protecting, found))

    async def question(client: Client) -> tuple[list[Backup], set[str]]:
        protection = await client.protection()
        if not protection.known:
            raise Unavailable(protection.reason)
        names = {one.name for one in protection.collections if not one.excluded}
        return list((await client.list_backups(_LOOK_BACK)).backups), names

    return ask(settings, question)


def _protecting(backup: Backup) -> ProtectingBackup:
    """Those without a time protect nothing, and say nothing of what there is."""
    from cleancut.core.doctor.protection import ProtectingBackup

    return ProtectingBackup(
        epoch=Epoch(backup.epoch),
        cut_at_s=parse_time(backup.cut_at) if backup.cut_at else 0.0,
        collections=backup.collections,
        schedule=backup.schedule,
        imported=not backup.cut_at or not _counts(backup, ""),
        missing=[one.name for one in backup.missing],
        aliases=backup.aliases,
    )


def judge(
    backups: Iterable[Backup], collections: Collection[str], limits: AgeLimits, now_s: float
) -> Age:
    """`backups`: newest first; those that are not committed do not count, nor imported ones."""
    good = _good(backups, limits)
    newest = {
        name: next((one for one in good if one.contains(name)), None)
        for name in sorted(set(collections))
    }
    if without := [name for name, backup in newest.items() if backup is None]:
        more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
        return Age(CRITICAL, f"no backup that qualifies holds {', '.join(without[:_SHOWN])}{more}")
    ages = [_judged(one, limits, now_s, name) for name, one in newest.items() if one]
    return max(ages, key=lambda one: one.age_s)


def judge_all(
    backups: Sequence[Backup], names: Collection[str], limits: AgeLimits, now_s: float
) -> Age:
    """All collections that there are. That the newest backup is partial is a warning at least."""
    good = _good(backups, limits)
    if not good:
        return Age(CRITICAL, "no backup qualifies")
    newest = good[0]
    age = judge(good, names, limits, now_s) if names else _judged(newest, limits, now_s)
    if not newest.missing:
        return age
    without = ", ".join(one.name for one in newest.missing)
    return age._replace(
        state=max(age.state, WARNING), why=f"{age.why}; #{newest.epoch} is without {without}"
    )


def _good(backups: Iterable[Backup], limits: AgeLimits) -> list[Backup]:
    return [
        one
        for one in backups
        if one.state is State.COMMITTED and one.cut_at and _counts(one, limits.require)
    ]


def _judged(backup: Backup, limits: AgeLimits, now_s: float, collection: str = "") -> Age:
    assert backup.cut_at
    age_s = max(0.0, now_s - parse_time(backup.cut_at))
    state = CRITICAL if age_s > limits.max_s else OK
    if state == OK and limits.warn_s and age_s > limits.warn_s:
        state = WARNING
    what = f"#{backup.epoch} of {collection}" if collection else f"#{backup.epoch}"
    ages = f"{format_duration(age_s)} old, at most {format_duration(limits.max_s)}"
    return Age(state, f"the newest backup, {what}, is {ages}", backup.id, age_s)


def _counts(backup: Backup, require: str) -> bool:
    from cleancut.api.backups import Evidence
    from cleancut.core.protocol.evidence import Consistency

    evidence = backup.evidence or Evidence()
    if evidence.consistency is Consistency.IMPORTED:
        return False
    match require:
        case "point-in-time":
            return evidence.consistency is Consistency.POINT_IN_TIME
        case "fenced":
            return evidence.fenced
    return True

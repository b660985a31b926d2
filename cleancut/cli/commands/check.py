"""`cleancut backup check`: the age of the newest backup, as monitoring plugins report it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

import click

from cleancut.cli.options import collections_option
from cleancut.cli.render.output import TABLES, emit_facts
from cleancut.cli.settings import Settings, Verb, parse_duration, settings_of
from cleancut.cli.terminal import write_out
from cleancut.cli.wait import ask
from cleancut.core.primitives.durations import format_duration
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.primitives.visible import visible
from cleancut.core.protocol.states import State

if TYPE_CHECKING:
    from cleancut.api.backups import Backup

OK, WARNING, CRITICAL = range(3)
_WORDS = ("OK", "WARNING", "CRITICAL")
_LOOK_BACK = 500


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
    """Report in one line whether the newest backup is recent enough, for cron and monitoring.

    Exit code 0: it is. 1: older than --warn-age. 2: older than --max-age, missing, or unknown. With
    --collection, the newest backup of each counts, and the oldest of them decides.
    """
    settings = settings_of(context)
    if warn_s >= max_s:
        raise click.UsageError("--warn-age has to be less than --max-age")
    limits = AgeLimits(max_s, warn_s, require or "")

    def judged(backups: list[Backup]) -> Age:
        return judge(backups, collections, limits, time.time())

    try:
        found = judged(_newest(settings, lambda backups: bool(judged(backups).backup_id)))
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


def _newest(settings: Settings, suffice: Callable[[list[Backup]], bool]) -> list[Backup]:
    """Newest first; of a store no more than `suffice`. Raises: what reading them does."""
    from cleancut.cli import offline

    if settings.offline:
        return offline.list_backups(settings, _LOOK_BACK, suffice)
    return list(ask(settings, lambda client: client.list_backups(_LOOK_BACK)).backups)


def judge(
    backups: Iterable[Backup], collections: Collection[str], limits: AgeLimits, now_s: float
) -> Age:
    """`backups`: newest first; those that are not committed do not count, nor imported ones."""
    known = [one for one in backups if one.state is State.COMMITTED and one.cut_at]
    good = [one for one in known if _counts(one, limits.require)]
    if not collections:
        return _whole(good[0], limits, now_s) if good else Age(CRITICAL, "no backup qualifies")
    ages = []
    for name in sorted(set(collections)):
        newest = next((one for one in good if one.contains(name)), None)
        if newest is None:
            return Age(CRITICAL, f"no backup that qualifies holds {name}")
        ages.append(_judged(newest, limits, now_s, name))
    return max(ages, key=lambda one: one.age_s)


def _whole(backup: Backup, limits: AgeLimits, now_s: float) -> Age:
    """A partial backup is a warning at least: some collections are not in it."""
    age = _judged(backup, limits, now_s)
    if not backup.missing:
        return age
    names = ", ".join(one.name for one in backup.missing)
    return age._replace(state=max(age.state, WARNING), why=f"{age.why}; without {names}")


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

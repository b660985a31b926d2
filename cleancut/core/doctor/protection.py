"""Protection: whether each collection has a whole, undamaged backup that is young enough. Pure.

The one judgement that the command line, the status page and the metrics show.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from cleancut.core.cluster.restored_names import restore_of
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.durations import format_duration, rough_duration
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.requests import with_targets

UNSCHEDULED_S = 26 * 3600.0
"""Limit of a collection that no schedule covers: a day, and two hours for the backup itself."""
RECENT_S = 7 * 86400.0
"""How much older than the newest manual backup another one may be to say what there is."""
_SHOWN = 3


class ProtectingBackup(NamedTuple):
    """A backup of the catalog. `schedule`: "" for a manual one. `imported`: when its data was
    taken is not known, so it protects nothing. `collections`: those that it holds; what a partial
    one lacks is in `missing` instead. `aliases`: the collection behind each."""

    epoch: Epoch
    cut_at_s: float
    collections: Collection[str]
    schedule: str = ""
    damaged: bool = False
    imported: bool = False
    aliases: Mapping[str, str] = {}
    missing: Collection[str] = ()


class Promise(NamedTuple):
    """A schedule of backups. `max_age_s`: how old its newest backup may be; infinite: it has no
    interval. `collections`: those that it names, none: all. `exclude`: those that it leaves out;
    both by their names or by aliases."""

    name: str
    max_age_s: float
    collections: Collection[str] = ()
    exclude: Collection[str] = ()

    def resolved(self, aliases: Mapping[str, str]) -> Promise:
        """It with the collections behind its names, in addition to these."""
        return self._replace(
            collections=with_targets(self.collections, aliases),
            exclude=with_targets(self.exclude, aliases),
        )


class RestoreTest(Record, frozen=True):
    """The newest proof that a backup can be restored. `kind`: drill | restore."""

    kind: str
    at_s: float
    epoch: int = 0


class CollectionProtection(Record, frozen=True):
    """One collection. `backup`: number of the newest whole, undamaged one that holds it; 0: there
    is none. `schedule`: the strictest that covers it, whose limit counts; "": none. `excluded`:
    schedules leave it out by name and none covers it, so that it is not judged."""

    name: str
    protected: bool
    limit_s: float
    backup: int = 0
    cut_at_s: float = 0.0
    age_s: float = 0.0
    schedule: str = ""
    excluded: bool = False
    damaged: bool = False
    """Whether it has backups, and all of them are damaged."""


class NewestBackup(Record, frozen=True):
    """The newest whole, undamaged backup. `schedule`: that made it; of a manual one, the
    strictest that covers any of its collections. `limit_s`: how old it may be by that."""

    epoch: int
    cut_at_s: float
    age_s: float
    limit_s: float
    schedule: str = ""


class Protection(Record, frozen=True):
    """The judgement. `reason`: a clause that explains it. `known`: False if the catalog could not
    be read; then nothing is protected as far as is known."""

    protected: bool
    reason: str
    collections: tuple[CollectionProtection, ...] = ()
    newest: NewestBackup | None = None
    last_restore_test: RestoreTest | None = None
    known: bool = True


def judge_protection(
    backups: Iterable[ProtectingBackup],
    promises: Sequence[Promise],
    live: Iterable[str] | None,
    now_s: float,
    *,
    aliases: Mapping[str, str] | None = None,
    last_restore_test: RestoreTest | None = None,
) -> Protection:
    """`live`: the cluster's collections; None: not known, so those that schedules name and those
    of recent backups are judged. Collections that a restore has put next to the real ones do not
    count, unless an alias points to them. `aliases`: the cluster's; None: those of these backups
    count."""
    known = sorted((one for one in backups if not one.imported), key=lambda one: one.cut_at_s)
    whole = [one for one in known if not one.damaged]
    if aliases is None:
        aliases = {alias: of for one in _recent(known) for alias, of in one.aliases.items()}
    promises, served = [one.resolved(aliases) for one in promises], set(aliases.values())
    promised = {name for one in promises for name in one.collections if name not in aliases}
    names = collections_of_recent(known) | promised if live is None else live
    if live is None and not names:
        return Protection(
            protected=False,
            reason="no backup counts, and which collections there are is not known",
            last_restore_test=last_restore_test,
        )
    judged = tuple(
        _collection(name, known, promises, now_s)
        for name in sorted(set(names))
        if not restore_of(name) or name in served
    )
    counted = [one for one in judged if not one.excluded]
    bad = [one for one in counted if not one.protected]
    return Protection(
        protected=not bad,
        reason=why_unprotected(bad) if bad else _why(counted),
        collections=judged,
        newest=_newest(whole[-1], promises, now_s) if whole else None,
        last_restore_test=last_restore_test,
    )


def unknown_protection(why: str) -> Protection:
    """The judgement while the catalog cannot be read."""
    return Protection(
        protected=False, reason=f"nothing is known of the backups: {why}", known=False
    )


def summary(value: Protection, now_s: float) -> str:
    """The first line of a status: the verdict, the newest backup, the last restore test."""
    parts = [f"{'Protected' if value.protected else 'NOT protected'}: {value.reason}"]
    if value.newest is not None:
        parts.append(_newest_words(value.newest))
    if value.known:
        parts.append(_test_words(value.last_restore_test, now_s))
    return "; ".join(parts)


def collections_of_recent(backups: Iterable[ProtectingBackup]) -> set[str]:
    """Collections that the newest backup of each schedule holds or lacks; if there are manual ones
    only, those of the last week before the newest one, since each may be of another selection."""
    recent = _recent(sorted(backups, key=lambda one: one.cut_at_s))
    served = {of for one in recent for of in one.aliases.values()}
    names = {name for one in recent for name in (*one.collections, *one.missing)}
    return {name for name in names if not restore_of(name) or name in served}


def _recent(ordered: Sequence[ProtectingBackup]) -> list[ProtectingBackup]:
    """Those that say what there is, oldest first."""
    known = [one for one in ordered if not one.imported]
    newest = {one.schedule: one for one in known if one.schedule}
    if newest or not known:
        return sorted(newest.values(), key=lambda one: one.cut_at_s)
    return [one for one in known if one.cut_at_s >= known[-1].cut_at_s - RECENT_S]


def _collection(
    name: str, ordered: Sequence[ProtectingBackup], promises: Sequence[Promise], now_s: float
) -> CollectionProtection:
    limit_s, schedule = _limit(name, promises)
    holding = [one for one in ordered if name in one.collections]
    newest = next((one for one in reversed(holding) if not one.damaged), None)
    age_s = max(0.0, now_s - newest.cut_at_s) if newest else 0.0
    return CollectionProtection(
        name=name,
        protected=newest is not None and age_s <= limit_s,
        limit_s=limit_s,
        backup=newest.epoch if newest else 0,
        cut_at_s=newest.cut_at_s if newest else 0.0,
        age_s=age_s,
        schedule=schedule,
        excluded=not schedule and any(name in one.exclude for one in promises),
        damaged=bool(holding) and newest is None,
    )


def _limit(name: str, promises: Sequence[Promise]) -> tuple[float, str]:
    """The strictest limit of the schedules that cover the collection, and which one."""
    covering = [
        (one.max_age_s, one.name)
        for one in promises
        if (not one.collections or name in one.collections) and name not in one.exclude
    ]
    limit_s, schedule = min(covering, default=(UNSCHEDULED_S, ""))
    return (limit_s if limit_s < float("inf") else UNSCHEDULED_S), schedule


def _newest(backup: ProtectingBackup, promises: Sequence[Promise], now_s: float) -> NewestBackup:
    limits = {one.name: one.max_age_s for one in promises}
    limit_s, schedule = limits.get(backup.schedule, UNSCHEDULED_S), backup.schedule
    if not schedule:
        limit_s, schedule = min(
            (_limit(name, promises) for name in backup.collections), default=(limit_s, "")
        )
    return NewestBackup(
        epoch=backup.epoch,
        cut_at_s=backup.cut_at_s,
        age_s=max(0.0, now_s - backup.cut_at_s),
        limit_s=limit_s if limit_s < float("inf") else UNSCHEDULED_S,
        schedule=schedule,
    )


def _why(judged: Sequence[CollectionProtection]) -> str:
    match len(judged):
        case 0:
            return "there is no collection to protect"
        case 1:
            return f"{judged[0].name!r} has a recent whole backup"
    return f"all {len(judged)} collections have a recent whole backup"


def why_unprotected(bad: Sequence[CollectionProtection]) -> str:
    """A clause on collections that are not protected."""
    parts = []
    if never := [one for one in bad if not one.backup and not one.damaged]:
        parts.append(f"no backup holds {_named(never)}")
    if damaged := [one for one in bad if one.damaged]:
        parts.append(f"every backup of {_named(damaged)} is damaged")
    if old := sorted((one for one in bad if one.backup), key=lambda one: one.cut_at_s):
        worst = old[0]
        age, limit = _against(worst.age_s, worst.limit_s)
        rest = f" (and so of {len(old) - 1} more)" if len(old) > 1 else ""
        allowed = f"schedule {worst.schedule!r} allows {limit}"
        if not worst.schedule:
            allowed = f"the limit without a schedule is {limit}"
        parts.append(
            f"the newest whole backup of {worst.name!r}{rest}, #{worst.backup}, is {age} old:"
            f" {allowed}"
        )
    return "; ".join(parts)


def _named(some: Sequence[CollectionProtection]) -> str:
    names = ", ".join(repr(one.name) for one in some[:_SHOWN])
    left = len(some) - _SHOWN
    return f"{names} and {left} more" if left > 0 else names


def _newest_words(newest: NewestBackup) -> str:
    age, limit = _against(newest.age_s, newest.limit_s)
    maker = newest.schedule or "without a schedule"
    return f"newest #{newest.epoch}, {age} old ({maker}: at most {limit})"


def _test_words(test: RestoreTest | None, now_s: float) -> str:
    if test is None:
        return "never restore-tested"
    what = f"{test.kind} of #{test.epoch}" if test.epoch else test.kind
    return f"last restore test {rough_duration(max(0.0, now_s - test.at_s))} ago ({what})"


def _against(age_s: float, limit_s: float) -> tuple[str, str]:
    """An age and its limit: the limit is exact, and the words differ if the two do."""
    age, limit = rough_duration(age_s), format_duration(limit_s)
    for unit_s, word in ((86400, "days"), (3600, "h"), (60, "min")):
        if limit_s >= (2 if unit_s == 86400 else 1) * unit_s and limit_s % unit_s == 0:
            limit = f"{limit_s / unit_s:.0f} {word}"
            break
    return (format_duration(age_s) if age == limit else age), limit

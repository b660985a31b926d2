"""Retention rules: which groups expire, which stay, and why. Pure.

Rules count per schedule and per set of collections that a backup was asked for, by the names that
were given or excluded, so backups of one collection never displace backups of the whole cluster,
and those of an alias go on whatever is behind it. Doubt keeps: a backup of an unknown schedule, or
one whose time lies in the future, stays and takes no other one's place. A backup with a life of its
own is judged by that alone: until its end no rule expires it, afterwards none keeps it, and it
takes no place in the rules of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.primitives.timestamps import format_second

MAX_EXPIRE_SHARE = 1 / 3
"""Share of the backups that one gc run expires without a confirmation."""
MAX_SKEW_S = 3600.0
"""Clocks that differ by more are wrong: nothing is deleted by their time."""
_ROUNDING = 1e-9


class Retention(Record, frozen=True, forbid_unknown_fields=True):
    """The groups to keep: the newest ones, and the newest of each of the last hours, days, weeks,
    months and years (UTC) that have one. A group stays if one of these rules keeps it; all 0: every
    group stays.

    `max_age_days`: older ones expire in spite of those rules; 0: no limit. `min_count`: this number
    of the newest stay in any case. Of each collection the newest group, and the newest that is
    point-in-time, always stay; damaged ones do not count.
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    max_age_days: float = 0.0
    min_count: int = 1

    @property
    def counts(self) -> bool:
        """True if any rule counts groups."""
        return any((self.keep_last, *(number for _, number, _ in self.periods())))

    def periods(self) -> tuple[tuple[str, int, Callable[[datetime], object]], ...]:
        """Each rule on periods: its name, the number to keep, and the period of a time."""
        return (
            ("keep-hourly", self.keep_hourly, lambda at: (at.date(), at.hour)),
            ("keep-daily", self.keep_daily, lambda at: at.date()),
            ("keep-weekly", self.keep_weekly, lambda at: at.isocalendar()[:2]),
            ("keep-monthly", self.keep_monthly, lambda at: (at.year, at.month)),
            ("keep-yearly", self.keep_yearly, lambda at: at.year),
        )


_MOST = 1_000_000
KEEP_ALL = Retention()


def check_retention(rules: Retention, where: str) -> None:
    """Checks the rules. Raises: Invalid; `where`: the table that holds them."""
    for name in rules.__struct_fields__:
        number = getattr(rules, name)
        if number < 0:
            raise Invalid(f"{where}: {name.replace('_', '-')} cannot be negative: {number}")
        if number > _MOST:
            raise Invalid(
                f"{where}: {name.replace('_', '-')} is {number}, at most {_MOST} is possible"
            )
    if rules.min_count < 1:
        raise Invalid(f"{where}: min-count must be at least 1")


class Policy(NamedTuple):
    """The rules for each group: those of its schedule, if it has rules of its own; else the
    `general` ones.

    `known`: further schedules, without rules of their own; groups of any other name stay.
    `max_expire_share`: a run that would expire a larger share of all groups needs a confirmation.
    """

    general: Retention = KEEP_ALL
    schedules: Mapping[str, Retention] = MappingProxyType({})
    known: frozenset[str] = frozenset()
    max_expire_share: float = MAX_EXPIRE_SHARE

    def knows(self, schedule: str) -> bool:
        return not schedule or schedule in self.schedules or schedule in self.known

    @property
    def keeps_all(self) -> bool:
        """True if no rule ever expires a group."""
        rules = (self.general, *self.schedules.values())
        return not any(one.counts or one.max_age_days for one in rules)


KEEP_EVERYTHING = Policy()


class GroupFacts(NamedTuple):
    """A group as retention sees it. `cut_s`: seconds since 1970. `counted`: what its collections
    count as, see `CollectionEntry.counted_as`. `point_in_time`: its consistency. `schedule`: the
    one that made it, or "". `selected`: what was asked for; none: all of the cluster. `excluded`:
    what all but these was asked for by: then that counts, whatever it was. `damaged`: its last
    check found damage. `keep_s`: its own life, from the cut on; 0: the rules decide."""

    epoch: Epoch
    operation: OperationId
    cut_s: float
    collections: frozenset[str]
    counted: frozenset[str]
    point_in_time: bool
    schedule: str = ""
    selected: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    damaged: bool = False
    imported: bool = False
    keep_s: float = 0.0

    @property
    def pool(self) -> tuple[str, bool, frozenset[str]]:
        """Groups of one pool are counted together."""
        return self.schedule, bool(self.excluded), self.excluded or self.selected

    @property
    def end_s(self) -> float:
        """When its own life is over."""
        return self.cut_s + self.keep_s


class Judged(NamedTuple):
    """A group, and why it stays or may go."""

    epoch: Epoch
    operation: OperationId
    why: str


class RetentionPlan(NamedTuple):
    """Both oldest first. `unknown`: names of schedules that are not configured, of groups that
    stay for that reason."""

    expired: tuple[Judged, ...]
    kept: tuple[Judged, ...]
    unknown: tuple[str, ...] = ()


def plan_retention(
    groups: Sequence[GroupFacts], policy: Policy, now_s: float, needed: Mapping[Epoch, str]
) -> RetentionPlan:
    """The verdict on each group. `needed`: groups that stay whatever the rules, and why."""
    newest_first = sorted(_in_order(groups, now_s), key=lambda group: group.epoch, reverse=True)
    reasons: dict[Epoch, str] = {}
    pools: dict[tuple[str, bool, frozenset[str]], list[GroupFacts]] = {}
    for group in newest_first:
        if group.imported:
            reasons[group.epoch] = "imported: no rule applies, `cleancut backup delete` removes it"
        elif group.cut_s > now_s + MAX_SKEW_S:
            reasons[group.epoch] = "its time lies in the future, so no rule applies"
        elif group.keep_s:
            if now_s < group.end_s:
                reasons[group.epoch] = f"its own life, until {format_second(group.end_s)}"
        elif not policy.knows(group.schedule):
            reasons[group.epoch] = f"schedule {group.schedule!r} is not configured"
        else:
            pools.setdefault(group.pool, []).append(group)
    for (schedule, *_), pool in pools.items():
        reasons |= _kept_of(pool, policy.schedules.get(schedule, policy.general), now_s)
    present = [
        group for group in newest_first if group.cut_s <= now_s + MAX_SKEW_S and not group.imported
    ]
    reasons = {**_always_kept(present), **reasons, **needed}
    expired, kept = [], []
    for group in reversed(newest_first):
        why = reasons.get(group.epoch)
        if why is not None:
            kept.append(Judged(group.epoch, group.operation, why))
        else:
            expired.append(Judged(group.epoch, group.operation, _why_expired(group, policy, now_s)))
    names = {group.schedule for group in groups if not policy.knows(group.schedule)}
    return RetentionPlan(tuple(expired), tuple(kept), tuple(sorted(names)))


def _why_expired(group: GroupFacts, policy: Policy, now_s: float) -> str:
    if group.keep_s:
        return f"its own life ended at {format_second(group.end_s)}"
    rules = policy.schedules.get(group.schedule, policy.general)
    return "older than max-age-days" if _is_old(group, rules, now_s) else "no rule keeps it"


def needs_confirmation(plan: RetentionPlan, policy: Policy) -> bool:
    """True if a run expires so large a share of the groups that a mistake is likely.

    One group may always expire: with `keep-last = 1` each new backup replaces the one before.
    """
    total = len(plan.expired) + len(plan.kept)
    return len(plan.expired) > max(1.0, policy.max_expire_share * total + _ROUNDING)


def _in_order(groups: Sequence[GroupFacts], now_s: float) -> list[GroupFacts]:
    """The groups with times that never fall from one epoch to the next, so that one which was
    made under a clock that was behind does not count as old."""
    newest_s, found = float("-inf"), []
    for group in sorted(groups, key=lambda group: group.epoch):
        if group.cut_s <= now_s + MAX_SKEW_S:
            newest_s = max(newest_s, group.cut_s)
            group = group._replace(cut_s=newest_s)
        found.append(group)
    return found


def _is_old(group: GroupFacts, rules: Retention, now_s: float) -> bool:
    return bool(rules.max_age_days) and group.cut_s < now_s - rules.max_age_days * 86400.0


def _kept_of(
    newest_first: Sequence[GroupFacts], rules: Retention, now_s: float
) -> dict[Epoch, str]:
    """Damaged groups take no place of whole ones; they stay where they would if they counted."""
    whole = [group for group in newest_first if not group.damaged]
    everything, spared = _kept_by(newest_first, rules, now_s), _kept_by(whole, rules, now_s)
    damaged = {group.epoch for group in newest_first if group.damaged}
    return {epoch: why for epoch, why in everything.items() if epoch in damaged} | spared


def _kept_by(
    newest_first: Sequence[GroupFacts], rules: Retention, now_s: float
) -> dict[Epoch, str]:
    if rules.counts:
        counted = _counted(newest_first, rules)
    else:
        counted = {group.epoch: "no keep rule is set" for group in newest_first}
    young = {
        g.epoch: counted[g.epoch]
        for g in newest_first
        if g.epoch in counted and not _is_old(g, rules, now_s)
    }
    return {group.epoch: "min-count" for group in newest_first[: rules.min_count]} | young


def _always_kept(newest_first: Sequence[GroupFacts]) -> dict[Epoch, str]:
    """Of each collection the newest group, the newest that is point-in-time, and the same among
    whole ones."""
    whole = [group for group in newest_first if not group.damaged]
    return _newest_of_each(newest_first) | _newest_of_each(whole)


def _newest_of_each(newest_first: Sequence[GroupFacts]) -> dict[Epoch, str]:
    kept: dict[Epoch, str] = {}
    seen: set[tuple[str, bool]] = set()
    for group in newest_first:
        kinds = {False, group.point_in_time}
        marks = {(name, kind) for name in group.counted for kind in kinds} - seen
        if marks:
            name, kind = min(marks)
            word = "point-in-time backup" if kind else "backup"
            kept[group.epoch] = f"newest {word} of {name!r}"
            seen |= marks
    return kept


def _counted(newest_first: Sequence[GroupFacts], rules: Retention) -> dict[Epoch, str]:
    kept = {group.epoch: "keep-last" for group in newest_first[: rules.keep_last]}
    for name, number, period_of in rules.periods():
        seen: set[object] = set()
        for group in newest_first:
            period = period_of(datetime.fromtimestamp(group.cut_s, UTC))
            if period not in seen and len(seen) < number:
                seen.add(period)
                kept.setdefault(group.epoch, name)
    return kept

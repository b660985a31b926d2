"""Retention rules: which groups expire, and why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Epoch, OperationId


class Retention(Record, frozen=True, forbid_unknown_fields=True):
    """The groups to keep: the newest ones, and the newest of each of the last hours, days, weeks,
    months and years (UTC) that have one. A group stays if one of these rules keeps it; all 0: every
    group stays.

    `max_age_days`: older ones expire in spite of those rules; 0: no limit. `min_count`: this number
    of the newest stay in any case. Of each collection the newest group, and the newest that is
    proven, always stay. Damaged groups take no whole one's place in any of this.
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
        return any((self.keep_last, *(number for number, _ in self.periods())))

    def periods(self) -> tuple[tuple[int, Callable[[datetime], object]], ...]:
        """The number of periods to keep, of each kind of period."""
        return (
            (self.keep_hourly, lambda at: (at.date(), at.hour)),
            (self.keep_daily, lambda at: at.date()),
            (self.keep_weekly, lambda at: at.isocalendar()[:2]),
            (self.keep_monthly, lambda at: (at.year, at.month)),
            (self.keep_yearly, lambda at: at.year),
        )


KEEP_ALL = Retention()


def check_retention(rules: Retention, where: str) -> None:
    """Checks the rules. Raises: Invalid; `where`: the table that holds them."""
    numbers = (rules.keep_last, rules.min_count, *(number for number, _ in rules.periods()))
    if min(numbers) < 0 or rules.max_age_days < 0:
        raise Invalid(f"{where}: numbers cannot be negative")
    if rules.min_count < 1:
        raise Invalid(f"{where}: min-count must be at least 1")


class Policy(NamedTuple):
    """The rules for each group: those of its schedule, if it has rules of its own; else the
    `general` ones, for all other groups together."""

    general: Retention = KEEP_ALL
    schedules: Mapping[str, Retention] = MappingProxyType({})


KEEP_EVERYTHING = Policy()


class GroupFacts(NamedTuple):
    """A group as retention sees it. `cut_s`: seconds since 1970. `point_in_time`: its
    consistency.
    `schedule`: the one that made it, or "". `damaged`: it is known to be."""

    epoch: Epoch
    operation: OperationId
    cut_s: float
    collections: frozenset[str]
    point_in_time: bool
    schedule: str = ""
    damaged: bool = False


class Expired(NamedTuple):
    """A group that may go, and why."""

    epoch: Epoch
    operation: OperationId
    why: str


def find_expired(groups: Sequence[GroupFacts], policy: Policy, now_s: float) -> tuple[Expired, ...]:
    """The groups that no rule keeps, oldest first."""
    newest_first = sorted(groups, key=lambda group: group.epoch, reverse=True)
    safe = _always_kept(newest_first)
    pools: dict[str, list[GroupFacts]] = {}
    for group in newest_first:
        own = group.schedule in policy.schedules
        pools.setdefault(group.schedule if own else "", []).append(group)
    found = []
    for schedule, pool in pools.items():
        rules = policy.schedules[schedule] if schedule else policy.general
        found += [one for one in _expired_of(pool, rules, now_s) if one.epoch not in safe]
    return tuple(sorted(found))


def _expired_of(
    newest_first: Sequence[GroupFacts], rules: Retention, now_s: float
) -> list[Expired]:
    """Damaged groups stay where they would if they were whole, and take no whole one's place."""
    whole = [group for group in newest_first if not group.damaged]
    if rules.counts:
        counted = _counted(newest_first, rules) | _counted(whole, rules)
    else:
        counted = {group.epoch for group in newest_first}
    least = {group.epoch for group in (*newest_first[: rules.min_count], *whole[: rules.min_count])}
    oldest_s = now_s - rules.max_age_days * 86400.0 if rules.max_age_days else float("-inf")
    found = []
    for group in newest_first:
        if group.epoch in least:
            continue
        if group.cut_s < oldest_s:
            found.append(Expired(group.epoch, group.operation, "older than max-age"))
        elif group.epoch not in counted:
            found.append(Expired(group.epoch, group.operation, "no rule keeps it"))
    return found


def _always_kept(newest_first: Sequence[GroupFacts]) -> set[Epoch]:
    """The newest of each collection, the newest proven one, and the same among whole ones."""
    whole = [group for group in newest_first if not group.damaged]
    return _newest_of_each(newest_first) | _newest_of_each(whole)


def _newest_of_each(newest_first: Sequence[GroupFacts]) -> set[Epoch]:
    kept = set()
    seen: set[tuple[str, bool]] = set()
    for group in newest_first:
        kinds = {False, group.point_in_time}
        marks = {(name, kind) for name in group.collections for kind in kinds}
        if marks - seen:
            kept.add(group.epoch)
            seen |= marks
    return kept


def _counted(newest_first: Sequence[GroupFacts], rules: Retention) -> set[Epoch]:
    kept = {group.epoch for group in newest_first[: rules.keep_last]}
    for number, period_of in rules.periods():
        seen: set[object] = set()
        for group in newest_first:
            period = period_of(datetime.fromtimestamp(group.cut_s, UTC))
            if period not in seen and len(seen) < number:
                seen.add(period)
                kept.add(group.epoch)
    return kept

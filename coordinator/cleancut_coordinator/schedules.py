"""Schedules of the cluster: those of the coordinators' file, and those that calls have defined.

The latter are in etcd, read whenever they are needed: every coordinator sees the same, and a new
leader what its predecessor wrote. A name of the file counts as the file has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from cleancut.core.maintenance.retention import Policy
from cleancut.core.maintenance.schedule import (
    DefinedSchedule,
    ScheduleRule,
    Schedules,
    check_schedule,
)
from cleancut.core.maintenance.stores import check_targets
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, Invalid, Refused
from cleancut.ports.coordination import KeyValue
from cleancut_coordinator.context import CoordinatorContext

MAX_DEFINED = 200
MAX_BYTES = 64 << 10
"""Of one that a call defines."""


class KnownSchedule(NamedTuple):
    """A schedule and where it is from. `revision`: of etcd, at which it was defined; 0 for one of
    the file."""

    rule: ScheduleRule
    owner: str = ""
    revision: int = 0


async def read_known(context: CoordinatorContext) -> dict[str, KnownSchedule]:
    """All schedules by name; what etcd holds and cannot be one is passed over and reported."""
    found = {}
    for item in (await context.etcd.list(context.keys.schedule_rules)).items:
        name = item.key.removeprefix(context.keys.schedule_rules)
        known = read_defined(context, name, item)
        if known is not None:
            found[name] = known
    file = {name: KnownSchedule(rule) for name, rule in context.file_schedules.items()}
    return dict(sorted((found | file).items()))


async def read_schedules(context: CoordinatorContext) -> Schedules:
    """The rules of all schedules, by name."""
    return {name: known.rule for name, known in (await read_known(context)).items()}


async def read_policy(context: CoordinatorContext) -> Policy:
    """What is kept of the backups of each schedule."""
    policy, rules = context.gc.retention, await read_schedules(context)
    own = {name: rule.retention for name, rule in rules.items() if rule.retention is not None}
    return policy._replace(
        schedules={**own, **policy.schedules}, known=policy.known | frozenset(rules)
    )


def read_defined(context: CoordinatorContext, name: str, item: KeyValue) -> KnownSchedule | None:
    """The schedule in a key of etcd; None, reported, if it cannot be one of this coordinator."""
    found, fault = _decoded(name, item.key, item.value)
    if found is not None:
        try:
            check_targets({name: found.rule}, context.stores)
        except Invalid as error:
            fault = error.message
    if fault or found is None:
        context.skipped.add(item.key, fault)
        return None
    return KnownSchedule(found.rule, found.owner, item.mod_revision)


@lru_cache(maxsize=1000)
def _decoded(name: str, key: str, value: bytes) -> tuple[DefinedSchedule | None, str]:
    """With what is wrong with it: its times are counted once, not at every read."""
    try:
        found = decode(DefinedSchedule, value, key)
        check_schedule(name, found.rule)
    except (Corrupt, Invalid) as error:
        return None, error.message
    return found, ""


def check_not_in_file(context: CoordinatorContext, name: str) -> None:
    """Raises: Refused, for a schedule of the file, which no call can change."""
    if name in context.file_schedules:
        raise Refused(
            f"schedule {name} is in the settings file of the coordinators, where it counts",
            f"change it there, or remove [schedule.{name}] and restart them",
        )


def check_change(name: str, before: KnownSchedule | None, owner: str, revision: int) -> None:
    """Raises: Refused, unless the schedule is as the caller has seen it, and of the same owner."""
    if before is None:
        if revision:
            raise Refused(f"schedule {name} was deleted meanwhile", "create it with revision 0")
        return
    if before.owner != owner:
        keeper = before.owner or "a call, not by an object"
        raise Refused(
            f"schedule {name} is defined by {keeper}",
            f"change it there, or delete it first: `cleancut schedule delete {name}`",
        )
    if before.revision != revision:
        raise Refused(
            f"schedule {name} was defined at revision {before.revision}, not {revision}",
            "look at it again: `cleancut schedule list`, then repeat",
        )


def check_room(known: Mapping[str, KnownSchedule], name: str, wanted: DefinedSchedule) -> None:
    """Raises: Invalid, for one that is too large; Refused, for a new one once there are as many as
    may be."""
    size = len(encode(wanted))
    if size > MAX_BYTES:
        raise Invalid(f"schedule {name} takes {size} bytes, {MAX_BYTES} at most", "name less in it")
    others = sum(one.revision > 0 for one in known.values())
    if name not in known and others >= MAX_DEFINED:
        raise Refused(
            f"{others} schedules are defined by calls, {MAX_DEFINED} at most",
            "delete one, or put them into the settings file",
        )

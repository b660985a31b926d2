"""What must hold of schedules, and of what requests name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cleancut.core.maintenance.schedule import (
    DefinedSchedule,
    ScheduleRule,
    ScheduleState,
    request_of,
)
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.fence import aliases_in_use
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.ports.coordination import Delete, Put
from simulation.outcome import Checker, Outcome

LAG_S = 8.5
"""The longest that a peer takes to know of an alias, and what reads it."""
INTERVAL_S, FIRST_DUE_S = 60.0, 10.0
_SOON_S = 1.0
EVERY_MINUTE = "* * * * *"
INF = float("inf")


@dataclass(slots=True)
class _Known:
    """One schedule as it stood from then on."""

    rule: ScheduleRule
    from_s: float
    until_s: float = INF
    paused: list[tuple[float, bool]] = field(default_factory=list)

    def stands(self, from_s: float, until_s: float) -> bool:
        """All that time, and never paused."""
        before = [paused for at_s, paused in self.paused if at_s <= from_s][-1:]
        within = [paused for at_s, paused in self.paused if from_s < at_s <= until_s]
        return self.from_s < from_s and until_s < self.until_s and not any(before + within)


def deleted_makes_none(outcome: Outcome) -> Iterator[str]:
    """A schedule starts what it says at that moment: one that was deleted starts nothing, and one
    that was changed nothing of what it said before."""
    keys, file = outcome.shared.keys, outcome.config.schedules
    rules: dict[str, ScheduleRule] = {}
    seen: set[str] = set()
    for write in outcome.shared.trace.writes:
        for op in write.ops:
            if op.key in seen or not (isinstance(op, Put) and op.key.startswith(keys.operations)):
                continue
            seen.add(op.key)
            record = decode(Operation, op.value, op.key)
            request = _backup_of(record)
            if request is None or not request.schedule or request.schedule in file:
                continue
            rule = rules.get(request.schedule)
            if rule is None:
                yield f"{write.at_s:.3f}: {record.id} is of {request.schedule}, which was deleted"
            elif request != request_of(request.schedule, rule):
                yield f"{write.at_s:.3f}: {record.id} is what {request.schedule} said before"
        for op in write.ops:
            name = op.key.removeprefix(keys.schedule_rules)
            if isinstance(op, Put) and name != op.key:
                rules[name] = decode(DefinedSchedule, op.value, op.key).rule
            elif isinstance(op, Delete) and name != op.key:
                rules.pop(name, None)


def protected_by_schedule(outcome: Outcome) -> Iterator[str]:
    """In fair weather, a schedule has a backup of each of its times before the next one, of all
    that it names, as long as that exists and no alias is switched."""
    trace, over_s = outcome.shared.trace, outcome.shared.world.now_s
    if not trace.calm or not outcome.healthy:
        return
    manifests = outcome.manifests()
    made = [
        (at_s, request.schedule)
        for at_s, ctl in outcome.ctls()
        if ctl.phase is Phase.CUT and ctl.epoch in manifests
        if (request := _backup_of(outcome.last_records()[ctl.operation])) is not None
    ]
    for name, spans in _spans(outcome).items():
        for span in spans:
            due_s = FIRST_DUE_S
            while due_s + INTERVAL_S <= over_s and span.rule.cron == EVERY_MINUTE:
                next_s = due_s + INTERVAL_S
                able = span.stands(due_s - _SOON_S, next_s)
                if able and _all_there(outcome, span.rule, due_s, next_s):
                    mine = [at_s for at_s, of in made if of == name and due_s <= at_s <= next_s]
                    if not mine:
                        yield f"{name} has no backup of its time {due_s:.0f} s"
                due_s = next_s


def _spans(outcome: Outcome) -> dict[str, list[_Known]]:
    """By the names of schedules, those of the file and those that calls have defined."""
    keys = outcome.shared.keys
    found = {name: [_Known(rule, -1.0)] for name, rule in outcome.config.schedules.items()}
    for write in outcome.shared.trace.writes:
        for op in write.ops:
            rule_of = op.key.removeprefix(keys.schedule_rules)
            state_of = op.key.removeprefix(keys.schedules)
            if rule_of != op.key:
                mine = found.setdefault(rule_of, [])
                if mine:
                    mine[-1].until_s = min(mine[-1].until_s, write.at_s)
                if isinstance(op, Put):
                    rule = decode(DefinedSchedule, op.value, op.key).rule
                    mine.append(_Known(rule, write.at_s, paused=mine[-1].paused if mine else []))
            elif state_of != op.key and isinstance(op, Put) and found.get(state_of):
                paused = decode(ScheduleState, op.value, op.key).paused
                found[state_of][-1].paused.append((write.at_s, paused))
    return found


def _all_there(outcome: Outcome, rule: ScheduleRule, from_s: float, until_s: float) -> bool:
    """Whether all that it names existed all that time, and no alias changed: that would break off
    the backup under way."""
    states = list(_aliases_in(outcome, from_s - LAG_S, until_s))
    if any(one != states[0] for one in states):
        return False
    for name in rule.collections:
        of = states[0].get(name, name)
        lives = [one for one in outcome.qdrant.every if one.name == of]
        if not any(one.made_s <= from_s and one.dropped_s > until_s for one in lives):
            return False
    return True


def takes_what_is_named(outcome: Outcome) -> Iterator[str]:
    """A group holds what its request names, as the aliases stood at one moment before its cuts."""
    begun: dict[Epoch, tuple[float, float]] = {}
    for at_s, ctl in outcome.ctls():
        if ctl.phase is Phase.PREPARE:
            begun[ctl.epoch] = (at_s, INF)
        elif ctl.phase is Phase.CUT and ctl.epoch in begun:
            begun[ctl.epoch] = (begun[ctl.epoch][0], at_s)
    requests = {ctl.epoch: ctl.operation for _, ctl in outcome.ctls()}
    records = outcome.last_records()
    for epoch, manifest in outcome.manifests().items():
        request = _backup_of(records[requests[epoch]])
        if request is None or not (request.collections or request.exclude):
            continue
        took = {entry.name for entry in manifest.collections}
        missing = {one.name for one in manifest.missing}
        from_s, until_s = begun[epoch]
        states = list(_aliases_in(outcome, from_s - LAG_S, until_s))
        if not any(_is_named(request, took, missing, aliases) for aliases in states):
            stood = [{name: one.get(name, name) for name in request.collections} for one in states]
            yield f"group {epoch} of {request.collections} holds {sorted(took)}: {stood}"


def _is_named(
    request: BackupRequest, took: set[str], missing: set[str], aliases: Mapping[str, str]
) -> bool:
    excluded = {aliases.get(name, name) for name in request.exclude}
    named = {aliases.get(name, name) for name in request.collections}
    lacks = {aliases.get(name, name) for name in missing}
    return not took & excluded and (not named or took | lacks == named)


def _aliases_in(outcome: Outcome, from_s: float, until_s: float) -> Iterator[Mapping[str, str]]:
    """Each state of the aliases that there was in that time, by their names without a fence."""
    known = outcome.shared.trace.aliases
    ends = [at_s for at_s, _ in known[1:]] + [INF]
    for (at_s, aliases), end_s in zip(known, ends, strict=True):
        if at_s <= until_s and end_s >= from_s:
            yield aliases_in_use(aliases, ())


def _backup_of(record: Operation) -> BackupRequest | None:
    if record.kind is not OperationKind.BACKUP:
        return None
    return decode(BackupRequest, record.request.encode(), record.id)


SCHEDULE_CHECKERS: tuple[Checker, ...] = (
    deleted_makes_none,
    protected_by_schedule,
    takes_what_is_named,
)

"""Marks: when two rounds of the agents' answers are one standstill. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cleancut.core.archive.plan import ArchivePlan, ArchiveState, RoundEnds
from cleancut.core.archive.records import Mark, MarkEnd, MarkRound
from cleancut.core.primitives.ids import AgentName

MARK_S = 2.0
"""How long rounds are made for one mark."""


def asked(plan: ArchivePlan, sessions: Collection[AgentName]) -> frozenset[AgentName]:
    """The agents that a round waits for: those of the plan that live."""
    return frozenset(task.agent for task in plan.tasks if task.agent in sessions)


def round_of(
    number: int, answers: Mapping[AgentName, RoundEnds], agents: Collection[AgentName]
) -> MarkRound | None:
    """The ends of this round; None, while an answer is missing."""
    given = [answers.get(agent) for agent in agents]
    found: list[MarkEnd] = []
    for answer in given:
        if answer is None or answer.round != number:
            return None
        found += answer.ends
    ends = sorted(found, key=lambda end: (end.collection, end.shard))
    return MarkRound(number=number, ends=tuple(ends))


def mark_of(before: MarkRound | None, after: MarkRound, at_ms: int, name: str) -> Mark | None:
    """The mark that two rounds in a row are; None, if something moved between them."""
    if before is None:
        return None
    mark = Mark(at_ms=at_ms, before=before, after=after, name=name)
    return None if mark.doubt else mark


def missing_from(mark: Mark, plan: ArchivePlan) -> list[str]:
    """Collections of the plan of which a shard is not in the mark, sorted."""
    there = {(end.collection, end.shard) for end in mark.ends}
    return sorted({task.collection for task in plan.tasks if task.place not in there})


def is_durable(mark: Mark, states: Iterable[ArchiveState]) -> bool:
    """Whether all entries up to the mark are stored, as the agents say."""
    known = {shard.chain: shard for state in states for shard in state.shards}
    found = [(end, known.get(end.chain)) for end in mark.ends]
    return all(
        (shard.last if shard else -1) >= end.last or (shard is not None and end.last < shard.first)
        for end, shard in found
    )

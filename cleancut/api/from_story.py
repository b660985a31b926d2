"""Ended operations as the API shows them, from their stories in a store alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from cleancut.api.agent_names import agents_in, with_agents, with_step_agents
from cleancut.api.asked import read_asked
from cleancut.api.backups import Backup
from cleancut.api.ended_work import EndedWork
from cleancut.api.from_operation import (
    backup_from,
    rebalance_from,
    reshard_from,
    restore_from,
    undelete_from,
    with_moves,
    with_shards,
    with_steps,
)
from cleancut.api.rebalances import Rebalance
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore, RestoredCollection
from cleancut.api.undeletes import Undelete
from cleancut.api.values import to_value
from cleancut.core.format.story import BACKUPS, Story
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import to_second
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import OperationKind
from cleancut.core.rebalance.phases import RebalanceDraft
from cleancut.core.reshard.phases import ReshardDraft
from cleancut.core.restore.report import RestoreReport
from cleancut.core.undelete.phases import UndeleteDraft

T = TypeVar("T")
Shown = TypeVar("Shown")


def restore_of(story: Story) -> Restore | None:
    """None, if the story is not of a restore."""
    operation = story.operation
    if operation is None or operation.kind is not OperationKind.RESTORE:
        return None
    asked = read_asked(operation, RestoreRequest, RestoreRequest(backup=Epoch(0)))
    shown = restore_from(operation, *asked)
    report = _document(story, RestoreReport)
    if report is None:
        return shown
    return replace(
        shown,
        collections=tuple(
            to_value(RestoredCollection, one, sample_queries_equal=one.canaries_equal)
            for one in report.collections
        ),
        warnings=(*shown.warnings, *report.warnings),
    )


def rebalance_of(story: Story) -> Rebalance | None:
    """None, if the story is not of a rebalance."""
    operation = story.operation
    if operation is None or operation.kind is not OperationKind.REBALANCE:
        return None
    shown, draft = rebalance_from(operation), _document(story, RebalanceDraft)
    if draft is None:
        return shown
    return with_agents(with_moves(shown, draft), agents_in(story.facts))


def reshard_of(story: Story) -> Reshard | None:
    """None, if the story is not of a reshard."""
    operation = story.operation
    if operation is None or operation.kind is not OperationKind.RESHARD:
        return None
    shown, draft = reshard_from(operation), _document(story, ReshardDraft)
    if draft is None:
        return shown
    return with_step_agents(with_steps(shown, draft), agents_in(story.facts))


def undelete_of(story: Story) -> Undelete | None:
    """None, if the story is not of an undelete."""
    operation = story.operation
    if operation is None or operation.kind is not OperationKind.UNDELETE:
        return None
    shown, draft = undelete_from(operation), _document(story, UndeleteDraft)
    return shown if draft is None else with_shards(shown, draft)


def backup_of(story: Story) -> Backup | None:
    """A backup that was not committed, or a seed; None, if the story is of neither."""
    operation = story.operation
    if operation is None or story.kind not in BACKUPS:
        return None
    return backup_from(operation)


def work_of(story: Story) -> EndedWork | None:
    """None, if the story is of an operation."""
    if story.operation is not None:
        return None
    facts = dict(story.facts)
    return EndedWork(
        id=story.id,
        kind=story.kind,
        state=story.state,
        at=to_second(story.at) or "",
        ended_at=to_second(story.ended_at) or "",
        epoch=story.epoch,
        schedule=str(facts.pop("schedule", "")),
        asked_by=story.asked_by,
        outcome=str(facts.pop("outcome", "")),
        facts=facts,
    )


def shown_stories(stories: Sequence[Story], shown: Callable[[Story], Shown | None]) -> list[Shown]:
    """Those that `shown` can show."""
    return [one for one in map(shown, stories) if one is not None]


def _document(story: Story, kind: type[T]) -> T | None:
    """What the operation's record names as its detail; None, if the story does not have it."""
    document: Any = story.document
    if document is None:
        return None
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        return None

"""The part of a restore's machine that overwrites a collection: its shards are read before that is
decided, and once more just before the deletion."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command, Persist
from cleancut.core.protocol.etcd_records import Failure, Vote
from cleancut.core.protocol.states import Phase, State
from cleancut.core.protocol.votes import reported_by, yes_of_all
from cleancut.core.restore.overwrite import (
    BOTH_THERE,
    NOT_IN_TIME,
    UNREAD,
    is_unread,
    with_old,
    written_since,
)
from cleancut.core.restore.phases import RETRY_S, MarkPublished, PublishRestore, unfinished


class Overwriting(Attempt):
    """Before the decision a write undoes the restore; after it nothing is undone, and nothing
    deleted that was written to."""

    def reset(self, now_s: float) -> None:
        super().reset(now_s)
        self.report = ""  # what is published once the old data stands still
        self.read_s = now_s  # when its reading before the deletion began

    def _old_drained(self, tasks: Any, now_s: float) -> list[Command]:
        if lost := sorted(set(tasks) - set(self.members)):
            return self.end(reported_by(lost[0], NOT_IN_TIME), now_s)
        self.members = {
            name: replace(member, old=tasks.get(name, ())) for name, member in self.members.items()
        }
        self.move(Phase.STANDSTILL, now_s)
        written = Persist(self.ctl, self.operation, dict(self.members))
        return [written, *self._old_read(now_s)]  # of no shard nothing has to be read

    def _old_read(self, now_s: float) -> list[Command]:
        old = with_old(self.members)
        if self.busy or yes_of_all(Phase.STANDSTILL, old, self.votes) is None:
            return []
        if written := written_since(self.members, self.votes):
            return self.roll_back(written, now_s)
        return [self.run(MarkPublished(self.ctl.epoch, self.ctl.draft, self.report))]

    def _read_again(self, now_s: float) -> list[Command]:
        """Just before the deletion each shard is read once more. Nothing is drained, so that any
        leader may do this as often as it takes: a write that was acknowledged is in the number of
        each replica that is Active."""
        if now_s - self.phase_began_s >= self.ctl.bounds.stalled_s:
            return self.close(State.NEEDS_OPERATOR, unfinished(self.ctl, UNREAD))
        self.ctl = self.moved(Phase.PUBLISH, round=self.ctl.round + 1)
        self.votes = {key: vote for key, vote in self.votes.items() if self._of_round(*key, vote)}
        self.read_s, self.deadline_s = now_s, now_s + self.ctl.bounds.seal_s
        return [Persist(self.ctl), *self._old_read_again(now_s)]

    def _old_read_again(self, now_s: float) -> list[Command]:
        old = with_old(self.members)
        if self.busy or yes_of_all(Phase.PUBLISH, old, self.votes) is None:
            return []
        if is_unread(self.members, self.votes):
            return self._unread(UNREAD, now_s)
        if written := written_since(self.members, self.votes, Phase.PUBLISH, BOTH_THERE):
            return self.close(State.NEEDS_OPERATOR, written)
        return [self.run(PublishRestore(self.ctl.epoch, self.ctl.draft, self.read_s))]

    def _unread(self, failure: Failure, now_s: float) -> list[Command]:
        """It may be gone by now, so that is looked at again in a while; nothing is deleted unread,
        and nothing undone, since that it is published is decided."""
        if now_s - self.phase_began_s >= self.ctl.bounds.stalled_s:
            return self.close(State.NEEDS_OPERATOR, unfinished(self.ctl, failure))
        if not self.busy:
            self.again = PublishRestore(self.ctl.epoch, self.ctl.draft)
            self.again_at_s = now_s + RETRY_S
        return []

    # Defined by the machine

    def _of_round(self, phase: str, _agent: str, vote: Vote) -> bool:
        raise AssertionError("defined by the machine")

    def end(self, failure: Failure, now_s: float) -> list[Command]:
        """Undoes the restore, or ends it if nothing was touched."""
        raise AssertionError("defined by the machine")

    def roll_back(self, failure: Failure, now_s: float) -> list[Command]:
        """Drops what was created."""
        raise AssertionError("defined by the machine")

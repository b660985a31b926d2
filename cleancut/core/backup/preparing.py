"""PREPARE of a backup: shards assigned by one member's view, and what is waited for before the cut.

Shards that are on their way, by a transfer or a resharding, are waited for, since a newer view may
show them at rest; so are running optimizations.
"""

from __future__ import annotations

from typing import Any

from cleancut.core.backup.patience import Attendance
from cleancut.core.backup.phases import Assign, Assigned
from cleancut.core.primitives.codec import digest_of
from cleancut.core.protocol import votes as protocol_votes
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command
from cleancut.core.protocol.etcd_records import Failure, Vote
from cleancut.core.protocol.events import Started
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.core.protocol.states import Phase


class Preparing(Attempt):
    """The part of the machines of backups and seeds before the cut."""

    def reset(self, now_s: float) -> None:
        super().reset(now_s)
        self._attendance: Attendance | None = None
        self._draft: Assigned | None = None
        self._agreed_view = ""
        self._optimizing_until_s = 0.0
        self._moving: Failure | None = None
        self._moving_until_s = 0.0
        self._patient = True

    def open(self, event: Started, **fresh: Any) -> list[Command]:
        peers = {session.peer_id for _, session in event.sessions.values()}
        present = tuple(sorted(peer for peer in peers if peer is not None))
        self._attendance = Attendance(present, event.away, event.wall_s)
        return super().open(event, **fresh)

    def request(self) -> BackupRequest | SeedRequest:
        """The request of the operation."""
        return protocol_votes.backup_request(self.operation)

    def _await_optimizations(self, now_s: float) -> list[Command] | None:
        """None once no chosen shard is under optimization, or the bound is over. A snapshot taken
        meanwhile lacks deletes, so such a shard is never proven to be point-in-time."""
        votes = protocol_votes.yes_of_all(Phase.PREPARE, self.members, self.votes) or []
        running, bound_s = sum(vote.optimizing for vote in votes), self.ctl.bounds.optimizing_s
        if not running or self._can_roll():
            return None
        if not self._optimizing_until_s:
            self._optimizing_until_s = now_s + bound_s
            self.deadline_s += bound_s
        if now_s < self._optimizing_until_s:
            return []
        if protocol_votes.backup_request(self.operation).require_point_in_time:
            return self._abort(protocol_votes.optimizing(running, bound_s))
        return None

    def _assign(self, vote: Vote | None) -> list[Command]:
        """Assigns by the view of one vote; that all see the same is checked once all are ready."""
        if vote is None or not vote.yes:
            return []
        self._agreed_view = vote.view
        assert self.operation is not None, "no vote counts without an operation"
        names, ctl, request = tuple(sorted(self.members)), self.ctl, self.request()
        found_in, unusable = vote.view_object, self.operation.unusable
        assign = Assign(
            ctl.epoch, ctl.operation, found_in, names, request, unusable, patient=self._patient
        )
        return [self.run(assign)]

    def _await_moves(self, failure: Failure, now_s: float) -> list[Command]:
        """The speaker votes again for each view that it sees: that is tried, until the bound is
        over."""
        self._draft, self._moving = None, failure
        if not self._moving_until_s:
            self._moving_until_s = now_s + self.ctl.bounds.moving_s
            self.deadline_s = max(self.deadline_s, self._moving_until_s)
        vote = self._speakers_vote()
        newer = vote is not None and vote.view != self._agreed_view
        return self._assign(vote) if newer else []

    def _overdue(self, now_s: float) -> list[Command]:
        """What still moves ends the attempt, or is left out, if that is allowed."""
        request = self.request()
        if self._moving is None:
            failure = protocol_votes.overdue(self.ctl.phase, self.members, self.votes)
            return self._abort(failure)
        allowed = isinstance(request, BackupRequest) and request.allow_missing
        if allowed and self._patient and self.waiting is None:
            self._patient = False
            self.deadline_s = now_s + self.ctl.bounds.prepare_s
            return self._assign(self._speakers_vote())
        return self._abort(self._moving)

    def _speakers_vote(self) -> Vote | None:
        return self.votes.get((Phase.PREPARE.value, min(self.members)))

    def _can_roll(self) -> bool:
        """True if the backup can be rolled forward: then a fence is needed for a moment at most."""
        follow = protocol_votes.all_follow(self.members, self.votes)
        return self.ctl.bounds.standstill_s > 0 and follow

    def _agreed_facts(self) -> dict[str, Any]:
        assert self._draft is not None, "no agent is ready without tasks"
        return {
            "draft": self._draft.draft,
            "views": self._agreed_view,
            "assigned": digest_of({str(name): m.tasks for name, m in self.members.items()}),
        }

    def _abort(self, failure: Failure) -> list[Command]:
        raise AssertionError("defined by each machine")

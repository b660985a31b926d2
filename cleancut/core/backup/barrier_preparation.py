"""The first part of a backup's attempt, up to the cut: agree, assign, be ready, raise the fence."""

from __future__ import annotations

import dataclasses
from typing import Any

from msgspec.structs import replace

from cleancut.core.backup.phases import Assign, Assigned, Raise, Settle
from cleancut.core.primitives.codec import digest_of
from cleancut.core.protocol import votes as protocol_votes
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command, Lift, Persist
from cleancut.core.protocol.effect_requests import Drain, Drained
from cleancut.core.protocol.etcd_records import Vote
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.core.protocol.states import FENCED, Phase


class Preparation(Attempt):
    """What `Barrier` does in PREPARE and FENCE, and what it knows of its fence from then on."""

    def reset(self, now_s: float) -> None:
        super().reset(now_s)
        self._draft: Assigned | None = None
        self._agreed_view = ""
        self._fence: Fence | None = None
        self._fence_until_s = self._fence_began_s = float("inf")

    def _prepared(self, now_s: float) -> list[Command]:
        if self.waiting is not None:
            return []
        if self._draft is None:
            return self._assign(self.votes.get((Phase.PREPARE.value, min(self.members))))
        votes = self.agreed()
        if votes is None:
            return []
        if votes[0].view != self._agreed_view:
            return self._assign(votes[0])
        if not protocol_votes.all_ready(self._agreed_view, self.members, self.votes):
            return []
        return self._ready(self._draft, now_s)

    def _ready(self, draft: Assigned, now_s: float) -> list[Command]:
        """All agree and are ready for their shards."""
        if draft.fence is not None:
            return self._raise(draft.fence, now_s)
        return [self.run(Drain(self.ctl.epoch, draft.draft, 1))]

    def request(self) -> BackupRequest | SeedRequest:
        """What the operation asks for."""
        return protocol_votes.backup_request(self.operation)

    def _assign(self, told: Vote | None) -> list[Command]:
        """By the view that one has told: that all see the same is asked for when all are ready."""
        if told is None or not told.yes:
            return []
        self._agreed_view = told.view
        names, ctl = tuple(sorted(self.members)), self.ctl
        told_in, request = told.view_object, self.request()
        return [self.run(Assign(ctl.epoch, ctl.operation, told_in, names, request))]

    def _raise(self, fence: Fence, now_s: float) -> list[Command]:
        """The fence is written down before it is raised: whoever leads next can lift it."""
        self._fence, self._fence_began_s = fence, now_s
        self._fence_until_s = now_s + fence.budget_s
        persist, *_ = self.move(Phase.FENCE, now_s, fenced=True, **self._agreed_facts())
        assert isinstance(persist, Persist)
        return [
            dataclasses.replace(persist, fence=fence),
            self.run(Raise(self.ctl.epoch, fence)),
        ]

    def _raised(self) -> list[Command]:
        seen = protocol_votes.yes_of_all(Phase.FENCE, self.members, self.votes)
        if seen is None or self.waiting is not None:
            return []
        assert self._fence is not None, "FENCE is aborted by a takeover"
        return [self.run(Settle(self.ctl.epoch, self._fence))]

    def _assigned(self, draft: Assigned, now_s: float) -> list[Command]:
        self._draft = draft
        tasks = protocol_votes.indexed(draft.collections, draft.tasks)
        self.members = {
            name: replace(member, tasks=tasks[name], assigned=True)
            for name, member in self.members.items()
        }
        return [Persist(members=dict(self.members)), *self._prepared(now_s)]

    def _drained(self, result: Drained, now_s: float) -> list[Command]:
        facts = {"cut_at": result.at, "undrained": result.undrained}
        if self.ctl.phase is Phase.FENCE:
            return self.move(Phase.CUT, now_s, **facts)
        if not protocol_votes.all_ready(self._agreed_view, self.members, self.votes):
            return self._prepared(now_s)  # something moved while the drain ran
        return self.move(Phase.CUT, now_s, **self._agreed_facts(), **facts)

    def _agreed_facts(self) -> dict[str, Any]:
        assert self._draft is not None, "nobody is ready without tasks"
        return {
            "draft": self._draft.draft,
            "views": self._agreed_view,
            "assigned": digest_of({str(name): m.tasks for name, m in self.members.items()}),
        }

    def fence_is_over(self, now_s: float) -> bool:
        """True once writes were held off for as long as they may be."""
        return self.ctl.phase in FENCED and now_s >= self._fence_until_s

    def _lift(self) -> list[Command]:
        return [] if self._fence is None else [Lift(self._fence)]

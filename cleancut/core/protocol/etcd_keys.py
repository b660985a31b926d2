"""Keys of a cluster in etcd: `Keys` builds them, `agent_of` and `Keys.parse_vote` read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, format_epoch

_VOTE = re.compile(r"(?P<epoch>[0-9]{1,18})/(?P<phase>[A-Z]+)/(?P<agent>[^/]+)")


class VoteKey(NamedTuple):
    """The parts of a vote's key."""

    epoch: Epoch
    phase: str
    agent: AgentName


def agent_of(key: str) -> AgentName:
    """The agent in the key of a session, a member, a vote or progress."""
    return AgentName(key.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Keys:
    """The etcd keys of one cluster, all under `/cleancut/<cluster>/`."""

    cluster: ClusterName

    @property
    def root(self) -> str:
        return f"/cleancut/{self.cluster}/"

    @property
    def id(self) -> str:
        return f"{self.root}id"

    @property
    def leader(self) -> str:
        return f"{self.root}leader"

    @property
    def ctl(self) -> str:
        return f"{self.root}ctl"

    @property
    def epoch(self) -> str:
        return f"{self.root}epoch"

    @property
    def gc(self) -> str:
        return f"{self.root}gc"

    @property
    def last_gc(self) -> str:
        return f"{self.root}last-gc"

    @property
    def check(self) -> str:
        return f"{self.root}check"

    @property
    def coordinators(self) -> str:
        return f"{self.root}coordinator/"

    def coordinator(self, name: str) -> str:
        return f"{self.coordinators}{name}"

    @property
    def seen_peers(self) -> str:
        return f"{self.root}seen-peers"

    @property
    def settings(self) -> str:
        return f"{self.root}settings"

    @property
    def sessions(self) -> str:
        return f"{self.root}sess/"

    def session(self, agent: AgentName) -> str:
        return f"{self.sessions}{agent}"

    @property
    def all_members(self) -> str:
        return f"{self.root}member/"

    def members(self, epoch: Epoch) -> str:
        return f"{self.all_members}{format_epoch(epoch)}/"

    def member(self, epoch: Epoch, agent: AgentName) -> str:
        return f"{self.members(epoch)}{agent}"

    @property
    def all_votes(self) -> str:
        return f"{self.root}vote/"

    def votes(self, epoch: Epoch) -> str:
        return f"{self.all_votes}{format_epoch(epoch)}/"

    def vote(self, epoch: Epoch, phase: str, agent: AgentName) -> str:
        return f"{self.votes(epoch)}{phase}/{agent}"

    def parse_vote(self, key: str) -> VoteKey | None:
        """The parts of a key under `all_votes`; None for one that no agent writes."""
        found = _VOTE.fullmatch(key.removeprefix(self.all_votes))
        if found is None:
            return None
        return VoteKey(Epoch(int(found["epoch"])), found["phase"], AgentName(found["agent"]))

    @property
    def fences(self) -> str:
        return f"{self.root}fence/"

    def fence(self, epoch: Epoch) -> str:
        return f"{self.fences}{format_epoch(epoch)}"

    @property
    def all_progress(self) -> str:
        return f"{self.root}progress/"

    def progress(self, epoch: Epoch) -> str:
        return f"{self.all_progress}{format_epoch(epoch)}/"

    @property
    def groups(self) -> str:
        return f"{self.root}group/"

    def group(self, epoch: Epoch) -> str:
        return f"{self.groups}{format_epoch(epoch)}"

    @property
    def operations(self) -> str:
        return f"{self.root}op/"

    def operation(self, operation: str) -> str:
        return f"{self.operations}{operation}"

    def undelete(self, operation: str) -> str:
        """Under it lies the progress of each shard."""
        return f"{self.root}undelete/{operation}/"

    def undelete_of(self, operation: str, shard_id: int) -> str:
        return f"{self.undelete(operation)}{shard_id}"

    @property
    def schedules(self) -> str:
        return f"{self.root}schedule/"

    def schedule(self, name: str) -> str:
        return f"{self.schedules}{name}"

    @property
    def schedule_rules(self) -> str:
        return f"{self.root}schedule-rule/"

    def schedule_rule(self, name: str) -> str:
        return f"{self.schedule_rules}{name}"

    def request(self, request_id: str) -> str:
        return f"{self.root}request/{request_id}"

    @property
    def notified(self) -> str:
        return f"{self.root}notify/"

    def notified_of(self, target: str) -> str:
        return f"{self.notified}{target}"

    @property
    def archive_plan(self) -> str:
        return f"{self.root}archive/plan"

    @property
    def archive_round(self) -> str:
        return f"{self.root}archive/round"

    @property
    def archive_ends(self) -> str:
        return f"{self.root}archive/ends/"

    def archive_ends_of(self, agent: AgentName) -> str:
        return f"{self.archive_ends}{agent}"

    @property
    def archive_states(self) -> str:
        return f"{self.root}archive/state/"

    def archive_state(self, agent: AgentName) -> str:
        return f"{self.archive_states}{agent}"

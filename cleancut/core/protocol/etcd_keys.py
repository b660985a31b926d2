"""Keys of a cluster in etcd. Text only."""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, format_epoch


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
    def settings(self) -> str:
        return f"{self.root}settings"

    @property
    def sessions(self) -> str:
        return f"{self.root}sess/"

    def session(self, agent: AgentName) -> str:
        return f"{self.sessions}{agent}"

    def members(self, epoch: Epoch) -> str:
        return f"{self.root}member/{format_epoch(epoch)}/"

    def member(self, epoch: Epoch, agent: AgentName) -> str:
        return f"{self.members(epoch)}{agent}"

    @property
    def all_votes(self) -> str:
        return f"{self.root}vote/"

    def votes(self, epoch: Epoch) -> str:
        return f"{self.all_votes}{format_epoch(epoch)}/"

    def vote(self, epoch: Epoch, phase: str, agent: AgentName) -> str:
        return f"{self.votes(epoch)}{phase}/{agent}"

    @property
    def fences(self) -> str:
        return f"{self.root}fence/"

    def fence(self, epoch: Epoch) -> str:
        return f"{self.fences}{format_epoch(epoch)}"

    def progress(self, epoch: Epoch) -> str:
        return f"{self.root}progress/{format_epoch(epoch)}/"

    def group(self, epoch: Epoch) -> str:
        return f"{self.root}group/{format_epoch(epoch)}"

    @property
    def groups(self) -> str:
        return f"{self.root}group/"

    @property
    def operations(self) -> str:
        return f"{self.root}op/"

    def operation(self, operation: str) -> str:
        return f"{self.operations}{operation}"

    @property
    def schedules(self) -> str:
        return f"{self.root}schedule/"

    def schedule(self, name: str) -> str:
        return f"{self.schedules}{name}"

    def request(self, request_id: str) -> str:
        return f"{self.root}request/{request_id}"

"""Where a restore's collections are made, and what they are to become."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.format.manifest import CollectionEntry, ShardEntry
from cleancut.core.primitives.ids import AgentName, PeerId
from cleancut.core.restore.plan import CollectionPlan
from cleancut.ports.clock import Clock
from cleancut.qdrant.client import Qdrant


@dataclass(frozen=True, slots=True)
class TargetCollection:
    """A collection that is to be: how it comes back, and what the group holds of it."""

    planned: CollectionPlan
    entry: CollectionEntry
    shards: tuple[ShardEntry, ...]

    @property
    def name(self) -> str:
        """What Qdrant calls it."""
        return self.planned.created_as


@dataclass(frozen=True, slots=True)
class AgentHost:
    """The agent beside a peer, and the free bytes of that peer's storage; -1: unknown."""

    agent: AgentName
    free_bytes: int = -1


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """`peer` takes all changes; `still` raises Fenced once this attempt may make none."""

    peer: Qdrant
    clock: Clock
    still: Callable[[], Awaitable[None]]
    hosts: Mapping[PeerId, AgentHost]

    def named(self, peer: PeerId) -> str:
        """The peer for people."""
        return peer_and_id(peer, {one: host.agent for one, host in self.hosts.items()})

    @property
    def free_bytes(self) -> dict[PeerId, int]:
        """By peer; {} unless all are known."""
        free = {peer: host.free_bytes for peer, host in self.hosts.items()}
        return {} if -1 in free.values() else free

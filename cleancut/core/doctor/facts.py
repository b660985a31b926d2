"""What a doctor looks at: a cluster as its peers, agents, etcd and the store tell of it right now.

Records, and what follows from them at once. Findings are in `cleancut.core.doctor.findings`.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.states import FINAL_STATES, State

Severity = Literal["error", "warning", "info"]


class Finding(Record, frozen=True):
    """One thing that is not as it should be. `kind` is stable, for scripts. `fix`: a command or
    call to paste, "" if there is none."""

    kind: str
    severity: Severity
    what: str
    fix: str = ""


class PeerReport(Record, frozen=True):
    """One peer that the coordinator could ask. `peers`: every id that it knows, with its address;
    without cluster mode it is peer 0 and knows itself. `collections`: all that it lists, also those
    that an alias hides."""

    peer_id: PeerId
    url: str
    peers: tuple[tuple[PeerId, str], ...]
    aliases: tuple[tuple[str, str], ...] = ()
    collections: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[PeerId, ...]:
        return tuple(sorted(peer for peer, _ in self.peers))


class ToldByAgent(Record, frozen=True):
    """One agent with a live session; `peer_id` None: its Qdrant at `url` does not answer."""

    name: AgentName
    url: str
    peer_id: PeerId | None = None
    peers: tuple[PeerId, ...] = ()


class KnownRestore(Record, frozen=True):
    """A restore of the last days. `kept`: old data that it replaced, as collection and uuid."""

    id: OperationId
    state: State
    kept: tuple[tuple[str, str], ...] = ()
    message: str = ""
    hint: str = ""


class GroupShards(Record, frozen=True):
    epoch: Epoch
    shards: tuple[tuple[str, ShardId], ...]


class Facts(Record, frozen=True):
    """Everything there is to see.

    `peers`: those that the coordinator was given and that answer. `url`: where `collections` was
    read, empty if nobody answers. `open_fence`: the epoch whose fence may stand now. `groups`:
    newest first. `owner_id` None: the store does not answer.
    """

    peers: tuple[PeerReport, ...]
    agents: tuple[ToldByAgent, ...]
    url: str = ""
    collections: tuple[LiveShards, ...] = ()
    restores: tuple[KnownRestore, ...] = ()
    groups: tuple[GroupShards, ...] = ()
    open_fence: Epoch | None = None
    cluster_id: str = ""
    owner_id: str | None = None

    @property
    def aliases(self) -> dict[str, str]:
        """As the peer at `url` tells them."""
        return dict(next((one.aliases for one in self.peers if one.url == self.url), ()))

    @property
    def members(self) -> tuple[PeerId, ...]:
        """The cluster's peer ids: the set that most of its peers agree on."""
        return members_of(self.peers, self.agents)

    @property
    def addresses(self) -> dict[PeerId, str]:
        """Where each member is reached by the others, as far as somebody told."""
        members = self.members
        return {peer: uri for told in self.peers if told.ids == members for peer, uri in told.peers}

    @property
    def heard(self) -> set[PeerId]:
        """Peers that answer somebody."""
        told = {told.peer_id for told in self.peers}
        return told | {agent.peer_id for agent in self.agents if agent.peer_id is not None}

    @property
    def restoring(self) -> OperationId | None:
        """The restore that is under way."""
        over = {*FINAL_STATES, State.PENDING}
        return next((one.id for one in self.restores if one.state not in over), None)

    def holder(self, collection: str, shard_id: ShardId) -> Epoch | None:
        """The newest group that holds this shard."""
        wanted = (collection, shard_id)
        return next((group.epoch for group in self.groups if wanted in group.shards), None)


def members_of(
    peers: tuple[PeerReport, ...], agents: tuple[ToldByAgent, ...]
) -> tuple[PeerId, ...]:
    """The set of peer ids that most peers tell; of two equally good ones the larger."""
    sets = {
        agent.peer_id: tuple(sorted(agent.peers)) for agent in agents if agent.peer_id is not None
    }
    sets |= {told.peer_id: told.ids for told in peers}  # just now; sessions lag
    votes = Counter(sets.values())
    return max(votes, key=lambda ids: (votes[ids], len(ids), ids), default=())

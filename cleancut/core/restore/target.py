"""Target of a restore: the cluster as a plan sees it. Records only."""

from __future__ import annotations

from typing import Any

from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, OperationId, PeerId, ShardId

FREE_STEP = 256 * 1024 * 1024
"""Bytes. Free space is reported in steps of this size, rounded down, so that it rarely changes."""


class TargetPeer(Record, frozen=True):
    """A live peer, and its agent if there is one.

    `free_bytes`: on the disk with its data; None: unknown. `stores`: further ones that the agent
    can read, by name. `reshards`: its Qdrant allows a change of the number of shards; None: it was
    not asked, or does not say.
    """

    peer_id: PeerId
    agent: AgentName | None = None
    qdrant_version: str = ""
    free_bytes: int | None = None
    stores: tuple[str, ...] = ()
    reshards: bool | None = None


class LiveReplica(Record, frozen=True):
    """One replica of a shard, in any state."""

    shard_id: ShardId
    peer_id: PeerId
    state: str = ""


class LiveCollection(Record, frozen=True):
    """A collection that exists. `config`: what `GET /collections/{name}` has under `config`; a
    collection with a lost shard answers that with an error, so it may come from telemetry."""

    name: str
    uuid: str
    config: dict[str, Any]
    replicas: tuple[LiveReplica, ...] = ()


class PromisedName(Record, frozen=True):
    """A name that a restore publishes once its reshards are over."""

    name: str
    restore: OperationId


class Rate(Record, frozen=True):
    """Bytes a second that one peer recovered in earlier restores. `usual`: in all of them together.
    `restores`: the number of those that were measured."""

    usual: float
    slowest: float
    fastest: float
    restores: int


class Target(Record, frozen=True):
    """The cluster as it is now.

    `live`: of collections in which single shards are to be repaired, else empty. `rate`: None: not
    measured yet. `promised`: names of restores that are verified, and not published yet.
    `older`: coordinators of an older version than the one that plans, with theirs; they are asked
    for only where shards are to become more or fewer.
    """

    peers: tuple[TargetPeer, ...]
    collections: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    live: tuple[LiveCollection, ...] = ()
    rate: Rate | None = None
    promised: tuple[PromisedName, ...] = ()
    older: tuple[str, ...] = ()

    def named(self, peer: PeerId) -> str:
        """The peer by its agent and its id, for people."""
        agents = {int(one.peer_id): str(one.agent) for one in self.peers if one.agent is not None}
        return peer_and_id(peer, agents)

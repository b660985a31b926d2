"""Clusters as a doctor sees them: a healthy one, and what a test makes of it."""

from __future__ import annotations

from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.cluster.view import ReplicaView
from cleancut.core.doctor.facts import AgentReport, Facts, GroupShards, PeerReport
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId, ShardId

PEERS = (PeerId(11), PeerId(22), PeerId(33))


def uri(peer: int) -> str:
    return f"http://node-{peer}:6335/"


def url(peer: int) -> str:
    return f"http://node-{peer}:6333"


def told(
    peer: int, known: tuple[PeerId, ...] = PEERS, aliases: tuple[tuple[str, str], ...] = ()
) -> PeerReport:
    peers = tuple((one, uri(one)) for one in known)
    return PeerReport(peer_id=PeerId(peer), url=url(peer), peers=peers, aliases=aliases)


def agent(peer: int, known: tuple[PeerId, ...] = PEERS) -> AgentReport:
    return AgentReport(
        name=AgentName(f"agent-{peer}"), url=url(peer), peer_id=PeerId(peer), peers=known
    )


def replica(
    shard: int, peer: int, state: str = "Active", key: str | int | None = None
) -> ReplicaView:
    return ReplicaView(shard_id=ShardId(shard), peer_id=PeerId(peer), state=state, shard_key=key)


def docs(*replicas: ReplicaView, shards: int = 3, factor: int = 1) -> LiveShards:
    return LiveShards(
        name="docs",
        uuid="u1",
        shard_number=shards,
        replication_factor=factor,
        replicas=replicas or tuple(replica(at, peer) for at, peer in enumerate(PEERS)),
    )


def group(epoch: int, *shards: int) -> GroupShards:
    return GroupShards(
        epoch=Epoch(epoch), shards=tuple(("docs", ShardId(shard)) for shard in shards)
    )


HEALTHY = Facts(
    peers=tuple(told(peer) for peer in PEERS),
    agents=tuple(agent(peer) for peer in PEERS),
    url=url(PEERS[0]),
    collections=(docs(),),
    groups=(group(5, 0, 1, 2),),
    cluster_id="abc",
    owner_id="abc",
)

"""Layout of a cluster's replicas, for plans that change it: peers, sizes, and what prevents any."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.cluster.view import ACTIVE, ReplicaView
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import PeerId, ShardId

_DOCTOR = "see `cleancut doctor` for the repair"


class LayoutPeer(Record, frozen=True):
    """`free_bytes`: None is unknown, which sets no limit. `answers`: it is alive.
    `counted`: it has an agent, which can count its new replicas. `reshards`: its configuration
    allows a change of the number of shards; None: it does not say. `agent`: its name."""

    peer_id: PeerId
    free_bytes: int | None = None
    answers: bool = True
    counted: bool = True
    reshards: bool | None = None
    agent: str = ""


class LayoutCollection(Record, frozen=True):
    """`sizes`: by shard, 0 where it is missing. `shard_number`: of automatic sharding. `uuid`:
    another one once it is made again; "" if Qdrant does not say."""

    name: str
    factor: int
    replicas: tuple[ReplicaView, ...]
    sizes: tuple[tuple[ShardId, int], ...] = ()
    shard_number: int | None = None
    transfers: int = 0
    resharding: bool = False
    uuid: str = ""


class Layout(Record, frozen=True):
    """A cluster as it is, with all `peers` that it knows."""

    peers: tuple[LayoutPeer, ...]
    collections: tuple[LayoutCollection, ...]

    def named(self, peer: PeerId) -> str:
        """The peer by its agent and its id, for people."""
        return peer_and_id(peer, {one.peer_id: one.agent for one in self.peers})


def blockers_of(layout: Layout) -> Iterator[str]:
    """The reasons why nothing may be moved now."""
    known = {peer.peer_id for peer in layout.peers}
    for peer in layout.peers:
        if not peer.answers:
            yield f"{layout.named(peer.peer_id)} does not answer: start it, or remove it; {_DOCTOR}"
    for entry in layout.collections:
        if entry.resharding:
            yield f"{entry.name}: it is being resharded; wait until that has ended"
        if entry.transfers:
            yield (
                f"{entry.name}: {entry.transfers} transfers are under way; wait for their end, or"
                f" abort them; {_DOCTOR}"
            )
        for replica in entry.replicas:
            if replica.state != ACTIVE:
                yield (
                    f"{entry.name}: shard {replica.shard_id} is {replica.state} at"
                    f" {layout.named(replica.peer_id)}; {_DOCTOR}"
                )
            elif replica.peer_id not in known:
                yield (
                    f"{entry.name}: shard {replica.shard_id} has a replica at peer"
                    f" {replica.peer_id}, which is not in the cluster; {_DOCTOR}"
                )
        there = {replica.shard_id for replica in entry.replicas}
        for number in range(entry.shard_number or 0):
            if number not in there:
                yield f"{entry.name}: shard {number} has no replica left; {_DOCTOR}"

"""A Qdrant cluster as a value in time: logs of writes, replicas that apply them late, peers that
restart and lag, shards that move. It keeps the whole truth, for the checkers.

A shard's content is the number of writes (drains left out) its replica has applied: logs only grow
and are applied in order, so equal counts are equal contents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cleancut.cut import Readings
from cleancut.errors import NotFound, TimedOut, Unavailable
from cleancut.ids import PeerId, ShardId
from cleancut.records import ShardTask, encode
from cleancut.view import CollectionView, ReplicaView, TransferView, View
from tests.sim.world import World

Place = tuple[str, int]


@dataclass(slots=True)
class Replica:
    """One shard's copy on one peer. `history`: content by time, for the checkers."""

    life: int
    applied: int
    content: int
    number: int
    history: list[tuple[float, int]]
    uncounted: int = 0
    pumping: bool = False


@dataclass(slots=True)
class Peer:
    id: PeerId
    up: bool = True
    start: int = 0
    arrivals: int = 0
    view: int = 0
    replicas: dict[Place, Replica] = field(default_factory=dict)

    @property
    def startup(self) -> str:
        return f"peer-{self.id}-start-{self.start}"


@dataclass(slots=True)
class Seen:
    """One version of the cluster's shape, as a peer tells it."""

    data: bytes
    digest: str


class SimQdrant:
    """The cluster: what clients and agents can do to it, and what may befall it."""

    def __init__(self, world: World, peers: int, shards: dict[str, int], copies: int) -> None:
        self.world = world
        self.peers = {PeerId(i): Peer(PeerId(i)) for i in range(1, peers + 1)}
        self.logs: dict[Place, list[tuple[str, float]]] = {}
        self.replicas: list[tuple[Place, PeerId, Replica]] = []
        self.moves: dict[Place, tuple[PeerId, PeerId]] = {}
        self.aliases = 0
        self.stopped = False
        self._shards = shards
        ids = list(self.peers)
        for name, count in shards.items():
            for shard in range(count):
                self.logs[name, shard] = []
                for copy in range(min(copies, peers)):
                    self._add((name, shard), ids[(shard + copy) % peers], 0, 0)
        self.views: list[Seen] = [self._describe()]

    def _add(self, place: Place, peer: PeerId, applied: int, content: int) -> Replica:
        number = self.world.rng.randrange(50)
        history = [(self.world.now_s, content)]
        replica = Replica(len(self.replicas), applied, content, number, history)
        self.peers[peer].replicas[place] = replica
        self.replicas.append((place, peer, replica))
        return replica

    # Writing

    def write(self, place: Place) -> None:
        """Queues one write; every replica applies it when it comes to it."""
        self._queue(place, "w")

    def drain(self, name: str, through: PeerId, answer: Callable[[bool], None]) -> None:
        """Queues an operation without effect on every shard of `name`; `answer(True)` when each
        replica has applied it. Raises: Unavailable, if the peer is down: nothing was queued."""
        if not self.peers[through].up:
            raise Unavailable("connection refused")
        ends = [(place, self._queue(place, "d")) for place in self.logs if place[0] == name]

        def look() -> None:
            behind = any(
                replica.applied < end
                for place, end in ends
                for peer in self.peers.values()
                if (replica := peer.replicas.get(place)) is not None
            )
            if not behind:
                answer(True)
            else:
                self.world.after(0.01, look)

        self.world.after(0.002, look)

    def _queue(self, place: Place, kind: str) -> int:
        self.logs[place].append((kind, self.world.now_s))
        for peer in self.peers.values():
            if place in peer.replicas:
                self._pump(peer, place)
        return len(self.logs[place])

    def _pump(self, peer: Peer, place: Place) -> None:
        replica = peer.replicas[place]
        if not replica.pumping and peer.up:
            replica.pumping = True
            delay_s = self.world.rng.random() * 0.02
            self.world.after(delay_s, lambda: self._apply(peer, place, replica))

    def _apply(self, peer: Peer, place: Place, replica: Replica) -> None:
        replica.pumping = False
        log = self.logs[place]
        if not peer.up or peer.replicas.get(place) is not replica or replica.applied >= len(log):
            return
        kind, _ = log[replica.applied]
        replica.applied += 1
        if replica.uncounted:
            replica.uncounted -= 1  # the first operation after an arrival does not count
        else:
            replica.number += 1
        if kind == "w":
            replica.content += 1
            replica.history.append((self.world.now_s, replica.content))
        if replica.applied < len(log):
            self._pump(peer, place)

    # Reading

    def view_of(self, peer_id: PeerId) -> Seen:
        """Raises: Unavailable."""
        return self.views[self._up(peer_id).view]

    def telemetry(self, peer_id: PeerId, tasks: tuple[ShardTask, ...]) -> Readings:
        """Raises: Unavailable."""
        peer = self._up(peer_id)
        found = [peer.replicas.get((task.collection, task.shard_id)) for task in tasks]
        numbers = tuple(replica.number if replica else None for replica in found)
        return Readings(numbers, peer.startup, peer.arrivals)

    def freeze_shard(self, peer_id: PeerId, task: ShardTask) -> Replica:
        """The replica as it is now. Raises: Unavailable, NotFound."""
        replica = self._up(peer_id).replicas.get((task.collection, task.shard_id))
        if replica is None:
            raise NotFound(f"no shard {task.shard_id} of {task.collection} here")
        return replica

    def _up(self, peer_id: PeerId) -> Peer:
        peer = self.peers[peer_id]
        if not peer.up:
            raise Unavailable("connection refused")
        return peer

    def check_alive(self, peer_id: PeerId, startup: str) -> None:
        """Raises: TimedOut, if the peer has restarted meanwhile: its streams are cut off."""
        peer = self.peers[peer_id]
        if not peer.up or peer.startup != startup:
            raise TimedOut("a stream ended early")

    # What befalls it

    def stop_peer(self, peer_id: PeerId, seconds: float) -> None:
        """The peer is down for so long; what it has not applied it applies afterwards."""
        peer = self.peers[peer_id]
        if peer.up:
            peer.up = False
            self.world.after(seconds, lambda: self._start(peer))

    def _start(self, peer: Peer) -> None:
        peer.up, peer.start, peer.arrivals = True, peer.start + 1, 0
        for place, replica in peer.replicas.items():
            replica.number = max(0, replica.number - self.world.rng.randrange(3))
            self._pump(peer, place)

    def move_shard(self, place: Place, target: PeerId, seconds: float) -> None:
        """Moves one copy; the move is seen in views, and gives up if a peer is down at its end."""
        sources = [peer.id for peer in self.peers.values() if place in peer.replicas]
        if place in self.moves or target in sources:
            return
        self.moves[place] = (sources[0], target)
        self.peers[target].arrivals += 1
        self._reshaped()
        self.world.after(seconds, lambda: self._moved(place))

    def _moved(self, place: Place) -> None:
        source_id, target_id = self.moves.pop(place)
        source, target = self.peers[source_id], self.peers[target_id]
        if source.up and target.up:
            old = source.replicas.pop(place)
            new = self._add(place, target_id, old.applied, old.content)
            new.uncounted = 1
            old.history.append((self.world.now_s, -1))
            self._pump(target, place)
        self._reshaped()

    def change_alias(self) -> None:
        self.aliases += 1
        self._reshaped()

    def _reshaped(self) -> None:
        """A new version of the cluster's shape, which each peer comes to know in its own time."""
        self.views.append(self._describe())
        newest = len(self.views) - 1
        for peer in self.peers.values():
            self.world.after(self.world.rng.random() * 0.1, partial(_learn, peer, newest))

    def _describe(self) -> Seen:
        collections = tuple(
            CollectionView(
                name=name,
                uuid=f"uuid-{name}",
                config="c",
                schema="s",
                replicas=tuple(
                    ReplicaView(shard_id=ShardId(shard), peer_id=peer.id, state="Active")
                    for shard in range(count)
                    for peer in self.peers.values()
                    if (name, shard) in peer.replicas
                ),
                transfers=tuple(
                    TransferView(shard_id=ShardId(place[1]), source=ends[0], target=ends[1])
                    for place, ends in sorted(self.moves.items())
                    if place[0] == name
                ),
            )
            for name, count in sorted(self._shards.items())
        )
        aliases = ((f"alias-{self.aliases}", min(self._shards)),) if self._shards else ()
        data = encode(View(peers=tuple(self.peers), collections=collections, aliases=aliases))
        return Seen(data, hashlib.sha256(data).hexdigest())


def _learn(peer: Peer, version: int) -> None:
    peer.view = max(peer.view, version)

"""Shards of the simulated Qdrant: logs of writes, and replicas that apply them late.

A shard's content is the number of points its replica holds: one more with each write (drains left
out) it has applied, and after a recovery what the tar holds. Logs only grow and are applied in
order, and tars hold numbers that no writes reach, so equal counts are equal contents. The shards of
a collection that is resharded hold points besides: each has an id, and the version written last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cleancut.core.primitives.errors import Unavailable
from cleancut.core.primitives.ids import PeerId
from simulation.logs import LogRecorder, SimLog
from simulation.replica import POINTED, PointWrite, SimReplica
from simulation.world import World

Place = tuple[str, int]
REMADE = 100_000
"""Contents of shards that were dropped and made again are far from all others."""


@dataclass(slots=True)
class Peer:
    id: PeerId
    up: bool = True
    start: int = 0
    arrivals: int = 0
    view: int = 0
    known_s: dict[str, float] = field(default_factory=dict)
    replicas: dict[Place, SimReplica] = field(default_factory=dict)

    @property
    def startup(self) -> str:
        return f"peer-{self.id}-start-{self.start}"


class SimShards:
    """All replicas of the cluster, and the logs that they apply. `ops`: what the writes of a log
    do to points, by their index in it."""

    def __init__(self, world: World, peers: int, recorder: LogRecorder | None) -> None:
        self.world, self.recorder = world, recorder
        self.peers = {PeerId(i): Peer(PeerId(i)) for i in range(1, peers + 1)}
        self.logs: dict[Place, list[tuple[str, float]]] = {}
        self.ops: dict[Place, dict[int, PointWrite]] = {}
        self.replicas: list[tuple[Place, PeerId, SimReplica]] = []

    def _lay_out(self, name: str, shards: int, copies: int, points: int) -> None:
        ids = list(self.peers)
        for shard in range(shards):
            self._open_log((name, shard))
            for copy in range(min(copies, len(ids))):
                self._add((name, shard), ids[(shard + copy) % len(ids)], 0, points)

    def _open_log(self, place: Place) -> None:
        self.logs[place], self.ops[place] = [], {}

    def _add(self, place: Place, peer: PeerId, applied: int, content: int) -> SimReplica:
        number = self.world.rng.randrange(50)
        history = [(self.world.now_s, content)]
        life, log = len(self.replicas), SimLog(number + 1, self.recorder)
        replica = SimReplica(life, applied, content, number, history, log, number)
        self.peers[peer].replicas[place] = replica
        self.replicas.append((place, peer, replica))
        return replica

    def write(self, place: Place) -> None:
        """Queues one write, if there is such a shard; every replica applies it in its turn. What
        holds points is written by `write_point` alone."""
        if place in self.logs and place[0] != POINTED:
            self.queue(place, "w")

    def write_point(self, place: Place, written: PointWrite) -> None:
        """Queues one write of a point."""
        self.ops[place][len(self.logs[place])] = written
        self.queue(place, "w")

    def drain(self, name: str, through: PeerId, answer: Callable[[bool], None]) -> None:
        """Queues an operation without effect on every shard of `name`; `answer(True)` when each
        replica has applied it. Raises: Unavailable, if the peer is down: nothing was queued."""
        if not self.peers[through].up:
            raise Unavailable("connection refused")
        ends = [(self.logs[place], self.queue(place, "d")) for place in self.places(name)]
        for place in self.places(name):
            self._repair(place)

        def look() -> None:
            behind = any(
                replica.applied < end
                for place in self.places(name)
                for log, end in ends
                if self.logs[place] is log
                for peer in self.peers.values()
                if (replica := peer.replicas.get(place)) is not None
            )
            if not behind:
                answer(True)
            else:
                self.world.after(0.01, look)

        self.world.after(0.002, look)

    def queue(self, place: Place, kind: str) -> int:
        self.logs[place].append((kind, self.world.now_s))
        for peer in self.peers.values():
            if place in peer.replicas:
                self._pump(peer, place)
        return len(self.logs[place])

    def places(self, name: str) -> list[Place]:
        return [place for place in self.logs if place[0] == name]

    def _repair(self, place: Place) -> None:
        """A write that finds a dirty replica beside a whole one has it filled from that."""
        for peer in self.peers.values():
            replica = peer.replicas.get(place)
            whole = [
                other.replicas[place]
                for other in self.peers.values()
                if place in other.replicas and not other.replicas[place].dirty
            ]
            if replica is not None and replica.dirty and whole:
                self.world.after(2.0, partial(self._fill, peer, place, replica))

    def _fill(self, peer: Peer, place: Place, replica: SimReplica) -> None:
        sources = [p for p in self.peers.values() if p is not peer and place in p.replicas]
        whole = next((p.replicas[place] for p in sources if not p.replicas[place].dirty), None)
        if peer.replicas.get(place) is replica and replica.dirty and whole and peer.up:
            replica.applied, replica.content, replica.tar = whole.applied, whole.content, whole.tar
            replica.writes, replica.dirty, replica.uncounted = list(whole.writes), False, 1
            replica.missing, replica.points = whole.missing, dict(whole.points)
            replica.begin_log()
            replica.history.append((self.world.now_s, whole.content))
            peer.arrivals += 1
            self._pump(peer, place)

    def _pump(self, peer: Peer, place: Place) -> None:
        replica = peer.replicas[place]
        if not replica.pumping and peer.up:
            replica.pumping = True
            delay_s = self.world.rng.random() * 0.02
            self.world.after(delay_s, lambda: self._apply(peer, place, replica))

    def _apply(self, peer: Peer, place: Place, replica: SimReplica) -> None:
        replica.pumping = False
        if not peer.up or replica.dirty or peer.replicas.get(place) is not replica:
            return
        log = self.logs[place]
        if replica.applied >= len(log):
            return
        kind, _ = log[replica.applied]
        replica.applied += 1
        replica.log.append(kind)
        replica.logged = replica.log.last
        if kind == "f":
            replica.failed += 1
            replica.unnumbered += 1  # its number shows with the next operation
        else:
            self._applied(peer, place, replica, kind)
        if replica.applied < len(log):
            self._pump(peer, place)

    def _applied(self, peer: Peer, place: Place, replica: SimReplica, kind: str) -> None:
        if replica.uncounted:
            replica.uncounted -= 1  # the first operation after an arrival does not count
        else:
            replica.number += 1 + replica.unnumbered
            replica.unnumbered = 0
        if kind == "w":
            self._change(replica, 1)
            written = self.ops[place].get(replica.applied - 1)
            if written is not None:
                written.apply_to(replica.points)
        if replica.failed:  # any operation wakes what applies it again
            delay_s = self.world.rng.random() * 0.3
            self.world.after(delay_s, partial(self._retry, peer, place, replica))

    def _retry(self, peer: Peer, place: Place, replica: SimReplica) -> None:
        if peer.up and peer.replicas.get(place) is replica and replica.failed:
            count, replica.failed = replica.failed, 0
            self._change(replica, count)

    def _change(self, replica: SimReplica, writes: int) -> None:
        replica.content += writes
        if replica.optimizing and self.world.chance(0.5):
            replica.lost += writes  # deletes
        replica.writes.extend([self.world.now_s] * writes)
        replica.history.append((self.world.now_s, replica.content))

    def optimize(self, place: Place, seconds: float) -> None:
        """Every replica is optimized for so long, unless one is already."""
        for peer in self.peers.values():
            replica = peer.replicas.get(place)
            if replica is not None and not replica.optimizing:
                replica.optimizing = f"{self.world.now_s:012.6f}"
                self.world.after(seconds, partial(self._optimized, replica))

    @staticmethod
    def _optimized(replica: SimReplica) -> None:
        """Its segments are others from now on."""
        replica.optimized.insert(0, replica.optimizing)
        replica.optimizing, replica.lost = "", 0

    def diverge(self, place: Place, writes: int) -> None:
        """One of several replicas has older data put in place, and stays Active."""
        peers = [peer for peer in self.peers.values() if place in peer.replicas]
        if len(peers) > 1:
            replica = self.world.rng.choice(peers).replicas[place]
            replica.content -= writes
            replica.missing += writes
            replica.history.append((self.world.now_s, replica.content))

    def fail_write(self, place: Place) -> None:
        """Queues one write that no replica can apply for now, for want of disk space."""
        if place in self.logs and place[0] != POINTED:
            self.queue(place, "f")

    def _up(self, peer_id: PeerId) -> Peer:
        peer = self.peers[peer_id]
        if not peer.up:
            raise Unavailable("connection refused")
        return peer

    def _forget(self, replica: SimReplica) -> None:
        """It is on its peer's disk no more."""
        replica.history.append((self.world.now_s, -1))
        replica.log.remove()

"""A Qdrant cluster as a value in time: logs of writes, replicas that apply them late, peers that
restart and lag, shards that move, collections that come and go. It keeps the whole truth, for the
checkers.

A shard's content is the number of points its replica holds: one more with each write (drains left
out) it has applied, and after a recovery what the tar holds. Logs only grow and are applied in
order, and tars hold numbers that no writes reach, so equal counts are equal contents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cleancut.core.primitives.errors import Invalid, NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import PeerId
from simulation.logs import SimLog
from simulation.replica import Move, PeerView, Shape, SimCollection, SimReplica
from simulation.world import World

Place = tuple[str, int]
REMADE = 100_000
"""Contents of shards that were dropped and made again are far from all others."""
ANSWER_S = 0.003
"""The longest that an answer of a peer is on its way."""


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


class SimQdrant:
    """The cluster: what clients and agents can do to it, and what may befall it."""

    def __init__(self, world: World, shape: Shape) -> None:
        self.world, self.recorder, copies = world, shape.recorder, shape.copies
        self.peers = {PeerId(i): Peer(PeerId(i)) for i in range(1, shape.peers + 1)}
        self.logs: dict[Place, list[tuple[str, float]]] = {}
        self.replicas: list[tuple[Place, PeerId, SimReplica]] = []
        self.moves: dict[Place, Move] = {}
        self.collections: dict[str, SimCollection] = {}
        self.every: list[SimCollection] = []
        self.aliases: dict[str, str] = {}
        self.stopped = False
        self.lag_s = 0.1
        self.on_stop: list[Callable[[Peer], None]] = []
        self.on_change: Callable[[], None] = lambda: None
        self._aliases_made = 0
        for name, count in shape.shards.items():
            self._lay_out(name, count, copies, 0)
            self._enter(SimCollection(name, f"uuid-{name}", count, info_of(count, copies)))
        self._rename()
        self.views: list[PeerView] = [PeerView(dict(self.collections), dict(self.aliases))]

    def _enter(self, collection: SimCollection) -> None:
        self.collections[collection.name] = collection
        self.every.append(collection)

    def _lay_out(self, name: str, shards: int, copies: int, points: int) -> None:
        ids = list(self.peers)
        for shard in range(shards):
            self.logs[name, shard] = []
            for copy in range(min(copies, len(ids))):
                self._add((name, shard), ids[(shard + copy) % len(ids)], 0, points)

    def _add(self, place: Place, peer: PeerId, applied: int, content: int) -> SimReplica:
        number = self.world.rng.randrange(50)
        history = [(self.world.now_s, content)]
        life, log = len(self.replicas), SimLog(number + 1, self.recorder)
        replica = SimReplica(life, applied, content, number, history, log, number)
        self.peers[peer].replicas[place] = replica
        self.replicas.append((place, peer, replica))
        return replica

    def add_replica(self, place: Place, peer: PeerId) -> SimReplica:
        """One more copy, empty: what a recovery makes of a peer that held none."""
        made = self._add(place, peer, len(self.logs[place]), 0)
        self._reshaped()
        return made

    def copy_shard(self, place: Place, target: PeerId) -> None:
        """One more copy, as the shard is now."""
        sources = [peer.replicas[place] for peer in self.peers.values() if place in peer.replicas]
        if sources and place not in self.peers[target].replicas:
            made = self._add(place, target, sources[0].applied, sources[0].content)
            made.tar, made.writes = sources[0].tar, list(sources[0].writes)
            made.dirty, made.missing = sources[0].dirty, sources[0].missing
            self._pump(self.peers[target], place)
            self._reshaped()

    # Writing

    def write(self, place: Place) -> None:
        """Queues one write, if there is such a shard; every replica applies it in its turn."""
        if place in self.logs:
            self._queue(place, "w")

    def drain(self, name: str, through: PeerId, answer: Callable[[bool], None]) -> None:
        """Queues an operation without effect on every shard of `name`; `answer(True)` when each
        replica has applied it. Raises: Unavailable, if the peer is down: nothing was queued."""
        if not self.peers[through].up:
            raise Unavailable("connection refused")
        ends = [(self.logs[place], self._queue(place, "d")) for place in self.places(name)]
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

    def _queue(self, place: Place, kind: str) -> int:
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
            replica.missing = whole.missing
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
        if place in self.logs:
            self._queue(place, "f")

    def remake(self, place: Place) -> None:
        """Drops the shard's key and makes it again, with other data, up to the number it had: in
        the same place, under the same id, so that no view shows it."""
        if place not in self.logs or place in self.moves:
            return
        self.logs[place] = []
        for peer in self.peers.values():
            old = peer.replicas.pop(place, None)
            if old is None:
                continue
            old.history.append((self.world.now_s, -1))
            old.log.remove()
            made = self._add(place, peer.id, 0, REMADE * (len(self.replicas) + 1))
            made.number = old.number
            made.begin_log()

    # Reading

    def freeze_shard(self, peer_id: PeerId, place: Place) -> SimReplica:
        """The replica as it is now. Raises: Unavailable, NotFound."""
        peer, live = self._up(peer_id), self.collections.get(place[0])
        known = live is not None and self.uuid_at(peer_id, place[0]) == live.uuid
        replica = peer.replicas.get(place) if known else None
        if replica is None or replica.dirty:
            raise NotFound(f"no shard {place[1]} of {place[0]} here")
        return replica

    def _up(self, peer_id: PeerId) -> Peer:
        peer = self.peers[peer_id]
        if not peer.up:
            raise Unavailable("connection refused")
        return peer

    # What befalls it

    def stop_peer(self, peer_id: PeerId, seconds: float) -> None:
        """The peer is down for so long; what it has not applied it applies afterwards."""
        peer = self.peers[peer_id]
        if peer.up and not self.stopped:  # it would not come back
            peer.up = False
            for stopped in tuple(self.on_stop):
                stopped(peer)
            self.world.after(seconds, lambda: self._start(peer))

    def _start(self, peer: Peer) -> None:
        peer.up, peer.start, peer.arrivals = True, peer.start + 1, 0
        self._show(peer, len(self.views) - 1)
        for place, replica in peer.replicas.items():
            replica.number = max(0, replica.number - self.world.rng.randrange(3))
            replica.unnumbered = 0
            self._retry(peer, place, replica)
            self._pump(peer, place)

    def move_shard(self, place: Place, target: PeerId, seconds: float) -> None:
        """Moves one copy to a peer that has none, if there is one that can be moved."""
        sources = [peer.id for peer in self.peers.values() if place in peer.replicas]
        if sources and place not in self.moves and target not in sources:
            self.transfer(place, sources[0], target, seconds, keep=False)

    def transfer(
        self, place: Place, source: PeerId, target: PeerId, seconds: float, *, keep: bool
    ) -> None:
        """Copies a shard to `target`, and unless `keep` drops it at `source`; it is seen in views,
        and gives up if a peer is down at its end. Raises: NotFound, Refused."""
        if place not in self.peers[source].replicas:
            raise NotFound(f"no shard {place} at peer {source}")
        if place in self.moves:
            raise Refused(f"shard {place} is in another transfer")
        if keep and place in self.peers[target].replicas:
            raise Refused(f"peer {target} has shard {place} already")
        made = self.moves[place] = Move(source, target, keep)
        self.peers[target].arrivals += 1
        self._reshaped()
        self.world.after(seconds, lambda: self._moved(place, made))

    def abort_transfer(self, place: Place, source: PeerId, target: PeerId) -> None:
        """Raises: NotFound."""
        found = self.moves.get(place)
        if found is None or (found.source, found.target) != (source, target):
            raise NotFound(f"no transfer of {place} from {source} to {target}")
        del self.moves[place]
        self._reshaped()

    def drop_replica(self, place: Place, peer_id: PeerId) -> None:
        """Raises: NotFound; Invalid, for the last whole one."""
        others = [
            peer
            for peer in self.peers.values()
            if peer.id != peer_id and place in peer.replicas and not peer.replicas[place].dirty
        ]
        if place not in self.peers[peer_id].replicas:
            raise NotFound(f"no shard {place} at peer {peer_id}")
        if not others:
            raise Invalid(f"shard {place} has no other replica")
        self._forget(self.peers[peer_id].replicas.pop(place))
        self._reshaped()

    def _moved(self, place: Place, move: Move) -> None:
        if self.moves.get(place) is not move:
            return  # aborted, or its collection was dropped meanwhile
        del self.moves[place]
        source, target = self.peers[move.source], self.peers[move.target]
        if source.up and target.up and place in source.replicas:
            old = source.replicas[place]
            if place not in target.replicas:
                new = self._add(place, target.id, old.applied, old.content)
                new.uncounted, new.tar, new.writes = 1, old.tar, list(old.writes)
                new.dirty, new.failed, new.missing = old.dirty, old.failed, old.missing
                self._pump(target, place)
            if not move.keep:
                self._forget(source.replicas.pop(place))
        self._reshaped()

    def _forget(self, replica: SimReplica) -> None:
        """It is on its peer's disk no more."""
        replica.history.append((self.world.now_s, -1))
        replica.log.remove()

    def change_alias(self) -> None:
        self._rename()
        self._reshaped()

    def _rename(self) -> None:
        self.aliases.pop(f"alias-{self._aliases_made}", None)
        self._aliases_made += 1
        olds = [name for name, found in self.collections.items() if found.made_s == 0.0]
        if olds:
            self.aliases[f"alias-{self._aliases_made}"] = min(olds)

    # What is made and dropped

    def create(self, name: str, info: dict[str, Any], maker: str, points: int = 0) -> None:
        """Raises: Refused, if the name is taken."""
        if name in self.collections or name in self.aliases:
            raise Refused(f"collection {name!r} already exists")
        params = info["config"]["params"]
        shards, copies = int(params["shard_number"]), int(params["replication_factor"])
        made = SimCollection(name, f"uuid-{name}-{len(self.every)}", shards, info, maker)
        made.made_s, made.version = self.world.now_s, len(self.views)
        self._lay_out(name, shards, copies, points)
        self._enter(made)
        self._reshaped()

    def drop(self, name: str, dropper: str, known: str = "") -> bool:
        """Whether there was one."""
        gone = self.collections.pop(name, None)
        if gone is None:
            return False
        gone.dropper, gone.drop_known = dropper, known == gone.uuid
        gone.dropped_s = self.world.now_s
        for place in self.places(name):
            self.moves.pop(place, None)
            del self.logs[place]
            for peer in self.peers.values():
                if (replica := peer.replicas.pop(place, None)) is not None:
                    self._forget(replica)
                    gone.lost_s += tuple(replica.writes)
        for alias in [alias for alias, of in self.aliases.items() if of == name]:
            del self.aliases[alias]
        self._reshaped()
        return True

    def point(self, alias: str, name: str) -> None:
        """Raises: NotFound, Refused."""
        if name not in self.collections:
            raise NotFound(f"collection {name!r} does not exist")
        if alias in self.collections:
            raise Refused(f"{alias!r} is a collection")
        self.aliases[alias] = name
        self._reshaped()

    def unpoint(self, alias: str) -> None:
        if self.aliases.pop(alias, ""):
            self._reshaped()

    def rename(self, old: str, new: str) -> None:
        """Raises: NotFound, Refused."""
        if old not in self.aliases:
            raise NotFound(f"alias {old!r} does not exist")
        if new in self.collections:
            raise Refused(f"{new!r} is a collection")
        self.aliases[new] = self.aliases.pop(old)
        self._reshaped()

    def info(self, name: str) -> dict[str, Any]:
        """Raises: NotFound."""
        if name not in self.collections:
            raise NotFound(f"collection {name!r} does not exist")
        return self.collections[name].info

    def seen_by(self, peer_id: PeerId) -> PeerView:
        """What the peer has applied of what the cluster agreed on."""
        return self.views[self.peers[peer_id].view]

    def uuid_at(self, peer_id: PeerId, name: str) -> str:
        """As this peer knows it; "" for no such collection."""
        found = self.seen_by(peer_id).collections.get(name)
        return found.uuid if found else ""

    def told_at(self, peer_id: PeerId, name: str) -> str:
        """As a caller that has just asked this peer knows it: without what the peer has learned
        since its answer left."""
        uuid = self.uuid_at(peer_id, name)
        since_s = self.world.now_s - self.peers[peer_id].known_s.get(uuid, self.world.now_s)
        return uuid if since_s >= ANSWER_S else ""

    def learn_all(self, peer_id: PeerId) -> None:
        """The peer has applied all that the cluster has agreed on."""
        peer = self.peers[peer_id]
        self._show(peer, len(self.views) - 1)

    def _learn(self, peer: Peer, version: int) -> None:
        if peer.up:
            self._show(peer, max(peer.view, version))

    def _show(self, peer: Peer, version: int) -> None:
        peer.view = version
        for found in self.views[version].collections.values():
            peer.known_s.setdefault(found.uuid, self.world.now_s)

    def quorum(self) -> bool:
        up = sum(peer.up for peer in self.peers.values())
        return not self.stopped and 2 * up > len(self.peers)

    def _reshaped(self) -> None:
        """A new version of the cluster's shape, which each peer comes to know in its own time."""
        self.views.append(PeerView(dict(self.collections), dict(self.aliases)))
        self.on_change()
        newest = len(self.views) - 1
        for peer in self.peers.values():
            self.world.after(
                self.world.rng.random() * self.lag_s, partial(self._learn, peer, newest)
            )


def info_of(shards: int, copies: int, size: int = 4) -> dict[str, Any]:
    """What `GET /collections/{name}` says, as far as a restore reads it."""
    params = {
        "vectors": {"size": size, "distance": "Cosine"},
        "shard_number": shards,
        "replication_factor": copies,
    }
    return {"config": {"params": params}, "payload_schema": {}}

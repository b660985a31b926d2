"""A Qdrant cluster as a value in time: peers that restart and lag, shards that move, collections
that come and go. It keeps the whole truth, for the checkers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.primitives.ids import PeerId
from simulation.replica import POINTED, Move, PeerView, Shape, SimCollection, SimReplica
from simulation.shards import REMADE, Peer, Place, SimShards
from simulation.world import World

ANSWER_S = 0.003
"""The longest that an answer of a peer is on its way."""


class SimQdrant(SimShards):
    """The cluster: what clients and agents can do to it, and what may befall it."""

    def __init__(self, world: World, shape: Shape) -> None:
        super().__init__(world, shape.peers, shape.recorder)
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
            self._lay_out(name, count, shape.copies, 0)
            self._enter(SimCollection(name, f"uuid-{name}", count, info_of(count, shape.copies)))
        self.first_pointed = self.collections.get(POINTED)
        self._rename()
        self.views: list[PeerView] = [self._view()]

    def _enter(self, collection: SimCollection) -> None:
        self.collections[collection.name] = collection
        self.every.append(collection)

    def add_replica(self, place: Place, peer: PeerId) -> SimReplica:
        """One more copy, empty: what a recovery makes of a peer that held none."""
        made = self._add(place, peer, len(self.logs[place]), 0)
        self.reshaped()
        return made

    def make_shard(self, place: Place, peer: PeerId) -> SimReplica:
        """One shard more, empty."""
        self._open_log(place)
        return self._add(place, peer, 0, 0)

    def copy_shard(self, place: Place, target: PeerId) -> None:
        """One more copy, as the shard is now."""
        sources = [peer.replicas[place] for peer in self.peers.values() if place in peer.replicas]
        if sources and self._may_move(place) and place not in self.peers[target].replicas:
            made = self._add(place, target, sources[0].applied, sources[0].content)
            made.tar, made.writes = sources[0].tar, list(sources[0].writes)
            made.dirty, made.missing = sources[0].dirty, sources[0].missing
            made.points = dict(sources[0].points)
            self._pump(self.peers[target], place)
            self.reshaped()

    def remake(self, place: Place) -> None:
        """Drops the shard's key and makes it again, with other data, up to the number it had: in
        the same place, under the same id, so that no view shows it."""
        if place not in self.logs or place in self.moves or place[0] == POINTED:
            return
        self._open_log(place)
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
        if sources and self._may_move(place) and target not in sources:
            self.transfer(place, sources[0], target, seconds, keep=False)

    def _may_move(self, place: Place) -> bool:
        found = self.collections.get(place[0])
        return place not in self.moves and (found is None or found.resharding is None)

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
        self.reshaped()
        self.world.after(seconds, lambda: self._moved(place, made))

    def abort_transfer(self, place: Place, source: PeerId, target: PeerId) -> None:
        """Raises: NotFound."""
        found = self.moves.get(place)
        if found is None or (found.source, found.target) != (source, target):
            raise NotFound(f"no transfer of {place} from {source} to {target}")
        del self.moves[place]
        self.reshaped()

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
        self.reshaped()

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
                new.points = dict(old.points)
                self._pump(target, place)
            if not move.keep:
                self._forget(source.replicas.pop(place))
        self.reshaped()

    def change_alias(self) -> None:
        self._rename()
        self.reshaped()

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
        self.reshaped()

    def drop(self, name: str, dropper: str, known: str = "") -> bool:
        """Whether there was one."""
        gone = self.collections.pop(name, None)
        if gone is None:
            return False
        gone.dropper, gone.drop_known = dropper, known == gone.uuid
        gone.dropped_s = self.world.now_s
        for place in self.places(name):
            gone.lost_s += self.drop_shard(place)
        for alias in [alias for alias, of in self.aliases.items() if of == name]:
            del self.aliases[alias]
        self.reshaped()
        return True

    def drop_shard(self, place: Place) -> tuple[float, ...]:
        """When the writes came that went with it."""
        self.moves.pop(place, None)
        del self.logs[place], self.ops[place]
        gone = [p.replicas.pop(place) for p in self.peers.values() if place in p.replicas]
        for replica in gone:
            self._forget(replica)
        return tuple(at_s for replica in gone for at_s in replica.writes)

    def point(self, alias: str, name: str) -> None:
        """Raises: NotFound, Refused."""
        if name not in self.collections:
            raise NotFound(f"collection {name!r} does not exist")
        if alias in self.collections:
            raise Refused(f"{alias!r} is a collection")
        self.aliases[alias] = name
        self.reshaped()

    def unpoint(self, alias: str) -> None:
        if self.aliases.pop(alias, ""):
            self.reshaped()

    def rename(self, old: str, new: str) -> None:
        """Raises: NotFound, Refused."""
        if old not in self.aliases:
            raise NotFound(f"alias {old!r} does not exist")
        if new in self.collections:
            raise Refused(f"{new!r} is a collection")
        self.aliases[new] = self.aliases.pop(old)
        self.reshaped()

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

    def _view(self) -> PeerView:
        rings = {name: found.rings for name, found in self.collections.items()}
        return PeerView(dict(self.collections), dict(self.aliases), rings)

    def reshaped(self) -> None:
        """A new version of the cluster's shape, which each peer comes to know in its own time."""
        self.views.append(self._view())
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

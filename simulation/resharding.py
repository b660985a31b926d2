"""Resharding of the simulated Qdrant: the one collection that holds points, and how it is changed.
Of others, which are restored, only the number of points is known: it stays as it is.

It is as unkind as a real one: a stream fills one replica and fails with either end, which aborts
the whole resharding; commits are taken in order, whatever was streamed; a cleanup deletes by the
newest ring at any stage; peers write by the rings that they know of.
Source: the contract tests of resharding (tests/contract/qdrant/test_resharding.py)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import NamedTuple

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.core.primitives.errors import Invalid, NotFound
from cleancut.core.primitives.ids import PeerId
from simulation.qdrant import SimQdrant, info_of
from simulation.replica import (
    MIGRATING,
    POINTED,
    READS,
    RECEIVES,
    RECEIVES_AND_SERVES,
    WRITES,
    Move,
    PointWrite,
    Resharding,
    SimCollection,
    SimReplica,
    Span,
)
from simulation.shards import Peer, Place
from simulation.world import Process

IDS = 48
"""Points of the collection have ids below this."""
SETTLED = 1_000_000_000
"""Contents of shards after a resharding are far from all others, and from each other's."""
_SETTLED_BY = 1_000_000
GIVEN_UP_S = 0.2


@cache
def owners(shards: int) -> tuple[int, ...]:
    """The shard of each id, by the ring of that number of shards."""
    return tuple(HashRing(range(shards)).shards_of(range(IDS)))


class Commit(NamedTuple):
    """A ring that was committed."""

    at_s: float
    uuid: str
    stage: int


@dataclass(slots=True)
class SimReshardings:
    """All reshardings of one history. `acked`: the newest version of each point that a client knows
    to be written, None of one that it knows to be deleted; of the collection's first life.
    `before_commit` is called with a process that is about to ask for one."""

    qdrant: SimQdrant
    acked: dict[int, int | None] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    before_commit: Callable[[Process], None] = field(default=lambda _: None)
    _cleaned: set[tuple[PeerId, Place]] = field(default_factory=set)
    _aborted: set[str] = field(default_factory=set)
    _settled: int = 0

    def __post_init__(self) -> None:
        self.qdrant.on_stop.append(self._peer_stopped)

    def fill(self) -> None:
        """Half of the points are there from the beginning."""
        shards = self.qdrant.collections[POINTED].shards
        for point in range(0, IDS, 2):
            self.acked[point] = 0
            for _, replica in self._replicas((POINTED, owners(shards)[point])):
                replica.points[point] = 0

    def _replicas(self, place: Place) -> list[tuple[Peer, SimReplica]]:
        peers = self.qdrant.peers.values()
        return [(peer, peer.replicas[place]) for peer in peers if place in peer.replicas]

    # Clients

    def write(self, through: PeerId, written: PointWrite) -> bool:
        """Whether it is acknowledged; otherwise nothing was written, and a client repeats it."""
        qdrant = self.qdrant
        found, peer = qdrant.collections.get(POINTED), qdrant.peers[through]
        if found is None or not peer.up or qdrant.uuid_at(through, POINTED) != found.uuid:
            return False
        rings = qdrant.seen_by(through).rings_of(POINTED)
        if rings.resharding is not None and rings.resharding.uuid in self._aborted:
            return False
        places = {(POINTED, owners(shards)[written.point]) for shards in (rings.old, rings.new)}
        if not places <= qdrant.logs.keys() or not all(map(self._takes_writes, places)):
            return False
        for place in sorted(places):
            qdrant.write_point(place, written)
        if found is qdrant.first_pointed:
            self.acked[written.point] = written.version
        return True

    def _takes_writes(self, place: Place) -> bool:
        """A replica that gets points and cannot be written to ends the resharding, unless it is the
        only one."""
        replicas = self._replicas(place)
        if not any(peer.up for peer, _ in replicas):
            return False
        if any(replica.state and not peer.up for peer, replica in replicas):
            self._give_up(POINTED)
            return False
        return True

    # Steps, as the cluster agrees on them

    def under_way(self, name: str) -> tuple[SimCollection, Resharding]:
        """Raises: NotFound, Invalid."""
        found = self.qdrant.collections.get(name)
        if found is None:
            raise NotFound(f"collection {name!r} doesn't exist")
        if found.resharding is None:
            raise Invalid(f"resharding is not in progress for collection {name}")
        return found, found.resharding

    def start(self, name: str, uuid: str, peer: PeerId, *, up: bool) -> None:
        """Raises: NotFound, Invalid."""
        qdrant = self.qdrant
        found = qdrant.collections.get(name)
        if found is None:
            raise NotFound(f"collection {name!r} doesn't exist")
        if found.resharding is not None:
            raise Invalid("resharding is already in progress")
        if not up and found.shards == 1:
            raise Invalid("cannot remove the last shard")
        place = (name, found.shards if up else found.shards - 1)
        found.resharded.append(Span(qdrant.world.now_s, found.shards))
        found.resharding = Resharding(uuid, up, place[1], peer)
        if up:
            self._resize(found, 1)
            qdrant.make_shard(place, peer).state = RECEIVES
        qdrant.reshaped()

    def _resize(self, found: SimCollection, more: int) -> None:
        found.shards += more
        copies = found.info["config"]["params"]["replication_factor"]
        found.info = info_of(found.shards, copies)

    def stream(self, place: Place, to_shard: int, move: Move, seconds: float) -> None:
        """Consensus of all peers stops for good if there is no such shard. Raises: Invalid."""
        qdrant = self.qdrant
        target = qdrant.peers[move.target].replicas.get((place[0], to_shard))
        if (place[0], to_shard) not in qdrant.logs:
            qdrant.stopped = True
            raise Invalid(f"Destination shard {to_shard} does not exist")
        _, one = self.under_way(place[0])
        if (
            place in qdrant.moves
            or target is None
            or place not in qdrant.peers[move.source].replicas
        ):
            raise Invalid("a replica is in another transfer, or not there")
        if not one.up:
            target.state = RECEIVES_AND_SERVES
        qdrant.moves[place] = move
        qdrant.reshaped()
        qdrant.world.after(seconds, partial(self._streamed, place, to_shard, move))

    def _streamed(self, place: Place, to_shard: int, move: Move) -> None:
        qdrant = self.qdrant
        if qdrant.moves.get(place) is not move:
            return
        source, target = qdrant.peers[move.source], qdrant.peers[move.target]
        filled = target.replicas.get((place[0], to_shard))
        if not source.up or not target.up or filled is None or place not in source.replicas:
            self._give_up(place[0])
            return
        del qdrant.moves[place]
        if place[0] != POINTED:
            qdrant.reshaped()
            return
        points, new = self._caught_up(source, place), qdrant.collections[place[0]].rings.new
        moving = {one: version for one, version in points.items() if owners(new)[one] == to_shard}
        filled.points |= moving
        self._changed(filled)
        qdrant.reshaped()

    def _caught_up(self, peer: Peer, place: Place) -> dict[int, int]:
        """With what waits in the replica's queue: it is sent on once it is applied."""
        replica, ops = peer.replicas[place], self.qdrant.ops[place]
        points = dict(replica.points)
        for at in range(replica.applied, len(self.qdrant.logs[place])):
            if at in ops:
                ops[at].apply_to(points)
        return points

    def _changed(self, replica: SimReplica) -> None:
        replica.number += 1
        replica.content += 1
        replica.history.append((self.qdrant.world.now_s, replica.content))

    def migrated(self, place: Place, peer: PeerId) -> None:
        """The replica is Active again. Raises: NotFound, Invalid."""
        self.under_way(place[0])
        replica = self.qdrant.peers[peer].replicas.get(place)
        if replica is None or not replica.state:
            raise Invalid(f"Replica {peer} of shard {place[1]} has another state")
        replica.state = ""
        self.qdrant.reshaped()

    def commit(self, name: str, stage: int) -> None:
        """A repeated one changes nothing. Raises: NotFound, Invalid."""
        found, one = self.under_way(name)
        if one.stage < stage - 1:
            raise Invalid("resharding is at another stage")
        if one.stage >= stage:
            return
        found.resharding = one._replace(stage=stage)
        self.commits.append(Commit(self.qdrant.world.now_s, one.uuid, stage))
        if stage == READS:
            self._cleaned.clear()
        self.qdrant.reshaped()

    def cleanup(self, peer_id: PeerId, place: Place) -> None:
        """By the newest ring that this peer knows of; what waits in its queue is applied later.
        Raises: NotFound."""
        replica = self.qdrant.peers[peer_id].replicas.get(place)
        seen = self.qdrant.seen_by(peer_id)
        if replica is None or place[0] not in seen.collections:
            raise NotFound(f"Shard {place[1]} is not a local shard")
        if (peer_id, place) in self._cleaned:
            return
        self._cleaned.add((peer_id, place))
        if place[0] == POINTED:
            self._keep(replica, place[1], seen.rings_of(place[0]).new)

    def _keep(self, replica: SimReplica, shard: int, ring: int) -> None:
        replica.points = {
            one: version for one, version in replica.points.items() if owners(ring)[one] == shard
        }
        self._changed(replica)

    def finish(self, name: str) -> None:
        """Raises: NotFound, Invalid."""
        found, one = self.under_way(name)
        if one.stage != WRITES:
            raise Invalid("resharding is at another stage")
        if not one.up:
            self._hand_on(found, one.shard)
            self._drop_last(found, one.shard)
        self._end(found)

    def _hand_on(self, found: SimCollection, shard: int) -> None:
        """What is only counted goes to the first shard."""
        held = [replica.content for _, replica in self._replicas((found.name, shard))]
        for _, replica in self._replicas((found.name, 0)) if found.name != POINTED else ():
            replica.content += max(held, default=0)
            replica.history.append((self.qdrant.world.now_s, replica.content))

    def _drop_last(self, found: SimCollection, shard: int) -> None:
        self.qdrant.drop_shard((found.name, shard))
        self._cleaned = {one for one in self._cleaned if one[1] != (found.name, shard)}
        self._resize(found, -1)

    def abort(self, name: str) -> None:
        """As before its start. Raises: NotFound, Invalid."""
        qdrant = self.qdrant
        found, one = self.under_way(name)
        if one.stage >= READS:
            raise Invalid("can't abort resharding, because read hash ring has been committed")
        self._aborted.add(one.uuid)
        self._cleaned.clear()
        for place in qdrant.places(name):
            if place in qdrant.moves and qdrant.moves[place].to_shard is not None:
                del qdrant.moves[place]
        if one.up:
            self._drop_last(found, one.shard)
        else:
            for place in qdrant.places(name):
                self._take_back(place, found.shards)
        self._end(found)

    def _take_back(self, place: Place, shards: int) -> None:
        """What was sent, and what waits to be applied."""
        ops = self.qdrant.ops[place]
        for at in [at for at, one in ops.items() if owners(shards)[one.point] != place[1]]:
            del ops[at]
        for _, replica in self._replicas(place):
            replica.state = ""
            if place[0] == POINTED:
                self._keep(replica, place[1], shards)

    def _end(self, found: SimCollection) -> None:
        found.resharding = None
        found.resharded[-1].until_s = self.qdrant.world.now_s
        for place in self.qdrant.places(found.name) if found.name == POINTED else ():
            self._settle(place)
        self.qdrant.reshaped()

    def _settle(self, place: Place) -> None:
        """Replicas that hold the same points have the same content, unlike any before."""
        self._settled += 1
        for peer, replica in self._replicas(place):
            ops = self.qdrant.logs[place][replica.applied :]
            waiting = sum(kind == "w" for kind, _ in ops)
            differs = self._caught_up(peer, place) != self._caught_up(
                self._replicas(place)[0][0], place
            )
            replica.content = SETTLED + _SETTLED_BY * self._settled - waiting - differs * 1000
            replica.history.append((self.qdrant.world.now_s, replica.content))

    # What befalls it

    def _peer_stopped(self, peer: Peer) -> None:
        self._cleaned = {one for one in self._cleaned if one[0] != peer.id}
        for place, one in tuple(self.qdrant.moves.items()):
            if one.to_shard is not None and peer.id in (one.source, one.target):
                self._give_up(place[0])

    def _give_up(self, name: str) -> None:
        """Peers agree on the abort of what is under way, once a majority is there."""
        found = self.qdrant.collections.get(name)
        one = found.resharding if found else None
        if one is not None:
            self.qdrant.world.after(GIVEN_UP_S, partial(self._given_up, name, one.uuid))

    def _given_up(self, name: str, uuid: str) -> None:
        found = self.qdrant.collections.get(name)
        one = found.resharding if found else None
        if one is None or one.uuid != uuid or one.stage != MIGRATING:
            return
        if self.qdrant.quorum():
            self.abort(name)
        elif not self.qdrant.stopped:
            self.qdrant.world.after(GIVEN_UP_S, partial(self._given_up, name, uuid))

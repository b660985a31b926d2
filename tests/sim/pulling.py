"""Recoveries under way: a peer pulls a tar from an agent and puts it in place of a shard.

A pull ends well, or is cut off (nothing changes), or its peer is killed: before it loads the tar
nothing changes, while it loads it the shard may come to be dirty, afterwards it is recovered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, TimedOut, Unavailable
from cleancut.core.primitives.ids import PeerId
from cleancut.core.protocol.etcd_records import ShardTask
from tests.sim import trace
from tests.sim.network import Shared
from tests.sim.qdrant import Peer, Place, SimQdrant
from tests.sim.replica import Replica
from tests.sim.world import Process

IDLE_S = 6.0
"""How long a peer waits for a byte."""
DIRTY = 0.4
"""How often a kill while loading leaves a dirty shard."""


@dataclass(eq=False)
class SimOffer:
    """A tar that its agent serves, for as long as it lives and the offer is open."""

    path: str
    task: ShardTask
    process: Process
    is_open: bool = True
    pulled_by: int = 0
    failure: CleancutError | None = None

    def alive(self) -> bool:
        return self.is_open and self.process.alive

    async def wait_idle(self, timeout_s: float) -> None:
        """As the real offer's: nothing is being sent. Raises: TimedOut."""
        deadline_s = self.process.world.now_s + timeout_s
        while self.pulled_by:
            if self.process.world.now_s >= deadline_s:
                raise TimedOut("still pulling after the bound")
            await self.process.sleep(0.1)


class SimTars:
    """The tars of one agent process, for the real `Recovery`."""

    def __init__(self, pulls: Pulls, process: Process) -> None:
        self._pulls, self._process = pulls, process

    @asynccontextmanager
    async def offer(self, task: ShardTask) -> AsyncIterator[SimOffer]:
        """Order: leaving the block cuts off what is being sent."""
        offer = SimOffer(f"/{len(self._pulls.offers)}", task, self._process)
        self._pulls.offers[offer.path] = offer
        try:
            yield offer
        finally:
            offer.is_open = False


@dataclass(eq=False, slots=True)
class Pull:
    """One recovery that a peer was asked for. `loading`: it has the whole tar."""

    peer: Peer
    place: Place
    replica: Replica
    uuid: str
    offer: SimOffer
    answer: Callable[[CleancutError | None], None]
    chunks: int
    loading: bool = False
    waited_s: float = 0.0


@dataclass(slots=True)
class Pulls:
    """All recoveries of the cluster, and all tars that are offered to it."""

    shared: Shared
    qdrant: SimQdrant
    offers: dict[str, SimOffer] = field(default_factory=dict)
    running: list[Pull] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.qdrant.on_stop.append(self._peer_stopped)

    def begin(
        self,
        peer_id: PeerId,
        place: Place,
        location: str,
        answer: Callable[[CleancutError | None], None],
    ) -> None:
        """`answer` is told how it ended, unless the peer dies. A peer that has no replica of the
        shard gets one. Raises: NotFound."""
        qdrant, world = self.qdrant, self.shared.world
        peer = qdrant.peers[peer_id]
        uuid = qdrant.uuid_at(peer_id, place[0])
        found = qdrant.collections.get(place[0])
        if found is None or found.uuid != uuid or place not in qdrant.logs:
            raise NotFound(f"no shard {place} at peer {peer_id}")
        replica = peer.replicas.get(place) or qdrant.add_replica(place, peer_id)
        offer = self.offers[location]
        pull = Pull(peer, place, replica, uuid, offer, answer, world.rng.randint(1, 3))
        for other in self.running:
            if other.replica is replica and other.offer.task.recipe != offer.task.recipe:
                wrong = f"{place} at {peer_id}: {other.offer.task.recipe}, {offer.task.recipe}"
                self.shared.trace.two_tars.append(wrong)
        offer.pulled_by += 1
        self.running.append(pull)
        self._wait(pull, world.rng.random() * 0.01)

    def _wait(self, pull: Pull, seconds: float) -> None:
        world, weather = self.shared.world, self.shared.weather
        if world.chance(weather.slow_tar):
            seconds += world.rng.random() * 3.0
        world.after(seconds, partial(self._go_on, pull))

    def _go_on(self, pull: Pull) -> None:
        """One step of a pull: a chunk, or a sign that no more will come."""
        if pull not in self.running:
            return
        world, weather = self.shared.world, self.shared.weather
        if not pull.offer.alive():
            self._end(pull, Corrupt("Failed to unpack tar archive"))
        elif pull.offer.process.frozen_until_s > world.now_s:
            pull.waited_s += 0.2
            if pull.waited_s > IDLE_S:
                self._end(pull, Unavailable("the tar's server sends nothing"))
            else:
                world.after(0.2, partial(self._go_on, pull))
        elif world.chance(weather.store_fails):
            pull.offer.failure = Unavailable("a store error of the simulation")
            self._end(pull, Corrupt("Failed to unpack tar archive"))
        elif pull.chunks:
            pull.chunks, pull.waited_s = pull.chunks - 1, 0.0
            self._wait(pull, world.rng.random() * 0.2)
        else:
            pull.loading = True
            pull.offer.pulled_by -= 1
            slow = world.chance(weather.slow_tar)
            delay_s = world.rng.random() * (3.0 if slow else 0.2)
            world.after(delay_s, partial(self._load, pull))

    def _load(self, pull: Pull) -> None:
        """The tar is in place of what was there."""
        if pull not in self.running:
            return
        if pull.peer.replicas.get(pull.place) is not pull.replica:
            self._end(pull, NotFound("the shard has gone"))
            return
        replica, world, task = pull.replica, self.shared.world, pull.offer.task
        wiped = tuple(replica.writes)
        looked = replica.looked_by is pull.offer.process
        self.shared.trace.swaps.append(
            trace.Swap(world.now_s, pull.uuid, pull.place, pull.peer.id, task.recipe)
        )
        unseen = [at_s for at_s in wiped if not looked or at_s < replica.looked_s]
        self.shared.trace.wiped += [(pull.uuid, at_s) for at_s in unseen]
        replica.tar, replica.content = task.recipe, int(task.recipe)
        replica.writes, replica.dirty = [], False
        replica.applied = len(self.qdrant.logs[pull.place])
        replica.number, replica.uncounted = int(task.recipe) % 97, 1
        if replica.history[-1][1] != replica.content:
            replica.history.append((world.now_s, replica.content))
        self._end(pull, None)

    def _end(self, pull: Pull, error: CleancutError | None) -> None:
        self.running.remove(pull)
        if not pull.loading:
            pull.offer.pulled_by -= 1
        pull.peer.arrivals += 1
        pull.answer(error)

    def _peer_stopped(self, peer: Peer) -> None:
        """Its pulls are over; the caller finds the connection broken."""
        for pull in [pull for pull in self.running if pull.peer is peer]:
            self.running.remove(pull)
            if not pull.loading:
                pull.offer.pulled_by -= 1
            elif self.shared.world.chance(DIRTY):
                pull.replica.dirty = True
                self.shared.trace.say(
                    self.shared.world.now_s, f"peer {peer.id}", f"{pull.place} is dirty"
                )
            pull.answer(TimedOut("the connection broke"))

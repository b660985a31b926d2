"""Recoveries under way: a peer pulls a tar from an agent and puts it in place of a shard.

The tar comes from the agent's own server, byte by byte. A pull ends well, or is cut off (nothing
changes), or its peer is killed: before it loads the tar nothing changes, while it loads it the
shard may come to be dirty, afterwards it is recovered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, TimedOut, Unavailable
from cleancut.core.primitives.ids import PeerId
from cleancut_agent.restore.tar_server import TarServer
from simulation import trace
from simulation.network import Surroundings
from simulation.qdrant import SimQdrant
from simulation.replica import SimReplica
from simulation.resharding import SimReshardings
from simulation.shards import Peer, Place
from simulation.undeleting import SimUndeletes
from simulation.wal import replay
from simulation.world import Process

IDLE_S = 6.0
"""How long a peer waits for a byte."""
LOOK_S = 0.2
DIRTY = 0.4
"""How often a kill while loading leaves a dirty shard."""
Answer = Callable[[CleancutError | None], None]


@dataclass(eq=False, slots=True)
class Pull:
    """One recovery that a peer was asked for. `loading`: it has the whole tar. `sha256`: "" until
    then, if it was given none."""

    peer: Peer
    place: Place
    replica: SimReplica
    uuid: str
    server: Process
    sha256: str
    answer: Answer
    tar: bytearray = field(default_factory=bytearray)
    byte_s: float = 0.0
    loading: bool = False
    sending: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Pulls:
    """All recoveries of the cluster, and the servers of tars by their URLs."""

    shared: Surroundings
    qdrant: SimQdrant
    servers: dict[str, tuple[Process, TarServer]] = field(default_factory=dict)
    running: list[Pull] = field(default_factory=list)
    reshardings: SimReshardings = field(init=False)
    undeletes: SimUndeletes = field(default_factory=SimUndeletes)

    def __post_init__(self) -> None:
        self.reshardings = SimReshardings(self.qdrant)
        self.qdrant.on_stop.append(self._peer_stopped)

    def begin(
        self, peer_id: PeerId, place: Place, location: str, sha256: str, *, answer: Answer
    ) -> None:
        """`answer` is called with how it ended, unless the peer dies. A peer that has no replica
        of the shard gets one. Raises: NotFound, Unavailable."""
        base, slash, path = location.partition("/tar/")
        process, server = self.servers[base]
        if not process.alive:
            raise Unavailable("Failed to download snapshot: connection refused")
        pull = self._open(peer_id, place, process, sha256=sha256, answer=answer)
        pull.sending = process.spawn(self._send(pull, server, slash + path))
        self._look(pull)

    def upload(
        self, peer_id: PeerId, place: Place, process: Process, tar: bytes, *, answer: Answer
    ) -> None:
        """As `begin`, with a tar that `process` has sent whole. Raises: NotFound."""
        sha256 = hashlib.sha256(tar).hexdigest()
        pull = self._open(peer_id, place, process, sha256=sha256, answer=answer)
        pull.tar += tar
        self.shared.world.after(0.0, partial(self._got, pull))

    def _open(
        self, peer_id: PeerId, place: Place, process: Process, *, sha256: str, answer: Answer
    ) -> Pull:
        qdrant, world = self.qdrant, self.shared.world
        peer = qdrant.peers[peer_id]
        uuid = qdrant.uuid_at(peer_id, place[0])
        found = qdrant.collections.get(place[0])
        if found is None or found.uuid != uuid or place not in qdrant.logs:
            raise NotFound(f"no shard {place} at peer {peer_id}")
        replica = peer.replicas.get(place) or qdrant.add_replica(place, peer_id)
        pull = Pull(peer, place, replica, uuid, process, sha256, answer)
        pull.byte_s = world.now_s
        for other in self.running:
            both = sha256 and other.sha256
            if other.replica is replica and both and other.sha256 != sha256:
                wrong = f"{place} at {peer_id}: {other.sha256}, {sha256}"
                self.shared.trace.two_tars.append(wrong)
        self.running.append(pull)
        return pull

    async def _send(self, pull: Pull, server: TarServer, path: str) -> None:
        """In the agent's process: what its server does for one request."""
        world, weather = self.shared.world, self.shared.weather

        async def write(chunk: bytes | memoryview) -> None:
            slow = world.chance(weather.slow_tar)
            await asyncio.sleep(world.rng.random() * (3.0 if slow else 0.1))
            if pull not in self.running:
                raise asyncio.CancelledError
            pull.tar += chunk
            pull.byte_s = world.now_s

        failure: CleancutError | None = None
        whole = False
        try:
            await server.send(path, write)
            whole = True
        except NotFound as error:
            failure = Unavailable(f"Failed to download snapshot: {error.message}")
        except CleancutError:
            failure = Corrupt("Failed to unpack tar archive")
        finally:
            if whole:
                world.after(0.0, partial(self._got, pull))
            else:
                cut_off = failure or Corrupt("Failed to unpack tar archive")
                world.after(0.0, partial(self._end, pull, cut_off))

    def _look(self, pull: Pull) -> None:
        """From time to time: does the sender still exist?"""
        if pull not in self.running or pull.loading:
            return
        if not pull.server.alive:
            self._end(pull, Corrupt("Failed to unpack tar archive"))
        elif self.shared.world.now_s - pull.byte_s > IDLE_S:
            self._end(pull, Unavailable("the tar's server sends nothing"))
        else:
            self.shared.world.after(LOOK_S, partial(self._look, pull))

    def _got(self, pull: Pull) -> None:
        if pull not in self.running:
            return
        found = hashlib.sha256(pull.tar).hexdigest()
        if pull.sha256 not in {"", found}:
            self._end(pull, Corrupt("Snapshot checksum mismatch"))
            return
        pull.sha256 = found
        pull.loading = True
        slow = self.shared.world.chance(self.shared.weather.slow_tar)
        delay_s = self.shared.world.rng.random() * (3.0 if slow else 0.2)
        self.shared.world.after(delay_s, partial(self._load, pull))

    def _load(self, pull: Pull) -> None:
        """The tar is in place of what was there."""
        if pull not in self.running:
            return
        if pull.peer.replicas.get(pull.place) is not pull.replica:
            self._end(pull, NotFound("the shard has gone"))
            return
        replica, world = pull.replica, self.shared.world
        wiped = tuple(replica.writes)
        looked = replica.looked_by is pull.server
        self.shared.trace.swaps.append(
            trace.Swap(world.now_s, pull.uuid, pull.place, pull.peer.id, pull.sha256)
        )
        unseen = [at_s for at_s in wiped if not looked or at_s < replica.looked_s]
        self.shared.trace.wiped += [(pull.uuid, at_s) for at_s in unseen]
        points, last, _ = replay(bytes(pull.tar))
        replica.tar, replica.content = pull.sha256, points
        replica.writes, replica.dirty = [], False
        replica.missing, replica.lost = 0, 0
        captured = self.shared.trace.captures.get(pull.sha256)
        replica.points = dict(captured.points) if captured else {}
        replica.applied = len(self.qdrant.logs[pull.place])
        replica.number, replica.uncounted = points % 97 if last is None else last, 1
        replica.begin_log()
        if replica.history[-1][1] != replica.content:
            replica.history.append((world.now_s, replica.content))
        self._end(pull, None)

    def _end(self, pull: Pull, error: CleancutError | None) -> None:
        if pull not in self.running:
            return
        self._close(pull)
        pull.peer.arrivals += 1
        pull.answer(error)

    def _close(self, pull: Pull) -> None:
        """The connection to the agent is closed."""
        self.running.remove(pull)
        if pull.sending is not None and not pull.sending.done():
            pull.sending.cancel()

    def _peer_stopped(self, peer: Peer) -> None:
        """Its pulls are over; the caller finds the connection broken."""
        for pull in [pull for pull in self.running if pull.peer is peer]:
            self._close(pull)
            if pull.loading and self.shared.world.chance(DIRTY):
                pull.replica.dirty = True
                self.shared.trace.say(
                    self.shared.world.now_s, f"peer {peer.id}", f"{pull.place} is dirty"
                )
            pull.answer(TimedOut("the connection broke"))

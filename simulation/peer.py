"""A peer's REST as one process reaches it: the calls of `cleancut.qdrant.client.Qdrant`, with
faults.

Reads show what that one peer has applied. Changes need a majority of peers, and the peer that was
asked has applied them when it answers.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from cleancut.core.cluster.drain_ids import ShardKeys
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    Denied,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.primitives.ids import PeerId, check_collection_name
from cleancut.qdrant.responses import (
    ClusterInfo,
    CollectionTelemetry,
    Placement,
    RecoveryCounters,
    Replica,
    ShardTelemetry,
    Telemetry,
    Transfer,
)
from cleancut.qdrant.shard_sizes import Weights
from simulation.peer_resharding import LocalPoints, SimReshardingCalls
from simulation.peer_resharding import shown as shown_resharding
from simulation.pulling import Pulls
from simulation.qdrant import SimQdrant
from simulation.replica import SimCollection, SimReplica
from simulation.shards import Peer, Place
from simulation.streams import cut_shard
from simulation.undeleting import SimPoints
from simulation.weighing import weigh
from simulation.world import Process

T = TypeVar("T")
Tell = Callable[[Any, CleancutError | None], None]
Act = Callable[[Tell], None]
READ_S = 3.0
CHANGE_S = 8.0
CONSENSUS_S = 0.1
FASTER = 10.0
"""All is small here: a caller gives up on a recovery or a drain after this part of its bound."""
MOVE_S = 3.0
"""The longest that a transfer takes that was asked for."""


class SimPeer(LocalPoints):
    """One peer, as `process` reaches it."""

    def __init__(self, pulls: Pulls, process: Process, peer: PeerId) -> None:
        self._shared, self._pulls, self.process = pulls.shared, pulls, process
        self._qdrant: SimQdrant = pulls.qdrant
        self.id = peer
        self.resharding = SimReshardingCalls(self, pulls.reshardings)
        self.points = SimPoints(self, pulls.undeletes)
        self.url = f"http://peer-{peer}"

    @property
    def _peer(self) -> Peer:
        return self._qdrant.peers[self.id]

    # How a call goes

    async def _call(self, act: Act, bound_s: float, *, mute: bool = False) -> Any:
        """`act` happens at the peer, and says what to answer. A call that got lost, or whose
        answer did, ends at its bound; one whose peer died breaks off."""
        await self.process.boundary()
        world, weather, reply = self._shared.world, self._shared.weather, self._shared.world.reply()
        mute = mute or world.chance(weather.lost_answer) or world.chance(weather.no_answer)
        mute = mute or self.id in weather.mute
        lost = world.chance(weather.lost_request)
        silence = TimedOut("no answer in time")
        bound = world.after(bound_s, lambda: reply.answer(error=silence), self.process)
        slow = world.chance(weather.slow)
        to_s = world.rng.random() * (weather.slow_s if slow else 0.003)

        def tell(value: Any, error: CleancutError | None) -> None:
            if not mute:
                late = world.chance(weather.late_answer)
                back_s = world.rng.random() * (bound_s if late else 0.003)
                world.after(back_s, lambda: reply.answer(value, error), self.process)

        def arrive() -> None:
            if not self._peer.up:
                tell(None, Unavailable(f"cannot reach peer {self.id}"))
                return
            try:
                act(tell)
            except CleancutError as error:
                tell(None, error)

        if not lost:
            world.after(to_s, arrive)
        try:
            return await reply
        finally:
            bound.cancel()

    async def read(self, look: Callable[[], T], bound_s: float = READ_S) -> T:
        value: T = await self._call(lambda tell: tell(look(), None), min(bound_s, READ_S))
        return value

    async def change(
        self,
        change: Callable[[], T],
        arrive: Callable[[], object] = lambda: None,
        bound_s: float = CHANGE_S,
    ) -> T:
        """Waits at the peer until a majority is there; then it happens, whether or not the caller
        still listens. `arrive` is called first. Raises: what either raises."""
        world, startup = self._shared.world, self._peer.startup

        def agree(tell: Tell) -> None:
            if not self._qdrant.quorum():
                world.after(CONSENSUS_S, partial(agree, tell))
                return
            alive = self._peer.up and self._peer.startup == startup
            value, failure = None, None
            try:
                value = change()
            except CleancutError as error:
                failure = error
            if alive:
                self._qdrant.learn_all(self.id)
            tell(value, failure if alive else TimedOut("the connection broke"))

        def begin(tell: Tell) -> None:
            arrive()
            agree(tell)

        value: T = await self._call(begin, min(bound_s, CHANGE_S))
        return value

    def _known(self, name: str) -> SimCollection:
        """Raises: NotFound, if this peer knows no such collection."""
        found = self._qdrant.seen_by(self.id).collections.get(name)
        if found is None:
            raise NotFound(f"collection {name!r} doesn't exist")
        return found

    def _is_live(self, found: SimCollection) -> bool:
        return self._qdrant.collections.get(found.name) is found

    # What it says

    async def version(self, timeout_s: float = READ_S) -> str:
        return await self.read(lambda: "1.18.3", timeout_s)

    async def cluster(self, timeout_s: float = READ_S) -> ClusterInfo:
        peers = {int(peer): f"uri-{peer}" for peer in self._qdrant.peers}

        def told() -> ClusterInfo:
            stopped = self._qdrant.stopped
            why = "stopped_with_err" if stopped else ""
            return ClusterInfo(int(self.id), peers, self._peer.view, 1, int(stopped), True, why)

        return await self.read(told, timeout_s)

    async def cluster_metadata(self, timeout_s: float = READ_S) -> dict[str, Any]:
        return await self.read(dict, timeout_s)

    async def cluster_metadata_value(self, key: str, timeout_s: float = READ_S) -> Any:
        return await self.read(lambda: self._shared.metadata.get(key), timeout_s)

    async def quotas(self, timeout_s: float = READ_S) -> None:
        return None

    async def put_cluster_metadata(
        self, key: str, value: object, timeout_s: float = CHANGE_S
    ) -> bool:
        await self.change(partial(self._shared.metadata.__setitem__, key, value), bound_s=timeout_s)
        return True

    async def telemetry(self, level: int = 3, timeout_s: float = READ_S) -> Telemetry:
        return await self.read(self._telemetry, timeout_s)

    async def check_one_peer(self, timeout_s: float = READ_S) -> None:
        """No load balancer stands in front of simulated peers."""

    def _telemetry(self) -> Telemetry:
        self._shared.looked(self.process)
        seen = self._qdrant.seen_by(self.id)
        return Telemetry(
            app_version="1.18.3",
            startup=self._peer.startup,
            peer_id=int(self.id),
            collections={n: self._collection(found) for n, found in seen.collections.items()},
            counters=RecoveryCounters(self._peer.arrivals, 0, 0, 0),
            resharding_enabled=True,
        )

    def _collection(self, found: SimCollection) -> CollectionTelemetry:
        rings = self._qdrant.seen_by(self.id).rings_of(found.name)
        shards = {one: self._shard(found, (found.name, one)) for one in range(rings.shards)}
        config = {**found.info["config"], "uuid": found.uuid}
        return CollectionTelemetry(
            found.uuid, config, shards, self._transfers(found), shown_resharding(rings.resharding)
        )

    def _shard(self, found: SimCollection, place: tuple[str, int]) -> ShardTelemetry:
        live = self._is_live(found)
        local = self._peer.replicas.get(place) if live else None
        number = None if local is None or local.dirty else local.number
        peers = self._qdrant.peers.values() if live else ()
        states = {int(p.id): self._state(p, found, place) for p in peers if place in p.replicas}
        waiting = len(self._qdrant.logs[place]) - local.applied if local is not None else 0
        if local is None:
            return ShardTelemetry(place[1], None, None, 0, None, states)
        if local.dirty and not local.tar:  # it could not be loaded at a start
            return ShardTelemetry(place[1], None, None, 0, "green", states, is_dummy=True)
        status = "red" if local.failed else "yellow" if local.optimizing else "green"
        segments = (f"segment-{local.life}-{len(local.optimized)}",)
        log = [(False, at) for at in local.optimized]
        log[:0] = [(True, local.optimizing)] if local.optimizing else []
        return ShardTelemetry(place[1], None, number, waiting, status, states, segments, tuple(log))

    async def weights(self, timeout_s: float = READ_S) -> Weights:
        return await self.read(lambda: weigh(self._qdrant, self.id), timeout_s)

    async def collections(self, timeout_s: float = READ_S) -> list[str]:
        seen = self._qdrant.seen_by
        return await self.read(lambda: sorted(seen(self.id).collections), timeout_s)

    async def collection(self, name: str, timeout_s: float = READ_S) -> dict[str, Any]:
        return await self.read(lambda: self._known(name).info, timeout_s)

    async def aliases(self, timeout_s: float = READ_S) -> dict[str, str]:
        return await self.read(lambda: dict(self._qdrant.seen_by(self.id).aliases), timeout_s)

    async def placement(self, name: str, timeout_s: float = READ_S) -> Placement:
        return await self.read(lambda: self._placement(self._known(name)), timeout_s)

    def _placement(self, found: SimCollection) -> Placement:
        live = self._is_live(found)
        shards = [
            Replica(
                place[1], None, int(peer.id), self._state(peer, found, place), peer.id == self.id
            )
            for peer in self._qdrant.peers.values()
            for place in peer.replicas
            if live and place[0] == found.name
        ]
        shards.sort(key=lambda replica: (replica.shard_id, replica.peer_id))
        rings = self._qdrant.seen_by(self.id).rings_of(found.name)
        resharding = shown_resharding(rings.resharding)
        return Placement(int(self.id), tuple(shards), self._transfers(found), resharding)

    def _transfers(self, found: SimCollection) -> tuple[Transfer, ...]:
        return tuple(
            Transfer(place[1], int(move.source), int(move.target), True, None, "", move.to_shard)
            for place, move in self._qdrant.moves.items()
            if place[0] == found.name
        )

    @staticmethod
    def _state(peer: Peer, found: SimCollection, place: Place) -> str:
        state = peer.replicas[place].state
        return state or (ACTIVE if peer.view >= found.version else "Initializing")

    def replica_of(self, name: str, shard_id: int) -> SimReplica | None:
        """The one at this peer, of the collection that it knows."""
        live = self._is_live(self._known(name))
        return self._peer.replicas.get((name, shard_id)) if live else None

    async def points_with(
        self, name: str, vector_name: str, limit: int, *, timeout_s: float
    ) -> tuple[tuple[int, None, Any], ...]:
        """No point of the simulation is one to search for."""
        return await self.read(tuple, timeout_s)

    async def count_collection(self, name: str, timeout_s: float = READ_S) -> int:
        return await self.read(lambda: self._count_all(name), timeout_s)

    def _count_all(self, name: str) -> int:
        """Each shard at its first peer. Raises: Unavailable, if one has no readable replica."""
        found, total = self._known(name), 0
        for shard_id in sorted({r.shard_id for r in self._placement(found).shards}):
            replicas = [p.replicas.get((name, shard_id)) for p in self._qdrant.peers.values()]
            readable = [one for one in replicas if one is not None and not one.dirty]
            if not readable:
                raise Unavailable(f"shard {shard_id} cannot be read")
            total += readable[0].content
        return total

    # One shard here

    async def count(
        self, name: str, shard_id: int, *, ring_filter: bool = False, timeout_s: float = READ_S
    ) -> int:
        return await self.read(lambda: self._count(name, shard_id), timeout_s)

    def _count(self, name: str, shard_id: int) -> int:
        replica = self.replica_of(name, shard_id)
        if replica is None or replica.dirty:
            raise Unavailable("this replica cannot be read", status=503)
        replica.looked_s, replica.looked_by = self._shared.world.now_s, self.process
        return replica.content

    async def search_shard(
        self, name: str, shard_id: int, *, vector_name: str = "", shard_key: object = None
    ) -> int:
        return await self.read(lambda: min(10, self._count(name, shard_id)))

    @asynccontextmanager
    async def stream_shard(
        self, name: str, shard_id: int, chunk_bytes: int = 1 << 20, known: bytes | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        assert known is None, "no agent here has files of its peer"
        startup = await self.read(lambda: self._begin_stream(name, shard_id))
        yield self._chunks((name, shard_id), startup)

    def _begin_stream(self, name: str, shard_id: int) -> str:
        self._qdrant.freeze_shard(self.id, (name, shard_id))
        return self._peer.startup

    async def _chunks(self, place: tuple[str, int], startup: str) -> AsyncIterator[bytes]:
        """A stream whose peer has gone ends as cleanly as a whole one."""
        world = self._shared.world
        late_s = self._shared.weather.late_cut_s
        await asyncio.sleep(world.rng.random() * (0.02 + late_s))
        await self.process.boundary()
        if not self._streams(startup):
            return
        tar, cut = cut_shard(
            self._qdrant, self._shared.trace, self.process, peer=self.id, place=place
        )
        at, first = 0, True
        while at < len(tar):
            if not self._streams(startup):
                return
            size = world.rng.choice((700, 3000, len(tar)))
            yield tar[at : at + size]
            at += size
            slow = world.chance(0.1 if first else 0.02) or world.chance(
                self._shared.weather.slow_tar
            )
            first = False
            await asyncio.sleep(world.rng.random() * (8.0 if slow else 0.2))
        cut.whole_s = world.now_s

    def _streams(self, startup: str) -> bool:
        return self._peer.up and self._peer.startup == startup

    async def recover_shard(
        self, name: str, shard_id: int, *, location: str, sha256: str, timeout_s: float
    ) -> None:
        world = self._shared.world
        mute = world.chance(self._shared.weather.lost_recover)
        never = mute and world.chance(0.5)

        def begin(tell: Tell) -> None:
            place = name, shard_id
            if world.chance(self._shared.weather.forbidden_urls):
                raise Denied("recovery from remote URLs is disabled", fetch="forbidden")
            if not never:
                tell_end = partial(tell, None)
                self._pulls.begin(self.id, place, location, sha256, answer=tell_end)

        await self._call(begin, timeout_s / FASTER, mute=mute)

    async def upload_shard(
        self,
        name: str,
        shard_id: int,
        *,
        chunks: AsyncIterator[bytes],
        size_bytes: int,
        sha256: str,
        timeout_s: float,
    ) -> None:
        tar = b"".join([chunk async for chunk in chunks])
        world = self._shared.world
        if world.chance(self._shared.weather.slow_tar):
            await asyncio.sleep(world.rng.random() * 3.0)
        mute = world.chance(self._shared.weather.lost_recover)
        never = mute and world.chance(0.5)

        def begin(tell: Tell) -> None:
            if len(tar) != size_bytes or sha256 not in {"", hashlib.sha256(tar).hexdigest()}:
                raise Corrupt("Snapshot checksum mismatch")
            if never:
                return
            named = self._qdrant.seen_by(self.id).aliases.get(name, name)
            place, tell_end = (named, shard_id), partial(tell, None)
            self._pulls.upload(self.id, place, self.process, tar, answer=tell_end)

        await self._call(begin, timeout_s / FASTER, mute=mute)

    async def allows_urls(self, timeout_s: float = READ_S) -> bool:
        return await self.read(lambda: True, timeout_s)

    async def check_upload_rights(self, timeout_s: float = READ_S) -> None:
        await self.read(lambda: None, timeout_s)

    async def drain(
        self, name: str, shard_ids: Sequence[int], shard_keys: ShardKeys, timeout_s: float
    ) -> None:
        def begin(tell: Tell) -> None:
            found = self._known(name)
            if not self._is_live(found):
                raise NotFound(f"collection {name!r} doesn't exist")
            for place in self._qdrant.places(name):
                peers = self._qdrant.peers.values()
                copies = [peer.replicas[place] for peer in peers if place in peer.replicas]
                if copies and all(replica.dirty for replica in copies):
                    raise Refused("a replica cannot be written")
            if not self._shared.world.chance(self._shared.weather.lost_drain):
                self._qdrant.drain(name, self.id, lambda done: tell(None, None))

        bound_s = timeout_s if timeout_s < READ_S * 2 else timeout_s / FASTER
        await self._call(begin, bound_s)

    # What the cluster agrees on

    async def create_collection(self, name: str, body: Mapping[str, Any]) -> None:
        check_collection_name(name)
        params = {key: body[key] for key in ("vectors", "shard_number", "replication_factor")}
        info = {"config": {"params": params}, "payload_schema": {}}
        await self.change(partial(self._qdrant.create, name, info, self._maker))

    @property
    def _maker(self) -> str:
        return f"epoch {self.process.epoch}"

    async def delete_collection(self, name: str) -> bool:
        known = self._qdrant.told_at(self.id, name)
        return await self.change(partial(self._qdrant.drop, name, self._maker, known))

    async def create_index(self, name: str, field: str, schema: object) -> None:
        raise AssertionError("no collection of the simulation has an index")

    async def patch_collection(
        self, name: str, body: Mapping[str, Any], timeout_s: float = CHANGE_S
    ) -> None:
        await self.change(lambda: None, bound_s=timeout_s)

    async def change_aliases(
        self, actions: Sequence[Mapping[str, Any]], timeout_s: float = CHANGE_S
    ) -> None:
        def change() -> None:
            for action in actions:
                if "rename_alias" in action:
                    names = action["rename_alias"]
                    self._qdrant.rename(names["old_alias_name"], names["new_alias_name"])
                elif "delete_alias" in action:
                    self._qdrant.unpoint(action["delete_alias"]["alias_name"])
                else:
                    made = action["create_alias"]
                    self._qdrant.point(made["alias_name"], made["collection_name"])

        await self.change(change, bound_s=timeout_s)

    async def move_shard(self, name: str, shard_id: int, *, source: int, target: int) -> None:
        await self._transfer((name, shard_id), source, target, keep=False)

    async def replicate_shard(
        self, name: str, shard_id: int, *, source: int, target: int, method: str = ""
    ) -> None:
        await self._transfer((name, shard_id), source, target, keep=True)

    async def _transfer(
        self, place: tuple[str, int], source: int, target: int, *, keep: bool
    ) -> None:
        seconds = 0.2 + self._shared.world.rng.random() * MOVE_S
        await self.change(
            lambda: self._qdrant.transfer(place, PeerId(source), PeerId(target), seconds, keep=keep)
        )

    async def abort_transfer(
        self,
        name: str,
        shard_id: int,
        *,
        source: int,
        target: int,
        timeout_s: float = CHANGE_S,
    ) -> None:
        place, ends = (name, shard_id), (PeerId(source), PeerId(target))
        await self.change(lambda: self._qdrant.abort_transfer(place, *ends), bound_s=timeout_s)

    async def drop_replica(self, name: str, shard_id: int, peer_id: int) -> None:
        await self.change(lambda: self._qdrant.drop_replica((name, shard_id), PeerId(peer_id)))

"""A peer's REST as one process reaches it: the calls of `cleancut.qdrant.client.Qdrant`, with
faults.

Reads tell what that one peer has applied. Changes need a majority of peers, and the peer that was
asked has applied them when it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.errors import CleancutError, NotFound, Refused, TimedOut, Unavailable
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
from tests.sim.pulling import Pulls
from tests.sim.qdrant import Collection, Peer, SimQdrant
from tests.sim.world import Process, Reply

T = TypeVar("T")
Tell = Callable[[Any, CleancutError | None], None]
Act = Callable[[Tell], None]
READ_S = 3.0
CHANGE_S = 8.0
CONSENSUS_S = 0.1
FASTER = 10.0
"""All is small here: a caller gives up on a recovery or a drain after this part of its bound."""


class SimPeer:
    """One peer, as `process` reaches it on behalf of `maker`."""

    def __init__(self, pulls: Pulls, process: Process, peer: PeerId, maker: str = "") -> None:
        self._shared, self._pulls, self._process = pulls.shared, pulls, process
        self._qdrant: SimQdrant = pulls.qdrant
        self._id, self._maker = peer, maker
        self.url = f"http://peer-{peer}"

    @property
    def _peer(self) -> Peer:
        return self._qdrant.peers[self._id]

    # How a call goes

    async def _call(self, act: Act, bound_s: float, *, mute: bool = False) -> Any:
        """`act` happens at the peer, and says what to answer. A call that got lost, or whose
        answer did, ends at its bound; one whose peer died breaks off."""
        world, weather, reply = self._shared.world, self._shared.weather, Reply()
        mute, lost = mute or world.chance(weather.lost_answer), world.chance(weather.lost_request)
        late = TimedOut("no answer in time")
        world.after(bound_s, lambda: reply.answer(error=late), self._process)
        slow = world.chance(weather.slow)
        to_s = world.rng.random() * (weather.slow_s if slow else 0.003)

        def tell(value: Any, error: CleancutError | None) -> None:
            if not mute:
                back_s = world.rng.random() * 0.003
                world.after(back_s, lambda: reply.answer(value, error), self._process)

        def arrive() -> None:
            if not self._peer.up:
                tell(None, Unavailable(f"cannot reach peer {self._id}"))
                return
            try:
                act(tell)
            except CleancutError as error:
                tell(None, error)

        if not lost:
            world.after(to_s, arrive)
        return await reply

    async def _read(self, look: Callable[[], T]) -> T:
        value: T = await self._call(lambda tell: tell(look(), None), READ_S)
        return value

    async def _change(self, change: Callable[[], T]) -> T:
        """Waits at the peer until a majority is there; then it happens, whoever still listens."""
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
                self._qdrant.learn_all(self._id)
            tell(value, failure if alive else TimedOut("the connection broke"))

        value: T = await self._call(agree, CHANGE_S)
        return value

    def _known(self, name: str) -> Collection:
        """Raises: NotFound, if this peer knows no such collection."""
        found = self._qdrant.seen_by(self._id).collections.get(name)
        if found is None:
            raise NotFound(f"collection {name!r} doesn't exist")
        return found

    def _is_live(self, found: Collection) -> bool:
        return self._qdrant.collections.get(found.name) is found

    # What it says

    async def cluster(self) -> ClusterInfo:
        peers = {int(peer): f"uri-{peer}" for peer in self._qdrant.peers}
        return await self._read(lambda: ClusterInfo(int(self._id), peers, 1, 1, 0, enabled=True))

    async def cluster_metadata(self) -> dict[str, Any]:
        return await self._read(dict)

    async def put_cluster_metadata(self, key: str, value: object) -> None:
        raise AssertionError("no group of the simulation has metadata")

    async def telemetry(self) -> Telemetry:
        return await self._read(self._telemetry)

    def _telemetry(self) -> Telemetry:
        seen = self._qdrant.seen_by(self._id)
        return Telemetry(
            app_version="1.18.3",
            startup=self._peer.startup,
            peer_id=int(self._id),
            collections={n: self._collection(found) for n, found in seen.collections.items()},
            counters=RecoveryCounters(self._peer.arrivals, 0, 0, 0),
        )

    def _collection(self, found: Collection) -> CollectionTelemetry:
        local = self._peer.replicas if self._is_live(found) else {}
        shards = {
            place[1]: ShardTelemetry(
                place[1], None, None if r.dirty else r.number, 0, "green", {int(self._id): ACTIVE}
            )
            for place, r in local.items()
            if place[0] == found.name
        }
        return CollectionTelemetry(found.uuid, dict(found.info["config"]), shards, 0)

    async def collections(self, timeout_s: float = 0.0) -> list[str]:
        return await self._read(lambda: sorted(self._qdrant.seen_by(self._id).collections))

    async def collection(self, name: str) -> dict[str, Any]:
        return await self._read(lambda: self._known(name).info)

    async def aliases(self, timeout_s: float = 0.0) -> dict[str, str]:
        return await self._read(lambda: dict(self._qdrant.seen_by(self._id).aliases))

    async def placement(self, name: str) -> Placement:
        return await self._read(lambda: self._placement(self._known(name)))

    def _placement(self, found: Collection) -> Placement:
        live = self._is_live(found)
        shards = [
            Replica(place[1], None, int(peer.id), self._state(peer, found), peer.id == self._id)
            for peer in self._qdrant.peers.values()
            for place in peer.replicas
            if live and place[0] == found.name
        ]
        shards.sort(key=lambda replica: (replica.shard_id, replica.peer_id))
        transfers = tuple(
            Transfer(place[1], int(ends[0]), int(ends[1]), True, None, "")
            for place, ends in self._qdrant.moves.items()
            if place[0] == found.name
        )
        return Placement(int(self._id), tuple(shards), transfers)

    @staticmethod
    def _state(peer: Peer, found: Collection) -> str:
        return ACTIVE if peer.view >= found.version else "Initializing"

    # One shard here

    async def count(
        self, name: str, shard_id: int, *, ring_filter: bool = False, timeout_s: float = 0.0
    ) -> int:
        return await self._read(lambda: self._count(name, shard_id))

    def _count(self, name: str, shard_id: int) -> int:
        found = self._known(name)
        replica = self._peer.replicas.get((name, shard_id)) if self._is_live(found) else None
        if replica is None or replica.dirty:
            raise Unavailable("this replica cannot be read")
        replica.looked_s, replica.looked_by = self._shared.world.now_s, self._process
        return replica.content

    async def recover_shard(
        self, name: str, shard_id: int, *, location: str, sha256: str, timeout_s: float
    ) -> None:
        world = self._shared.world
        mute = world.chance(self._shared.weather.lost_recover)
        never = mute and world.chance(0.5)

        def begin(tell: Tell) -> None:
            place = name, shard_id
            if not never:
                self._pulls.begin(self._id, place, location, lambda error: tell(None, error))

        await self._call(begin, timeout_s / FASTER, mute=mute)

    async def drain(self, name: str, shard_keys: Sequence[str | int], timeout_s: float) -> None:
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
                self._qdrant.drain(name, self._id, lambda done: tell(None, None))

        await self._call(begin, timeout_s / FASTER)

    # What the cluster agrees on

    async def create_collection(self, name: str, body: Mapping[str, Any]) -> None:
        check_collection_name(name)
        params = {key: body[key] for key in ("vectors", "shard_number", "replication_factor")}
        info = {"config": {"params": params}, "payload_schema": {}}
        await self._change(partial(self._qdrant.create, name, info, self._maker))

    async def delete_collection(self, name: str) -> bool:
        known = self._qdrant.told_at(self._id, name)
        return await self._change(partial(self._qdrant.drop, name, self._maker, known))

    async def create_index(self, name: str, field: str, schema: object) -> None:
        raise AssertionError("no collection of the simulation has an index")

    async def patch_collection(self, name: str, body: Mapping[str, Any]) -> None:
        await self._change(lambda: None)

    async def change_aliases(
        self, actions: Sequence[Mapping[str, Any]], timeout_s: float = 0.0
    ) -> None:
        def change() -> None:
            for action in actions:
                if "rename_alias" in action:
                    names = action["rename_alias"]
                    self._qdrant.rename(names["old_alias_name"], names["new_alias_name"])
                else:
                    made = action["create_alias"]
                    self._qdrant.point(made["alias_name"], made["collection_name"])

        await self._change(change)

"""A peer's calls of a resharding as one process reaches them, with faults.

Which resharding a call means is decided by the peer when it comes in, as that peer knows it then; a
name may be an alias. It happens once a majority of peers agrees.
Source: src/common/collections.rs, Qdrant 1.18.3
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from cleancut.core.cluster.resharding import Direction, ReshardingState
from cleancut.core.primitives.errors import Invalid, NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import PeerId, ShardId
from simulation.replica import READS, WRITES, Move, Resharding, SimReplica
from simulation.resharding import SimReshardings

if TYPE_CHECKING:
    from simulation.peer import SimPeer

STREAM_S = 1.0
"""The longest that a stream takes."""


def shown(one: Resharding | None) -> tuple[ReshardingState, ...]:
    """As a peer's answers have it."""
    if one is None:
        return ()
    direction = Direction.UP if one.up else Direction.DOWN
    return (ReshardingState(direction, ShardId(one.shard), one.peer, uuid=one.uuid),)


class SimReshardingCalls:
    """The calls of `cleancut.qdrant.resharding.ReshardingCalls`."""

    def __init__(self, peer: SimPeer, reshardings: SimReshardings) -> None:
        self._peer, self._all = peer, reshardings

    async def start(
        self,
        name: str,
        direction: Direction,
        *,
        shard_key: object = None,
        peer_id: int,
        uuid: str,
    ) -> None:
        up = direction is Direction.UP
        await self._agreed(
            name, lambda real: self._all.start(real, uuid, PeerId(peer_id), up=up), new=True
        )

    async def stream_points(
        self, name: str, source: int, target: int, *, from_peer: int, to_peer: int
    ) -> None:
        """Two calls, as of the client: what is there is read before."""
        placement = await self._peer.placement(name)
        there = {one.shard_id for one in placement.shards}
        if not placement.resharding or not {source, target} <= there:
            raise Refused(f"no points of {name!r} can be streamed")
        move = Move(PeerId(from_peer), PeerId(to_peer), keep=True, to_shard=target)
        seconds = self._all.qdrant.world.rng.random() * STREAM_S
        await self._agreed(
            name, lambda real: self._all.stream((real, source), target, move, seconds)
        )

    async def migration_finished(self, name: str, shard_id: int, peer_id: int) -> None:
        await self._agreed(name, lambda real: self._all.migrated((real, shard_id), PeerId(peer_id)))

    async def commit_read_ring(self, name: str) -> None:
        await self._commit(name, READS)

    async def commit_write_ring(self, name: str) -> None:
        await self._commit(name, WRITES)

    async def _commit(self, name: str, stage: int) -> None:
        self._all.before_commit(self._peer.process)
        await self._agreed(name, lambda real: self._all.commit(real, stage))

    async def cleanup(self, name: str, shard_id: int) -> None:
        peer, qdrant = self._peer.id, self._all.qdrant

        def clean() -> None:
            real = qdrant.seen_by(peer).aliases.get(name, name)
            self._all.cleanup(peer, (real, shard_id))

        await self._peer.read(clean)

    async def finish(self, name: str) -> None:
        await self._agreed(name, self._all.finish)

    async def abort(self, name: str) -> None:
        await self._agreed(name, self._all.abort)

    async def _agreed(self, name: str, act: Callable[[str], None], *, new: bool = False) -> None:
        """`act` gets the collection's own name. Nothing happens if another resharding is under way
        by then than the one that the peer knew."""
        known: list[tuple[str, str]] = []

        def arrive() -> None:
            seen = self._all.qdrant.seen_by(self._peer.id)
            real = seen.aliases.get(name, name)
            if real not in seen.collections:
                raise NotFound(f"collection {name!r} doesn't exist")
            one = seen.rings_of(real).resharding
            if one is None and not new:
                raise Invalid(f"resharding is not in progress for collection {name}")
            known.append((real, one.uuid if one else ""))

        def agree() -> None:
            real, uuid = known[-1]
            found = self._all.qdrant.collections.get(real)
            one = found.resharding if found else None
            if not new and (one is None or one.uuid != uuid):
                raise Invalid("another resharding is in progress")
            act(real)

        await self._peer.change(agree, arrive)


class LocalPoints:
    """The part of a peer that reads points of one replica here."""

    read: Callable[..., Any]
    replica_of: Callable[[str, int], SimReplica | None]

    async def ids_of_shard(self, name: str, shard_id: int) -> AsyncIterator[list[int | str]]:
        ids: list[int | str] = sorted(await self.read(partial(self._points, name, shard_id)))
        half = len(ids) // 2
        yield ids[:half]
        left = await self.read(partial(self._points, name, shard_id))
        last = ids[half - 1] if half else -1
        yield sorted(one for one in left if one > last)

    async def points_of_shard(
        self, name: str, shard_id: int, ids: Sequence[int | str]
    ) -> list[dict[str, Any]]:
        points = await self.read(partial(self._points, name, shard_id))
        return [{"id": one, "payload": {"v": points[one]}} for one in ids if one in points]

    def _points(self, name: str, shard_id: int) -> dict[int, int]:
        replica = self.replica_of(name, shard_id)
        if replica is None or replica.dirty:
            raise Unavailable("this replica cannot be read", status=503)
        return dict(replica.points)

"""Resharding of one collection by the calls of one peer, in the order that a driver makes them.

Up: start, stream_points from one replica of each old shard, migration_finished, replicas of the new
shard (`replicate_shard`), commit_read_ring, commit_write_ring, cleanup of every replica of each old
shard, finish. Down: start, stream_points to each replica of each other shard, migration_finished of
each, commit_read_ring, commit_write_ring, finish, which drops the shard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleancut.core.cluster.resharding import ENABLING, STREAM, Direction
from cleancut.core.primitives.errors import Denied, Invalid, Refused, TimedOut
from cleancut.qdrant.http import QdrantHttp
from cleancut.qdrant.recovery import collection_path
from cleancut.qdrant.responses import Placement, ShardKey, parse_placement

CHANGE_S = 30.0
CLEANUP_S = 600.0
_CLOUD_ONLY = "only supported in qdrant cloud"


class ReshardingCalls:
    """The part of `Qdrant` that changes the number of shards; each call is applied at this peer
    when it returns, and every commit and abort may be repeated.

    Raises: as `Qdrant`; Invalid (400), if the resharding is at another stage, or none is under way.
    Source: src/common/collections.rs, lib/collection/src/shards/shard_holder/resharding.rs, Qdrant
        1.18.3; measured on 1.18.3 and 1.19.0
    """

    def __init__(self, http: QdrantHttp) -> None:
        self._http = http

    async def start(
        self,
        name: str,
        direction: Direction,
        *,
        shard_key: ShardKey = None,
        peer_id: int | None = None,
        uuid: str | None = None,
        timeout_s: float = CHANGE_S,
    ) -> None:
        """Up: the new shard is there, empty, at `peer_id` (else Qdrant chooses), Resharding. All
        writes go by both rings from now on. `uuid` names it, so that it is known again.

        Limits: until every peer has applied it, writes may be refused ("No target shard 2 found");
            clients repeat them. While the only replica of a new shard is away, points of that
            shard cannot be written, and nothing ends by itself. A stream that breaks off, a replica
            that gets points and becomes Dead, and a restart of either end of a stream abort it.
        Raises: Denied, if the peer's configuration does not allow it; Invalid, if one is under way,
            for the last shard, or for a key that the collection does not have, or lacks.
        """
        body = {"direction": str(direction), "peer_id": peer_id, "shard_key": shard_key}
        request = body | ({"uuid": uuid} if uuid else {})
        try:
            await self._reshape(name, {"start_resharding": request}, timeout_s)
        except Invalid as refusal:
            if _CLOUD_ONLY not in refusal.message.lower():
                raise
            raise Denied(
                f"this Qdrant does not allow resharding of {name!r}",
                f"set {ENABLING} on every peer, and restart them one by one",
                **refusal.context,
            ) from refusal

    async def stream_points(
        self,
        name: str,
        source: int,
        target: int,
        *,
        from_peer: int,
        to_peer: int,
        timeout_s: float = CHANGE_S,
    ) -> None:
        """The points of shard `source` that lie in shard `target` by the new ring are on their way
        to its replica at `to_peer`. Watch `placement`; a repeated one sends them again.

        Qdrant fills one replica. On the way down every replica of each target needs a stream: one
        without misses the points, and stays readable. A stream that fails aborts the resharding.
        Order: only while no transfer of the collection is under way. Otherwise one that fails at
            this moment takes the new shard away, and a stream to a shard that is not there stops
            the consensus of all peers for good, before 1.19.
        Raises: Refused, if this peer sees no such resharding, shard or replica; Invalid, if a
            replica is in another transfer, or not Active.
        Source: measured, Qdrant 1.18.3 (500 "Destination shard 0 does not exist", then no peer
            applies anything) and 1.19.0 (the same answer, and consensus goes on)
        """
        placement = parse_placement(
            await self._http.call("GET", f"{collection_path(name)}/cluster", timeout_s=timeout_s)
        )
        _check_stream(name, placement, (source, from_peer), target)
        body = {
            "shard_id": source,
            "to_shard_id": target,
            "from_peer_id": from_peer,
            "to_peer_id": to_peer,
            "method": STREAM,
        }
        await self._reshape(name, {"replicate_shard": body}, timeout_s)

    async def migration_finished(
        self, name: str, shard_id: int, peer_id: int, timeout_s: float = CHANGE_S
    ) -> None:
        """The replica that got points is Active again. Raises: Invalid, also if it already is."""
        body = {"shard_id": shard_id, "peer_id": peer_id}
        await self._reshape(name, {"finish_migrating_points": body}, timeout_s)

    async def commit_read_ring(self, name: str, timeout_s: float = CHANGE_S) -> None:
        """Reads go by the new ring. From now on it can only be finished. May be repeated.

        Order: once every replica that is to serve holds all of its points; Qdrant checks nothing.
        """
        await self._reshape(name, {"commit_read_hash_ring": {}}, timeout_s)

    async def commit_write_ring(self, name: str, timeout_s: float = CHANGE_S) -> None:
        """Writes go by the new ring only. May be repeated. Raises: Invalid, before the read ring's
        commit."""
        await self._reshape(name, {"commit_write_hash_ring": {}}, timeout_s)

    async def cleanup(self, name: str, shard_id: int, timeout_s: float = CLEANUP_S) -> None:
        """The replica at this very peer holds only points that lie there by the new ring.

        Order: never before the write ring's commit: at an earlier stage it deletes points that no
            other shard has yet. A repeated one does nothing, until the next read ring's commit.
        Raises: TimedOut, while it still runs (the same call waits for it again); NotFound, if the
            replica is not here.
        Source: lib/collection/src/collection/clean.rs, Qdrant 1.18.3
        """
        path = f"{collection_path(name)}/shards/{shard_id}/cleanup"
        result = await self._http.change("POST", path, timeout_s=timeout_s, query={"wait": "true"})
        if result.get("status") != "completed":
            raise TimedOut(
                f"the cleanup of shard {shard_id} of {name!r} still runs after {timeout_s:g} s",
                "the same call waits for it again",
            )

    async def finish(self, name: str, timeout_s: float = CHANGE_S) -> None:
        """It is over; on the way down the shard is gone. Raises: Invalid, before the write ring's
        commit, and if none is under way."""
        await self._reshape(name, {"finish_resharding": {}}, timeout_s)

    async def abort(self, name: str, timeout_s: float = CHANGE_S) -> None:
        """As before its start: a new shard is dropped, points that were sent are deleted.

        Raises: Invalid, after the read ring's commit, and if none is under way.
        """
        await self._reshape(name, {"abort_resharding": {}}, timeout_s)

    async def _reshape(self, name: str, body: Mapping[str, Any], timeout_s: float) -> None:
        await self._http.change(
            "POST", f"{collection_path(name)}/cluster", body, timeout_s=timeout_s
        )


def _check_stream(name: str, placement: Placement, source: tuple[int, int], target: int) -> None:
    """Raises: Refused, for a stream that this peer could not apply."""
    there = {(one.shard_id, one.peer_id) for one in placement.shards}
    wrong = ""
    if not placement.resharding:
        wrong = "no resharding is under way"
    elif source not in there:
        wrong = f"peer {source[1]} has no replica of shard {source[0]}"
    elif target == source[0] or target not in {shard for shard, _ in there}:
        wrong = f"shard {target} is not there, or the source itself"
    if wrong:
        raise Refused(f"no points of {name!r} can be streamed: {wrong}", "read the state again")

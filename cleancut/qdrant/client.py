"""One Qdrant peer at one URL: the only place that speaks Qdrant's REST for the protocol.

Shapes of answers are in `responses`, HTTP and its failures in `http`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Self

from cleancut.core.cluster.drain_ids import ShardKeys, drain_ids
from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.primitives.ids import check_collection_name
from cleancut.qdrant.http import CHUNK_BYTES, ApiKey, QdrantHttp, server_bound
from cleancut.qdrant.local_points import LocalPoints
from cleancut.qdrant.one_peer import check_one_peer
from cleancut.qdrant.points import PointCalls
from cleancut.qdrant.recovery import ShardRecovery, collection_path, encode
from cleancut.qdrant.resharding import ReshardingCalls
from cleancut.qdrant.responses import (
    ClusterInfo,
    Placement,
    ShardKey,
    Telemetry,
    parse_cluster,
    parse_placement,
    parse_telemetry,
)
from cleancut.qdrant.shard_sizes import Weights, parse_weights

READ_S = 10.0
WEIGH_S = 20.0
CHANGE_S = 30.0
COUNT_S = 30.0


class Qdrant(ShardRecovery, LocalPoints):
    """One peer. Every call is bounded by its `timeout_s` and raises only `CleancutError` kinds.

    Raises: Unavailable (not reached, or it cannot now), TimedOut (no answer; a change may have
        happened), Denied, NotFound, Invalid and Refused (with Qdrant's words), Corrupt (an answer
        of an unknown shape).
    """

    def __init__(
        self, url: str, api_key: ApiKey | str | None = None, ca_file: Path | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._http = QdrantHttp(url, api_key, ca_file)
        self.resharding = ReshardingCalls(self._http)
        self.points = PointCalls(self._http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.close()

    # What this peer says about itself and its cluster.

    async def version(self, timeout_s: float = READ_S) -> str:
        answer = await self._http.call("GET", "/", timeout_s=timeout_s)
        try:
            return str(answer["version"])
        except (KeyError, TypeError) as cause:
            raise Corrupt(
                f"{self.url} does not answer as Qdrant does", "check the Qdrant URL"
            ) from cause

    async def ready(self, timeout_s: float = READ_S) -> bool:
        """Whether it serves requests; says nothing about replicas or data.

        Source: src/common/health.rs, Qdrant 1.18.3 (true for ever once true)
        """
        try:
            return await self._http.probe("/readyz", timeout_s)
        except (Unavailable, TimedOut):
            return False

    async def cluster(self, timeout_s: float = READ_S) -> ClusterInfo:
        return parse_cluster(await self._get("/cluster", timeout_s))

    async def cluster_metadata(self, timeout_s: float = READ_S) -> dict[str, Any]:
        """All cluster-wide metadata keys with their values; {} without cluster mode."""
        path = "/cluster/metadata/keys"
        try:
            keys = await self._get(path, timeout_s)
        except (Unavailable, Invalid) as refusal:
            if _without_cluster(refusal):
                return {}
            raise
        return {key: await self._get(f"{path}/{encode(key)}", timeout_s) for key in keys}

    async def cluster_metadata_value(self, key: str, timeout_s: float = READ_S) -> Any:
        """The value of one key; None for none, and without cluster mode."""
        try:
            return await self._get(f"/cluster/metadata/keys/{encode(key)}", timeout_s)
        except (Unavailable, Invalid) as refusal:
            if _without_cluster(refusal):
                return None
            raise

    async def put_cluster_metadata(
        self, key: str, value: object, timeout_s: float = CHANGE_S
    ) -> bool:
        """Whether it was put: there is no metadata without cluster mode."""
        path = f"/cluster/metadata/keys/{encode(key)}"
        query = {"wait": "true"}
        try:
            await self._http.call("PUT", path, value, timeout_s=timeout_s, query=query)
        except (Unavailable, Invalid) as refusal:
            if _without_cluster(refusal):
                return False
            raise
        return True

    async def quotas(self, timeout_s: float = READ_S) -> dict[str, Any] | None:
        """Cluster-wide limits of memory and disk; None from a Qdrant that has none.

        Shape: the body of `put_quotas`.
        Source: src/actix/api/quota_api.rs, Qdrant 1.19.0
        """
        try:
            return dict((await self._get("/quotas", timeout_s))["config"])
        except NotFound:
            return None

    async def put_quotas(self, quotas: Mapping[str, Any], timeout_s: float = CHANGE_S) -> None:
        await self._http.call("PUT", "/quotas", quotas, timeout_s=timeout_s, query={"wait": "true"})

    async def telemetry(self, level: int = 3, timeout_s: float = READ_S) -> Telemetry:
        """Numbers, replica states and recovery counters of this peer.

        Limits: level 3 holds all but segments and optimizations (1-2 ms); lower levels have no
            numbers.
        Source: lib/collection/src/shards/local_shard/telemetry.rs, Qdrant 1.18.3
        """
        path, query = "/telemetry", {"details_level": str(level)}
        result = await self._http.call("GET", path, timeout_s=timeout_s, query=query)
        return parse_telemetry(result)

    async def check_one_peer(self, timeout_s: float = READ_S) -> None:
        """Raises: Refused, if several peers answer at this URL, as behind a load balancer."""
        await check_one_peer(self.url, lambda: self.telemetry(0, timeout_s))

    async def weights(self, timeout_s: float = WEIGH_S) -> Weights:
        """All replicas of the cluster with their sizes; each peer is asked by this one.

        Raises: Unavailable, also from a Qdrant without cluster mode.
        """
        path, query = "/cluster/telemetry", {"details_level": "3"} | server_bound(timeout_s / 2)
        result = await self._http.call("GET", path, timeout_s=timeout_s, query=query)
        return parse_weights(result)

    async def remove_peer(
        self, peer_id: int, *, force: bool = False, timeout_s: float = CHANGE_S
    ) -> None:
        """The peer is forgotten; with `force` its replicas are too."""
        forced = "true" if force else "false"
        await self._change("DELETE", f"/cluster/peer/{peer_id}", None, timeout_s, force=forced)

    # Collections and what the cluster agrees on about them.

    async def collections(self, timeout_s: float = READ_S) -> list[str]:
        """Order: by name."""
        result = await self._get("/collections", timeout_s)
        return sorted(str(entry["name"]) for entry in result["collections"])

    async def collection(self, name: str, timeout_s: float = READ_S) -> dict[str, Any]:
        """The raw answer, so that fields we do not know survive. May come from another peer."""
        result: dict[str, Any] = await self._get(collection_path(name), timeout_s)
        return result

    async def placement(self, name: str, timeout_s: float = READ_S) -> Placement:
        return parse_placement(await self._get(collection_path(name) + "/cluster", timeout_s))

    async def aliases(self, timeout_s: float = READ_S) -> dict[str, str]:
        """Alias to collection, as this peer has applied it."""
        result = await self._get("/aliases", timeout_s)
        return {entry["alias_name"]: entry["collection_name"] for entry in result["aliases"]}

    async def change_aliases(
        self, actions: Sequence[Mapping[str, Any]], timeout_s: float = READ_S
    ) -> None:
        """Applied here; other peers follow, and not even that when the bound was reached.

        Order: all in one entry, but a failing action keeps those before it.
        Source: measured; lib/storage/src/dispatcher.rs, Qdrant 1.18.3
        """
        body = {"actions": list(actions)}
        await self._change("POST", "/collections/aliases", body, timeout_s)

    async def create_collection(
        self, name: str, body: Mapping[str, Any], timeout_s: float = CHANGE_S
    ) -> None:
        """Raises: Refused, if it exists; Invalid, for names that must never reach Qdrant."""
        check_collection_name(name)
        await self._change("PUT", collection_path(name), body, timeout_s)

    async def delete_collection(self, name: str, timeout_s: float = CHANGE_S) -> bool:
        """Whether there was one; an alias' name deletes nothing and is false too."""
        return bool(await self._change("DELETE", collection_path(name), None, timeout_s))

    async def patch_collection(
        self, name: str, body: Mapping[str, Any], timeout_s: float = CHANGE_S
    ) -> None:
        """`{"strict_mode_config": {}}` waits for the writes that entered by this peer."""
        await self._change("PATCH", collection_path(name), body, timeout_s)

    async def create_index(
        self, name: str, field: str, schema: object, timeout_s: float = CHANGE_S
    ) -> None:
        body = {"field_name": field, "field_schema": schema}
        await self._change("PUT", collection_path(name) + "/index", body, timeout_s, wait="true")

    async def create_shard_key(
        self, name: str, body: Mapping[str, Any], timeout_s: float = CHANGE_S
    ) -> None:
        """Shape: shard_key, shards_number, replication_factor, placement (peer ids)."""
        await self._change("PUT", collection_path(name) + "/shards", body, timeout_s)

    async def delete_shard_key(
        self, name: str, key: str | int, timeout_s: float = CHANGE_S
    ) -> None:
        body = {"shard_key": key}
        await self._change("POST", collection_path(name) + "/shards/delete", body, timeout_s)

    # Replicas: where shards live.

    async def move_shard(
        self,
        name: str,
        shard_id: int,
        *,
        source: int,
        target: int,
        method: str | None = None,
        timeout_s: float = CHANGE_S,
    ) -> None:
        """The move has started. Watch `placement`; Qdrant does not retry an aborted one."""
        body = _route(shard_id, source, target) | ({"method": method} if method else {})
        await self._reshape(name, {"move_shard": body}, timeout_s)

    async def replicate_shard(
        self,
        name: str,
        shard_id: int,
        *,
        source: int,
        target: int,
        method: str | None = None,
        timeout_s: float = CHANGE_S,
    ) -> None:
        """A further replica has started to grow at `target`. Watch `placement`."""
        body = _route(shard_id, source, target) | ({"method": method} if method else {})
        await self._reshape(name, {"replicate_shard": body}, timeout_s)

    async def abort_transfer(
        self,
        name: str,
        shard_id: int,
        *,
        source: int,
        target: int,
        timeout_s: float = CHANGE_S,
    ) -> None:
        """Raises: NotFound, if none is running."""
        body = _route(shard_id, source, target)
        await self._reshape(name, {"abort_transfer": body}, timeout_s)

    async def drop_replica(
        self, name: str, shard_id: int, peer_id: int, *, timeout_s: float = CHANGE_S
    ) -> None:
        """Raises: Invalid, for the last active one."""
        body = {"shard_id": shard_id, "peer_id": peer_id}
        await self._reshape(name, {"drop_replica": body}, timeout_s)

    # One shard at this peer: drain, stream, recover, count, search.

    async def drain(
        self, name: str, shard_ids: Sequence[int], shard_keys: ShardKeys, timeout_s: float
    ) -> None:
        """Every replica has applied all that was queued before, and this operation (number + 1).

        It deletes ids of no point, some in each shard: all shards and keys have to be named.
        Raises: Refused, if Qdrant said no (strict mode, read-only key, a missing key, a replica
            that cannot); TimedOut, if nothing is known; NotFound, Unavailable.
        Source: lib/collection/src/shards/replica_set/update.rs, Qdrant 1.18.3
        """
        body: dict[str, Any] = {"points": drain_ids(shard_ids, shard_keys)}
        if shard_keys:
            body["shard_key"] = [key for key, _ in shard_keys]
        path = collection_path(name) + "/points/delete"
        try:
            result = await self._http.call(
                "POST", path, body, timeout_s=timeout_s, query={"wait": "true"}
            )
        except (Invalid, Denied, Refused, Unavailable) as refusal:
            if "status" not in refusal.context:
                raise
            raise Refused(refusal.message, refusal.hint, **refusal.context) from refusal
        if result.get("status") != "completed":
            raise TimedOut(f"drain of {name!r} was not applied: {result.get('status')}")

    def stream_shard(
        self,
        name: str,
        shard_id: int,
        chunk_bytes: int = CHUNK_BYTES,
        known: bytes | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The shard's tar in chunks of up to `chunk_bytes` and 1 MiB; leaving the block frees it.

        `known`: a manifest of segments. Files whose version in there is not below their own are
            left out, and each segment begins with `segment_manifest.json`, which lists all.
        Limits: no bound in total, 60 s without a byte; 2 MiB for `known`. A tar that was cut off
            ends as cleanly as a whole one: the reader must check its members.
        Source: lib/collection/src/shards/shard_holder/mod.rs (stream), Qdrant 1.18.3; partial
            ones are not in its OpenAPI.
        """
        path = f"{collection_path(name)}/shards/{shard_id}/snapshot"
        return self._http.stream(path + ("/partial/create" if known else ""), chunk_bytes, known)

    async def count_collection(self, name: str, timeout_s: float = COUNT_S) -> int:
        """Exact number of points in all shards. Raises: Unavailable, if a shard cannot be read."""
        path = f"{collection_path(name)}/points/count"
        body = {"exact": True}
        result = await self._http.call("POST", path, body, timeout_s=timeout_s, reads=True)
        return int(result["count"])

    async def count(
        self, name: str, shard_id: int, *, ring_filter: bool = False, timeout_s: float = COUNT_S
    ) -> int:
        """Exact number of points in the replica here; with `ring_filter` of those that routing
        would put into this very shard.

        Raises: Unavailable, if the replica cannot be read, or there is none at this peer.
        """
        body: dict[str, Any] = {"exact": True}
        if ring_filter:
            body["hash_ring_filter"] = {"expected_shard_id": shard_id}
        path = f"{collection_path(name)}/shards/{shard_id}/points/count"
        result = await self._http.call("POST", path, body, timeout_s=timeout_s, reads=True)
        return int(result["count"])

    async def search_shard(
        self,
        name: str,
        shard_id: int,
        *,
        vector_name: str = "",
        shard_key: ShardKey = None,
        timeout_s: float = COUNT_S,
    ) -> int:
        """Number of hits of one search with a vector that the shard itself holds; 0: it has none.

        The search runs over all shards of the key (Qdrant can restrict it no further), and this
        peer asks its own replicas first.
        Raises: Unavailable, if vectors cannot be read or searched.
        """
        sample = await self._sample(name, shard_id, vector_name, timeout_s)
        if sample is None:
            return 0
        body: dict[str, Any] = {"query": sample, "limit": 10, "using": vector_name or None}
        if shard_key is not None:
            body["shard_key"] = shard_key
        path = collection_path(name) + "/points/query"
        result = await self._http.call("POST", path, body, timeout_s=timeout_s, reads=True)
        return len(result["points"])

    async def _sample(
        self, name: str, shard_id: int, vector_name: str, timeout_s: float
    ) -> object | None:
        body = {
            "limit": 1,
            "filter": {"must": [{"has_vector": vector_name}]},
            "with_payload": False,
            "with_vector": [vector_name] if vector_name else True,
        }
        path = f"{collection_path(name)}/shards/{shard_id}/points/scroll"
        result = await self._http.call("POST", path, body, timeout_s=timeout_s, reads=True)
        if not result["points"]:
            return None
        return _vector_of(result["points"][0], vector_name)

    # Points of a whole collection, for canaries.

    async def points_with(
        self, name: str, vector_name: str, limit: int, *, timeout_s: float
    ) -> tuple[tuple[str | int, ShardKey, Any], ...]:
        """Up to `limit` points that have this vector, over all shards and keys: id, shard key and
        vector. Order: by id."""
        body = {
            "limit": limit,
            "filter": {"must": [{"has_vector": vector_name}]},
            "with_payload": False,
            "with_vector": [vector_name] if vector_name else True,
        }
        result = await self._query(name, "scroll", body, timeout_s)
        return tuple(
            (point["id"], point.get("shard_key"), _vector_of(point, vector_name))
            for point in result["points"]
        )

    async def nearest(
        self,
        name: str,
        target: Any,
        *,
        vector_name: str,
        limit: int,
        timeout_s: float,
        shard_key: ShardKey = None,
        all_replicas: bool = False,
    ) -> tuple[tuple[str | int, float], ...]:
        """Ids and scores of the points nearest to the vector `target`, by their original vectors,
        whatever index or quantization there is; of those under `shard_key`, if one is given.
        Order: best first.

        With `all_replicas`, only what every replica of a shard gives alike.
        Source: lib/segment/src/index/vector_index_search_common.rs (exact),
            lib/collection/src/shards/resolve.rs (consistency), Qdrant 1.18.3
        """
        body = {
            "query": target,
            "using": vector_name or None,
            "limit": limit,
            "params": {"exact": True, "quantization": {"ignore": True}},
            "with_payload": False,
            "with_vector": False,
        }
        if shard_key is not None:
            body["shard_key"] = shard_key
        consistency = {"consistency": "all"} if all_replicas else {}
        result = await self._query(name, "query", body, timeout_s, **consistency)
        return tuple((hit["id"], float(hit["score"])) for hit in result["points"])

    async def _query(
        self, name: str, kind: str, body: dict[str, Any], timeout_s: float, **query: str
    ) -> Any:
        path = f"{collection_path(name)}/points/{kind}"
        query |= server_bound(timeout_s)
        return await self._http.call(
            "POST", path, body, timeout_s=timeout_s, query=query, reads=True
        )

    async def _get(self, path: str, timeout_s: float) -> Any:
        return await self._http.call("GET", path, timeout_s=timeout_s)

    async def _change(
        self,
        method: str,
        path: str,
        body: object,
        timeout_s: float,
        **query: str,
    ) -> Any:
        return await self._http.change(method, path, body, timeout_s=timeout_s, query=query)

    async def _reshape(self, name: str, body: Mapping[str, Any], timeout_s: float) -> None:
        await self._change("POST", collection_path(name) + "/cluster", body, timeout_s)


def _route(shard_id: int, source: int, target: int) -> dict[str, Any]:
    return {"shard_id": shard_id, "from_peer_id": source, "to_peer_id": target}


def _vector_of(point: Mapping[str, Any], vector_name: str) -> object | None:
    vector: object = point["vector"]
    return vector.get(vector_name) if vector_name and isinstance(vector, dict) else vector


def _without_cluster(refusal: CleancutError) -> bool:
    """Whether it refuses for want of cluster mode. Source: 500 before Qdrant 1.19, 405 since."""
    return "standalone" in refusal.message

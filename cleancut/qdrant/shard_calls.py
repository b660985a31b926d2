"""What the protocol does to one shard at one Qdrant peer: drain, stream, recover, count, search."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    Denied,
    Invalid,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.qdrant.http import CHUNK_BYTES, QdrantHttp
from cleancut.qdrant.responses import ShardKey

COUNT_S = 30.0


class ShardCalls:
    """The calls of a backup and a restore; see `cleancut.qdrant.client.Qdrant` for what all
    raise."""

    _http: QdrantHttp

    async def drain(self, name: str, shard_keys: Sequence[str | int], timeout_s: float) -> None:
        """Every replica has applied all that was queued before, and this operation (number + 1).

        It deletes by the id of nothing, and goes to every shard: custom sharding needs all keys.
        Raises: Refused, if Qdrant said no (strict mode, read-only key, a missing key, a replica
            that cannot); TimedOut, if nothing is known; NotFound, Unavailable.
        Source: lib/collection/src/shards/replica_set/update.rs, Qdrant 1.18.3
        """
        body: dict[str, Any] = {"filter": {"must": [{"has_id": [str(uuid.uuid4())]}]}}
        if shard_keys:
            body["shard_key"] = list(shard_keys)
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
        self, name: str, shard_id: int, chunk_bytes: int = CHUNK_BYTES
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The shard's tar in chunks of up to `chunk_bytes` and 1 MiB; leaving the block frees it.

        Limits: no bound in total, 60 s without a byte. A tar that was cut off ends as cleanly as
            a whole one: the reader must check its members.
        Source: lib/collection/src/shards/shard_holder/mod.rs (stream), Qdrant 1.18.3
        """
        path = f"{collection_path(name)}/shards/{shard_id}/snapshot"
        return self._http.stream(path, chunk_bytes)

    async def recover_shard(
        self, name: str, shard_id: int, *, location: str, sha256: str, timeout_s: float
    ) -> None:
        """This peer's replica holds the tar at `location` and is Active; others are untouched.

        Raises: Corrupt (checksum, no whole tar; the old data is still there), Unavailable (the
            tar could not be fetched, or could not be loaded), TimedOut (it may still be running:
            never repeat blindly), NotFound (no such shard).
        Source: src/common/snapshots.rs, Qdrant 1.18.3
        """
        path = f"{collection_path(name)}/shards/{shard_id}/snapshots/recover"
        body = {"location": location, "priority": "no_sync", "checksum": sha256}
        try:
            await self._http.call("PUT", path, body, timeout_s=timeout_s, query={"wait": "true"})
        except (Invalid, Unavailable) as refusal:
            raise _recover_error(refusal) from refusal

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
        vector: object = result["points"][0]["vector"]
        return vector.get(vector_name) if vector_name and isinstance(vector, dict) else vector


def _recover_error(refusal: CleancutError) -> CleancutError:
    words = refusal.message.lower()
    context = refusal.context
    if any(text in words for text in ("checksum", "invalid snapshot", "unpack")):
        hint = "the tar that Qdrant got is not the one that was captured; verify the backup"
        return Corrupt(refusal.message, hint, **context)
    if any(text in words for text in ("download", "http request")):
        return Unavailable(refusal.message, "see the agent that serves the tar", **context)
    return refusal


def collection_path(name: str) -> str:
    if name in {"", ".", ".."}:
        raise Invalid(f"{name!r} is no collection name", "choose another")
    return f"/collections/{encode(name)}"


def encode(text: str) -> str:
    return quote(text, safe="")

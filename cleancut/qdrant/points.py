"""Points of a collection by their ids: looked up, read and put back, as a client of Qdrant does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cleancut.core.primitives.errors import TimedOut
from cleancut.qdrant.http import QdrantHttp, server_bound
from cleancut.qdrant.recovery import collection_path
from cleancut.qdrant.responses import ShardKey

POINTS_S = 60.0


class PointCalls:
    """The part of `Qdrant` that reads and writes points by their ids. Raises: as `Qdrant`."""

    def __init__(self, http: QdrantHttp) -> None:
        self._http = http

    async def retrieve(
        self,
        name: str,
        ids: Sequence[int | str],
        *,
        shard_key: ShardKey = None,
        whole: bool = False,
        bound_s: int = 0,
        timeout_s: float = POINTS_S,
    ) -> list[dict[str, Any]]:
        """Those of `ids` that are there; `whole`: with payload and vectors. `bound_s`: for Qdrant;
        0: its own."""
        body: dict[str, Any] = {"ids": list(ids), "with_payload": whole, "with_vector": whole}
        if shard_key is not None:
            body["shard_key"] = shard_key
        path = f"{collection_path(name)}/points"
        query = server_bound(bound_s) if bound_s else None
        found = await self._http.call(
            "POST", path, body, timeout_s=timeout_s, query=query, reads=True
        )
        return list(found)

    async def scroll(
        self,
        name: str,
        *,
        after: int | str | None,
        limit: int,
        shard_key: ShardKey = None,
        timeout_s: float = POINTS_S,
    ) -> tuple[list[dict[str, Any]], int | str | None]:
        """Up to `limit` points with payload and vectors, by id, from `after` on (None: the first),
        and where the next page begins; None for nowhere."""
        body: dict[str, Any] = {"limit": limit, "with_payload": True, "with_vector": True}
        if after is not None:
            body["offset"] = after
        if shard_key is not None:
            body["shard_key"] = shard_key
        path = f"{collection_path(name)}/points/scroll"
        found = await self._http.call("POST", path, body, timeout_s=timeout_s, reads=True)
        return list(found["points"]), found.get("next_page_offset")

    async def upsert(
        self,
        name: str,
        points: Sequence[dict[str, Any]],
        *,
        shard_key: ShardKey = None,
        insert_only: bool = False,
        bound_s: int = 0,
        timeout_s: float = POINTS_S,
    ) -> None:
        """Applied when it returns. `insert_only`: a point that is there stays as it is; servers
        before 1.17 do not know that, and would replace it. `bound_s`: as for `retrieve`.

        Order: repeatable.
        Source: lib/segment/src/types.rs (UpdateMode), Qdrant 1.18.3
        """
        body: dict[str, Any] = {"points": list(points)}
        if shard_key is not None:
            body["shard_key"] = shard_key
        if insert_only:
            body["update_mode"] = "insert_only"
        path, query = f"{collection_path(name)}/points", {"wait": "true"}
        if bound_s:
            query |= server_bound(bound_s)
        result = await self._http.call("PUT", path, body, timeout_s=timeout_s, query=query)
        if result.get("status") != "completed":
            raise TimedOut(f"points of {name!r} were not applied: {result.get('status')}")

"""Reads of a whole collection's points, for canaries."""

from __future__ import annotations

import math
from typing import Any

from cleancut.qdrant.http import QdrantHttp
from cleancut.qdrant.shard_calls import collection_path


class PointCalls:
    """Exact searches; see `cleancut.qdrant.client.Qdrant` for what all raise."""

    _http: QdrantHttp

    async def ids_with(
        self, name: str, vector_name: str, limit: int, *, timeout_s: float
    ) -> tuple[str | int, ...]:
        """Up to `limit` points that have this vector, over all shards and keys. Order: by id."""
        body = {
            "limit": limit,
            "filter": {"must": [{"has_vector": vector_name}]},
            "with_payload": False,
            "with_vector": False,
        }
        result = await self._ask(name, "scroll", body, timeout_s)
        return tuple(point["id"] for point in result["points"])

    async def nearest(
        self,
        name: str,
        point: str | int,
        *,
        vector_name: str,
        limit: int,
        timeout_s: float,
        all_replicas: bool = False,
    ) -> tuple[tuple[str | int, float], ...]:
        """Ids and scores of the other points nearest to this one's vector, by their original
        vectors, whatever index or quantization there is. Order: best first.

        With `all_replicas`, only what every replica of a shard gives alike.
        Raises: NotFound, if there is no such point.
        Source: lib/segment/src/index/vector_index_search_common.rs (exact),
            lib/collection/src/shards/resolve.rs (consistency), Qdrant 1.18.3
        """
        body = {
            "query": point,
            "using": vector_name or None,
            "limit": limit,
            "params": {"exact": True, "quantization": {"ignore": True}},
            "with_payload": False,
            "with_vector": False,
        }
        consistency = {"consistency": "all"} if all_replicas else {}
        result = await self._ask(name, "query", body, timeout_s, **consistency)
        return tuple((hit["id"], float(hit["score"])) for hit in result["points"])

    async def _ask(
        self, name: str, kind: str, body: dict[str, Any], timeout_s: float, **query: str
    ) -> Any:
        path = f"{collection_path(name)}/points/{kind}"
        query["timeout"] = str(max(1, math.ceil(timeout_s)))
        return await self._http.call(
            "POST", path, body, timeout_s=timeout_s, query=query, reads=True
        )

"""Points of one replica, as the local peer holds them: ids by pages, and some of them whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from cleancut.qdrant.http import QdrantHttp
from cleancut.qdrant.recovery import collection_path

PAGE_S = 60.0
PAGE_IDS = 10_000


class LocalPoints:
    """The part of `Qdrant` that reads points of one replica here. Raises: as `Qdrant`; Unavailable,
    if the replica cannot be read, or there is none at this peer."""

    _http: QdrantHttp

    async def ids_of_shard(
        self, name: str, shard_id: int, *, page_ids: int = PAGE_IDS, timeout_s: float = PAGE_S
    ) -> AsyncIterator[list[int | str]]:
        """All ids in the replica here, in pages. Order: by id, numbers first.

        Limits: a page at a time; what is written meanwhile may be in it or not. `timeout_s` bounds
            a page.
        """
        path = _points_path(name, shard_id) + "/scroll"
        offset: int | str | None = None
        while True:
            body: dict[str, Any] = {"limit": page_ids, "with_payload": False, "with_vector": False}
            if offset is not None:
                body["offset"] = offset
            result = await self._http.call("POST", path, body, timeout_s=timeout_s, reads=True)
            yield [point["id"] for point in result["points"]]
            offset = result.get("next_page_offset")
            if offset is None:
                return

    async def points_of_shard(
        self, name: str, shard_id: int, ids: Sequence[int | str], timeout_s: float = PAGE_S
    ) -> list[dict[str, Any]]:
        """Those of `ids` that the replica here has, with payload and vectors."""
        body = {"ids": list(ids), "with_payload": True, "with_vector": True}
        path = _points_path(name, shard_id)
        found = await self._http.call("POST", path, body, timeout_s=timeout_s, reads=True)
        return list(found)


def _points_path(name: str, shard_id: int) -> str:
    return f"{collection_path(name)}/shards/{shard_id}/points"

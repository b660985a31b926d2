"""Collections and points that tests write by plain requests, as any application does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import aiohttp

VECTORS = {"size": 4, "distance": "Dot"}


async def request(url: str, method: str, path: str, body: Any = None) -> Any:
    """The result. Raises: AssertionError with the answer, unless that is 200."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url + path, json=body) as response,
    ):
        answer = await response.json()
        assert response.status == 200, answer
        return answer["result"]


async def create(url: str, name: str, shards: int = 1, replicas: int = 1, **more: Any) -> None:
    body = {"vectors": VECTORS, "shard_number": shards, "replication_factor": replicas, **more}
    await request(url, "PUT", path_of(name), body)


async def upsert(url: str, name: str, ids: Iterable[int], more: str = "") -> None:
    """Acknowledged points; the vector of each follows from its id. `more`: of the query."""
    points = [{"id": one, "vector": [one, 1, 0, 0], "payload": {"n": one}} for one in ids]
    await request(url, "PUT", f"{path_of(name)}/points?wait=true{more}", {"points": points})


async def count(url: str, name: str) -> int:
    counted = await request(url, "POST", f"{path_of(name)}/points/count", {"exact": True})
    return int(counted["count"])


def path_of(name: str) -> str:
    return f"/collections/{quote(name, safe='')}"

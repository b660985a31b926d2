"""Calls from peer to peer, JSON over HTTP under `/internal/`."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec

from cleancut_devcluster.peer.engine.errors import Problem, Unreachable

CALL_S = 30.0
CONNECT_S = 10.0
"""On loopback a connection is made or refused at once; the rest is for a loop that is held up."""


class Peers:
    """The other peers, by id; `address` looks up where one is now."""

    def __init__(self, address: Callable[[int], str | None], api_key: str | None) -> None:
        self._address = address
        self._headers = {"api-key": api_key} if api_key else {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self, peer: int, path: str, body: object = None, timeout_s: float = CALL_S
    ) -> Any:
        """The result. Raises: Problem, as the peer raised it; Unreachable."""
        return await self._post(peer, path, io.BytesIO(msgspec.json.encode(body)), timeout_s)

    async def send(
        self, peer: int, path: str, chunks: AsyncIterator[bytes], timeout_s: float
    ) -> Any:
        """As `call`, with a body that is made while it is sent."""
        return await self._post(peer, path, chunks, timeout_s)

    async def _post(self, peer: int, path: str, data: Any, timeout_s: float) -> Any:
        address = self._address(peer)
        if address is None:
            raise Unreachable(peer, f"peer {peer} is unknown")
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.post(
                    f"{address.rstrip('/')}/internal/{path}", data=data, headers=self._headers
                ) as response,
            ):
                answer = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(peer, f"peer {peer} at {address}: {error!r}") from error
        document = msgspec.json.decode(answer)
        if response.status != 200:
            raise Problem(response.status, document["status"]["error"])
        return document["result"]


async def all_of(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """All results, in order. Raises: the first Problem, once all calls have ended."""
    results: list[Any] = [None] * len(calls)
    problems: list[Problem] = []

    async def run(at: int, call: Awaitable[Any]) -> None:
        try:
            results[at] = await call
        except Problem as problem:
            problems.append(problem)

    async with asyncio.TaskGroup() as group:
        for at, call in enumerate(calls):
            group.create_task(run(at, call))
    if problems:
        raise problems[0]
    return results


async def by_key(calls: Mapping[int, Awaitable[Any]]) -> dict[int, Any]:
    """As `all_of`, by the keys of `calls`."""
    return dict(zip(calls, await all_of(list(calls.values())), strict=True))

"""Client for programs without an event loop: runs every call of a `Client` to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Self, TypeVar

from cleancut.client.client import Client

T = TypeVar("T")


class BlockingClient:
    """A `Client` for one thread without a running event loop: `BlockingClient(Client(addresses))`.

    Use it as a context manager, which closes the client. Raises, Limits: as `Client`.
    """

    def __init__(self, client: Client) -> None:
        self._runner = asyncio.Runner()
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._runner.run(self._client.__aexit__(*exc))
        finally:
            self._runner.close()

    def call(self, act: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """The result of a call: `cluster.call(lambda c: c.cluster_status())`."""
        return self._runner.run(act(self._client))

    def watch(self, act: Callable[[Client], AsyncGenerator[T, None]]) -> Iterator[T]:
        """The values of a watch, until the operation ends or the caller leaves the loop:
        `for backup in cluster.watch(lambda c: c.watch_backup("b-1")): ...`"""
        stream = act(self._client)
        try:
            while True:
                try:
                    yield self._runner.run(_next(stream))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(stream.aclose())


async def _next(stream: AsyncGenerator[T, None]) -> T:
    return await anext(stream)

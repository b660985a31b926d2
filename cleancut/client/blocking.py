"""The client for programs without an event loop: every call of `Client`, waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from cleancut.client.client import Client
from cleancut.client.connection import CALL_S
from cleancut.runtime.tls import Tls

T = TypeVar("T")


class BlockingClient:
    """A cluster's coordinators as one. Use it as a context manager, in one thread, and not inside a
    running event loop.

    Raises, Limits: as `Client`.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        tls: Tls | None = None,
        *,
        timeout_s: float = CALL_S,
        token_file: Path | None = None,
    ) -> None:
        self._runner = asyncio.Runner()
        self._client = Client(addresses, tls, timeout_s=timeout_s, token_file=token_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._runner.run(self._client.__aexit__(*exc))
        finally:
            self._runner.close()

    def call(self, act: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """What the call answers: `cluster.call(lambda c: c.cluster_status())`."""
        return self._runner.run(act(self._client))

    def watch(self, act: Callable[[Client], AsyncGenerator[T, None]]) -> Iterator[T]:
        """What the watch brings, until the watched has ended, or the loop over it is left:
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

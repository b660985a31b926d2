"""Attempts: blocking calls to a store in threads, repeated where that may help.

Each call is idempotent, and between attempts the caller can be cancelled.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from cleancut.core.primitives.errors import CleancutError, Denied
from cleancut.ports.clock import Clock

THREADS = 8
ATTEMPTS = 6
MAX_BACKOFF_S, MAX_ASKED_S = 8.0, 60.0
T = TypeVar("T")
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed call means. `replaced`: its credentials may have been replaced since the client
    was made; `asked_s`: how long the server asks to be left alone."""

    error: CleancutError
    replaced: bool = False
    asked_s: float = 0.0


class Renewable(Generic[C]):
    """A client that is made at its first use, and again after it was forgotten."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self.made: C | None = None

    def get(self) -> C:
        made = self.made
        if made is None:
            made = self.made = self._make()
        return made

    def forget(self, used: C | None) -> None:
        """The next call reads the credentials again, unless another call has done so already."""
        if used is None or self.made is used:
            self.made = None


class Attempts(Generic[C]):
    """Limits: 8 calls at a time, 6 attempts, with growing waits, or those that the server asks for,
    of a minute at most."""

    def __init__(
        self,
        client: Renewable[C],
        clock: Clock,
        foreign: tuple[type[Exception], ...],
        judge: Callable[[Exception, str], Failure],
    ) -> None:
        self._client, self._clock, self._foreign, self._judge = client, clock, foreign, judge
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store")

    async def run(self, path: str, act: Callable[[], T]) -> T:
        """What `act` gives. Credentials that were refused are read once more before they count as
        denied: they may have been replaced since the client was made."""
        renewed = False
        for attempt in range(1, ATTEMPTS + 1):
            used = self._client.made
            try:
                return await asyncio.get_running_loop().run_in_executor(self._pool, act)
            except self._foreign as error:
                failure = self._judge(error, path)
                again = failure.replaced and not renewed
                if isinstance(failure.error, Denied) or again:
                    self._client.forget(used)
                if again:
                    renewed = True
                    continue
                if not failure.error.retryable or attempt == ATTEMPTS:
                    raise failure.error from error
            backoff = min(MAX_BACKOFF_S, 0.2 * 2**attempt) * random.uniform(0.5, 1)
            await self._clock.sleep(max(backoff, min(failure.asked_s, MAX_ASKED_S)))
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

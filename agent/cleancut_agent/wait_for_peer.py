"""The local Qdrant peer may restart at any time: reads of it are repeated until it is back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cleancut.core.primitives.errors import Unavailable
from cleancut.ports.clock import Clock

T = TypeVar("T")
PEER_BACK_S = 120.0
_POLL_S = 0.5


async def retry_until_reachable(clock: Clock, read: Callable[[], Awaitable[T]]) -> T:
    """What `read` gives, begun again from its start as long as the peer cannot be reached.

    Raises: what `read` raises, a refusal by the peer at once; Unavailable, if the peer stays away.
    """
    deadline_s = clock.monotonic_s() + PEER_BACK_S
    while True:
        try:
            return await read()
        except Unavailable as error:
            if "status" in error.context or clock.monotonic_s() >= deadline_s:
                raise
        await clock.sleep(_POLL_S)

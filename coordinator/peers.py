"""Asking the cluster, when any one of its peers will do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cleancut.errors import TimedOut, Unavailable
from cleancut.io.qdrant import Qdrant

T = TypeVar("T")


async def ask_any(peers: Sequence[Qdrant], call: Callable[[Qdrant], Awaitable[T]]) -> T:
    """The answer of the first peer that gives one. For reads only: a change may happen twice.

    Raises: the last peer's Unavailable or TimedOut; any other error at once.
    """
    last: Unavailable | TimedOut = Unavailable("no Qdrant URL was given", "set --qdrant-url")
    for peer in peers:
        try:
            return await call(peer)
        except (Unavailable, TimedOut) as error:
            last = error
    raise last

"""Asking the cluster, when any one of its peers will do."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cleancut.core.primitives.errors import TimedOut, Unavailable
from cleancut.ports.clock import Clock
from cleancut.qdrant.client import Qdrant

T = TypeVar("T")
_POLL_S = 0.25


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


async def first_peer(peers: Sequence[Qdrant]) -> Qdrant:
    """The first peer that answers, and the same for each call: changes are sent to one, since they
    may not be repeated blindly at another. Raises: Refused, if several answer at its URL;
    Unavailable, TimedOut."""
    peer = await first_answering(peers)
    await peer.check_one_peer()
    return peer


async def check_peers(peers: Sequence[Qdrant]) -> None:
    """Raises: Refused, if several peers answer at one of the URLs."""
    for peer in peers:
        with contextlib.suppress(Unavailable, TimedOut):
            await peer.check_one_peer()


async def first_answering(peers: Sequence[Qdrant]) -> Qdrant:
    """The first peer that answers, for changes that any peer may be asked to look at.

    Raises: Unavailable, TimedOut.
    """

    async def answering(peer: Qdrant) -> Qdrant:
        await peer.cluster()
        return peer

    return await ask_any(peers, answering)


async def first_value(
    clock: Clock, read: Callable[[], Awaitable[T | None]], bound_s: float
) -> T | None:
    """What `read` gives as soon as it is not None; None when the bound is over."""
    deadline_s = clock.monotonic_s() + bound_s
    while True:
        found = await read()
        if found is not None or clock.monotonic_s() >= deadline_s:
            return found
        await clock.sleep(_POLL_S)

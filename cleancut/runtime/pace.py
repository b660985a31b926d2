"""Pace: waiting until a rate allows the next bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cleancut.core.cluster.agent_settings import RateLimiter

_LOOK_AGAIN_S = 1.0


async def wait_turn(
    limiter: RateLimiter,
    rate: Callable[[], int],
    now_s: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Keeps to the `rate` that is set now: looked at each second, since it may change."""
    while wait_s := limiter.wait_s(now_s(), rate()):
        await sleep(min(wait_s, _LOOK_AGAIN_S))

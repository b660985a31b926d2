"""One peer at a URL: behind a load balancer each request may reach another one, and no decision of
several steps knows whom it asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from cleancut.core.primitives.errors import Refused
from cleancut.qdrant.responses import Telemetry
from cleancut.runtime.concurrency import run_all

_PROBES = 6
"""At once, so that a balancer of connections spreads them too."""


async def check_one_peer(url: str, telemetry: Callable[[], Awaitable[Telemetry]]) -> None:
    """Raises: Refused, if several processes answer; what `telemetry` raises.

    Limits: a balancer that chooses one of two at random passes one time in 32.
    """
    told = await run_all([partial(_startup, telemetry)] * _PROBES, _PROBES)
    if len(set(told)) > 1:
        raise Refused(
            f"several peers of Qdrant answer at {url}, as behind a load balancer",
            "give --qdrant-url the URLs of single peers, not that of a load balancer or of a"
            " service with several peers",
        )


async def _startup(telemetry: Callable[[], Awaitable[Telemetry]]) -> str:
    return (await telemetry()).startup

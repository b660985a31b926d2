"""Bound of an agent's small calls to the store, so that one that hangs is named within seconds.

Uploads and restores have limits of their own, by progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cleancut.core.primitives.errors import TimedOut


@asynccontextmanager
async def prompt_store(what: str, bound_s: float) -> AsyncIterator[None]:
    """Raises: TimedOut, if the block takes longer.

    Limits: a call in a thread goes on there, and its result is dropped.
    """
    try:
        async with asyncio.timeout(bound_s):
            yield
    except TimeoutError as error:
        raise TimedOut(
            f"the store does not answer within {bound_s:g} s ({what})",
            "check the mount or the endpoint of the store",
        ) from error

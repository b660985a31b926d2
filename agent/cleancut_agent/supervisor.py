"""Keeps an agent up although something is missing: beside a database, a container that ends takes
its whole pod out of service. What is missing is said, and tried again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from cleancut.core.primitives.errors import CleancutError
from cleancut.runtime.log import Logger

RETRY_S = (5.0, 15.0)


async def keep_running(
    work: Callable[[], Awaitable[None]],
    idle: Callable[[], AbstractAsyncContextManager[Any]],
    log: Logger,
    retry_s: tuple[float, float] = RETRY_S,
) -> None:
    """Does `work` until it ends by itself; inside `idle`, it waits for its next try."""
    while True:
        try:
            await work()
        except CleancutError as error:
            log.error("cannot work", reason=error.reason, cause=error.message, hint=error.hint)
        except OSError as error:
            log.error("cannot work", cause=str(error))
        else:
            return
        try:
            async with idle():
                await asyncio.sleep(random.uniform(*retry_s))
        except OSError as error:
            log.error("cannot listen", cause=str(error))
            await asyncio.sleep(random.uniform(*retry_s))

"""Supervisor of a sidecar: in a database's pod, a container that ends takes the whole pod out of
service. So whatever ends the work is logged, and the work is tried again."""

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
        except Exception as error:
            log.exception("a fault in the program", cause=repr(error))
        else:
            return
        try:
            async with idle():
                await asyncio.sleep(random.uniform(*retry_s))
        except (OSError, CleancutError) as error:
            log.error("cannot listen", cause=str(error))
            await asyncio.sleep(random.uniform(*retry_s))

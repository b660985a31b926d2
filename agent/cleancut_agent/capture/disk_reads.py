"""Reads of the local disk for captures: in threads of their own with idle I/O priority, one batch
ahead, and within a rate.

Source: ioprio_set(2); an I/O scheduler that knows no priorities (`none`) takes no notice
"""

from __future__ import annotations

import asyncio
import ctypes
import platform
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from cleancut.core.cluster.agent_settings import RateLimiter
from cleancut.runtime.pace import wait_turn

T = TypeVar("T")
THREADS = 2
"""Over all shards of an agent."""
_THIS_THREAD = 0
_WHO_PROCESS = 1
_IDLE = 3 << 13
_CALLS = {"x86_64": 251, "aarch64": 30, "riscv64": 30}


class DiskReads:
    """Of one agent. `rate`: bytes a second that may be read now; 0: no limit."""

    def __init__(self, rate: Callable[[], int] = lambda: 0, pool: Executor | None = None) -> None:
        self._rate, self._limiter = rate, RateLimiter()
        self._pool = pool or ThreadPoolExecutor(
            THREADS, thread_name_prefix="disk", initializer=lower_io_priority
        )

    async def ahead(
        self, batches: Iterator[tuple[Sequence[T], int]]
    ) -> AsyncGenerator[Sequence[T], None]:
        """What `batches` gives with the bytes that were read for it; one is read ahead.

        Order: close it (`contextlib.aclosing`): no thread uses `batches` after that.
        Raises: what `batches` raises.
        """
        now_s, coming = asyncio.get_running_loop().time, self._begin(batches)
        try:
            while (found := await asyncio.shield(coming)) is not None:
                batch, read_bytes = found
                self._limiter.went(read_bytes)
                late = self._limiter.wait_s(now_s(), self._rate()) > 0
                if not late:
                    coming = self._begin(batches)
                yield batch
                if late:
                    await wait_turn(self._limiter, self._rate, now_s, asyncio.sleep)
                    coming = self._begin(batches)
        finally:
            await asyncio.wait([coming])
            if not coming.cancelled():
                coming.exception()  # looked at: what is not waited for must not be logged

    def _begin(self, batches: Iterator[T]) -> asyncio.Future[T | None]:
        read: Callable[[], T | None] = partial(next, batches, None)
        return asyncio.get_running_loop().run_in_executor(self._pool, read)


def lower_io_priority() -> bool:
    """Whether the calling thread reads only when nothing else wants the disk, from now on."""
    number = _CALLS.get(platform.machine())
    if number is None:
        return False
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    numbers = (number, _WHO_PROCESS, _THIS_THREAD, _IDLE)
    return int(syscall(*map(ctypes.c_long, numbers))) == 0

"""Event loop whose clock jumps to the next timer: a busy machine cannot make a test late."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from cleancut.runtime.clock import SystemClock

T = TypeVar("T")


class LoopClock(SystemClock):
    """The running loop's time."""

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


class _Selector(selectors.DefaultSelector):
    """Returns at once, and counts what a real one would have waited."""

    waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing is ready and no timer is set"
        self.waited_s += max(timeout, 0.0)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """Limits: no threads, sockets or processes: their answers take real time."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.waited_s


def run_jumping(body: Coroutine[Any, Any, T]) -> T:
    """What `body` returns on a new `JumpingLoop`."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(body)

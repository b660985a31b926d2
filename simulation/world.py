"""World of a simulation: one clock, one generator, and processes that die and freeze.

Everything random comes from one seeded generator, so a seed is a history. Nothing here knows what
runs in it.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from cleancut.core.primitives.errors import CleancutError
from simulation.loop import GATE, Gate, JumpingLoop

WALL_S = 1_700_000_030.0
"""When a history begins: ten seconds before a full minute, at which schedules may be due."""
T = TypeVar("T")
Call = Callable[[], object]


_PLANNED_S = 0.5
"""What comes sooner is a part of something that goes on."""


class World:
    """Time and chance. `failures`: errors that ended a program, or that nothing has dealt with.
    `planned_s`: when the last thing happens that was planned outside of all processes so far."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.failures: list[str] = []
        self.over, self.planned_s = False, 0.0
        self.loop = JumpingLoop(self.rng, self._failed)
        self._outside = contextvars.Context()

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def after(
        self, delay_s: float, call: Call, owner: Process | None = None
    ) -> asyncio.TimerHandle:
        """`call` happens then; if it has an owner, only while that lives, and not while frozen.

        Limits: what repeats itself for ever does so more often than every half second, or has an
            owner: a history ends after all that was planned.
        """
        if owner is not None:
            return self.loop.call_later(delay_s, call, context=owner.context)
        if delay_s >= _PLANNED_S:
            self.planned_s = max(self.planned_s, self.now_s + delay_s)
        return self.loop.call_later(delay_s, call, context=self._outside)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` outside of all processes."""
        self.loop.create_task(work, context=self._outside.copy()).add_done_callback(self._ended)

    def reply(self) -> Reply:
        return Reply(self.loop)

    def run(self, until_s: float, stop: Callable[[], bool]) -> None:
        """Lets things happen until `stop` (asked once a virtual second) or `until_s`."""

        def look() -> None:
            if self.now_s >= until_s or stop():
                self.loop.stop()
            else:
                wait_s = min(1.0, until_s - self.now_s)
                self.loop.call_later(wait_s, look, context=self._outside)

        self.after(0.0, look)
        self.loop.run_forever()

    def end(self) -> None:
        """Nothing answers any more, and all that runs is ended."""
        self.over = True
        self.loop.end()

    def chance(self, probability: float) -> bool:
        return probability > 0.0 and self.rng.random() < probability

    def token_hex(self, size: int) -> str:
        """A random string of `size` bytes."""
        return self.rng.randbytes(size).hex()

    def _failed(self, context: dict[str, Any]) -> None:
        if not self.over:
            self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _ended(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.over:
            self.failures.append(f"ended by {error!r}")
            raise error


class Process(Gate):
    """One life of a program. Its next life is another Process."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world.loop)
        self.world, self.name = world, name
        self.frozen_until_s = 0.0
        self.token = 0
        """What it holds in etcd now (a leader's or a session's create_revision): for checkers."""
        self.epoch = 0
        """The attempt whose documents it has read or staged last: for checkers."""
        self.writes_late = False
        """Its writes to etcd stay in the network for longer than a session lives."""
        self.context = contextvars.Context()
        self.context.run(GATE.set, self)
        self.on_end: list[Call] = []
        self._dies_after = self._freezes_after = -1
        self._freeze_s = 0.0

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts the program: it ends only by being killed, anything else is a bug of it."""

        def ended(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if self.alive and not self.world.over:
                self.world.failures.append(f"{self.name} ended by itself: {error!r}")

        self.spawn(work).add_done_callback(ended)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs `work` as a part of this process."""
        return self.world.loop.create_task(work, context=self.context.copy())

    def kill(self) -> None:
        """The process is gone at once, without any clean-up; what it has sent is on its way."""
        if self.alive:
            self.alive = False
            for call in self.on_end:
                self.world.after(0.0, call)

    def freeze(self, seconds: float) -> None:
        """Nothing happens in it until then; afterwards everything that has waited happens."""
        self.frozen = True
        self.frozen_until_s = max(self.frozen_until_s, self.world.now_s + seconds)
        self.world.after(seconds, self._thaw)

    def _thaw(self) -> None:
        if self.frozen and self.world.now_s >= self.frozen_until_s - 1e-6:
            self.world.loop.thaw(self)

    def wake(self) -> None:
        """The end of a freeze, earlier than it was planned."""
        self.frozen_until_s = min(self.frozen_until_s, self.world.now_s)
        self._thaw()

    def die_after(self, calls: int) -> None:
        """Plans a death just before one of the next calls that it makes."""
        self._dies_after = calls

    def freeze_after(self, calls: int, seconds: float) -> None:
        self._freezes_after, self._freeze_s = calls, seconds

    async def boundary(self) -> None:
        """Before a call to the outside: here it dies or freezes, if that was planned."""
        if self.world.over:
            raise asyncio.CancelledError
        self._dies_after -= 1
        self._freezes_after -= 1
        if self._dies_after == 0:
            self.kill()
        if self._freezes_after == 0:
            self.freeze(self._freeze_s)
        if not self.alive or self.frozen:
            await asyncio.sleep(0.0)  # comes back at the end of the freeze, or never

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Reply:
    """An answer that one coroutine waits for. The first one counts."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[Any] = loop.create_future()

    def answer(self, value: Any = None, error: CleancutError | None = None) -> None:
        if self._future.done():
            return
        if error is None:
            self._future.set_result(value)
        else:
            self._future.set_exception(error)
            self._future.exception()  # seen: a caller may have gone

    def __await__(self) -> Any:
        return self._future.__await__()


class SimClock:
    """The clock of a process: the world's, as the wall shows it; its wall time may be `off_s`."""

    def __init__(self, world: World, off_s: float = 0.0) -> None:
        self._world, self._off_s = world, off_s

    def monotonic_s(self) -> float:
        return self._world.now_s

    def wall_s(self) -> float:
        return WALL_S + self._world.now_s + self._off_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def within(seconds: float, work: Awaitable[T]) -> T | None:
    """What `work` gives, or None when the bound is over."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        return None

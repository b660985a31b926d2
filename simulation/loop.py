"""Event loop whose clock jumps: no real time, no threads, no sockets, and a seeded order.

The clock stands still while anything is ready, then jumps to the next timer. What is ready at one
instant runs in an order that the generator gives. What belongs to a process (by its context) runs
only while that process is alive and not frozen.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")
POOL_S = 0.004
"""The longest that a pool takes for a piece of work."""
_END_ROUNDS = 200


class NothingScheduled(AssertionError):
    """Nothing is ready, and no timer is set: everything waits for something that never comes."""


class Gate:
    """Decides whether what belongs to a process may run now.

    `held`: what waits for the end of a freeze, in the order in which it became ready; of a dead
    process, what will never run.
    """

    def __init__(self, loop: JumpingLoop) -> None:
        self.alive, self.frozen = True, False
        self.held: list[asyncio.Handle] = []
        loop.gates.append(self)


GATE: ContextVar[Gate | None] = ContextVar("gate", default=None)


class _Handle(asyncio.TimerHandle):
    """A callback of this loop; made, run and canceled at far less cost than asyncio's own, of which
    it has only what is used here."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object] | None,
        args: Sequence[Any],
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._callback, self._args = callback, args
        self._cancelled, self._when = False, when

    def cancel(self) -> None:
        """Canceled timers are passed over when their time comes."""
        self._cancelled, self._callback, self._args = True, None, ()

    def __repr__(self) -> str:
        return f"<{self._callback!r} at {self._when:g} s>"


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number: sets of tasks are in the same order in every run."""

    def __init__(self, number: int, work: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._number = number
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self._number


class JumpingLoop(asyncio.BaseEventLoop):
    """`failed`: called with each error that no task and no caller has dealt with."""

    _ready: Any
    _stopping: bool

    def __init__(self, rng: random.Random, failed: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._rng, self._now_s, self._tasks_made = rng, 0.0, 0
        self._ending = False
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_set = 0
        self.live: dict[asyncio.Task[Any], None] = {}
        self.gates: list[Gate] = []
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]
        self.set_exception_handler(lambda _, context: failed(context))

    def time(self) -> float:
        return self._now_s

    def _make_task(
        self, _: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        self._tasks_made += 1
        task = _Task(self._tasks_made, work, loop=self, **options)
        self.live[task] = None
        task.add_done_callback(self._forget, context=_NO_PROCESS)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.live.pop(task, None)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = _Handle(when, callback, args, context)
        self._timers_set += 1
        heappush(self._timers, (when, self._timers_set, handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        when = self._now_s + delay
        handle = _Handle(when, callback, args, context)
        self._timers_set += 1
        heappush(self._timers, (when, self._timers_set, handle))
        return handle

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(self._now_s, callback, args, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """Runs instant after instant until the loop is stopped, which is cheaper than to return
        after each. Most have a single callback."""
        ready, timers, ending = self._ready, self._timers, self._ending
        while True:
            if not ready:
                while timers and timers[0][2]._cancelled:
                    heappop(timers)
                if not timers:
                    raise NothingScheduled("nothing is ready and no timer is set")
                self._now_s = max(self._now_s, timers[0][0])
            now_s = self._now_s
            while timers and timers[0][0] <= now_s:
                ready.append(heappop(timers)[2])
            if len(ready) == 1:
                self._run_handle(ready.popleft(), ending)
            else:
                batch = [handle for handle in ready if not handle._cancelled]
                ready.clear()
                if len(batch) > 1:
                    self._rng.shuffle(batch)
                for handle in batch:
                    self._run_handle(handle, ending)
            if self._stopping:
                return

    def _run_handle(self, handle: Any, ending: bool) -> None:
        if handle._cancelled:
            return
        context = handle._context
        gate = context.get(GATE)
        if gate is not None and (gate.frozen or not gate.alive) and not ending:
            gate.held.append(handle)
            return
        try:
            context.run(handle._callback, *handle._args)
        except Exception as error:  # noqa: BLE001 - whatever a callback raises is a failure
            self.call_exception_handler({"message": f"{handle}", "exception": error})

    def thaw(self, gate: Gate) -> None:
        """All that waited is ready at once."""
        gate.frozen = False
        held, gate.held = gate.held, []
        self._ready.extend(held)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """The work of a pool, done here: like a thread, it goes on when its caller is cancelled."""

        async def work() -> T:
            await asyncio.sleep(self._rng.random() * POOL_S)
            return func(*args)

        return asyncio.shield(self.create_task(work()))

    def _process_events(self, event_list: object) -> None:
        """There are no files and no sockets."""

    def _write_to_self(self) -> None:
        """There are no threads that would have to wake this one."""

    def __del__(self) -> None:
        """It holds nothing that would have to be closed."""

    def end(self) -> None:
        """Ends all tasks, whatever their processes are, and closes the loop."""
        self._ending, rounds = True, iter(range(_END_ROUNDS))
        for gate in self.gates:
            self.thaw(gate)

        def look() -> None:
            if not self.live or next(rounds, None) is None:
                self.stop()
                return
            for task in list(self.live):
                task.cancel()
            self.call_later(0.01, look, context=_NO_PROCESS)

        self.call_soon(look, context=_NO_PROCESS)
        self.run_forever()
        for task in list(self.live):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.live.clear()
        self._ready.clear()
        self._timers.clear()
        self.close()


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, on a loop of its own: it takes no time, and no threads."""
    loop = JumpingLoop(random.Random(0), failed=lambda _: None)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.end()


_NO_PROCESS = copy_context()

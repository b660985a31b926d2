"""The simulated world: one clock that jumps, one heap of events, processes that die and freeze.

Everything random comes from one seeded generator, so a seed is a history. Nothing here knows what
runs in it. Coroutines are driven by hand: no event loop, no threads, no real time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from cleancut.core.primitives.errors import CleancutError

Call = Callable[[], None]


class World:
    """Time and order. Events of one instant happen in the order in which they were asked for."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_s = 0.0
        self._heap: list[tuple[float, int, Process | None, Call]] = []
        self._asked = 0

    def after(self, delay_s: float, call: Call, owner: Process | None = None) -> None:
        """`call` happens then; if it has an owner, only while that lives, and not while frozen."""
        self._asked += 1
        heapq.heappush(self._heap, (self.now_s + delay_s, self._asked, owner, call))

    def run(self, until_s: float, stop: Callable[[], bool]) -> None:
        """Lets things happen until `stop` (asked once a virtual second) or `until_s`."""
        heap, next_look_s = self._heap, self.now_s
        while heap and heap[0][0] <= until_s:
            when_s, _, owner, call = heapq.heappop(heap)
            if owner is not None:
                if not owner.alive:
                    continue
                if owner.frozen_until_s > when_s:
                    heapq.heappush(heap, (owner.frozen_until_s, self._shuffled(), owner, call))
                    continue
            self.now_s = max(self.now_s, when_s)
            if self.now_s >= next_look_s:
                if stop():
                    return
                next_look_s = self.now_s + 1.0
            call()
        self.now_s = max(self.now_s, until_s)

    def _shuffled(self) -> int:
        """A place among what has waited: who wakes up sees timers and answers in any order."""
        self._asked += 1
        return (self.rng.getrandbits(20) << 40) + self._asked

    def chance(self, probability: float) -> bool:
        return probability > 0.0 and self.rng.random() < probability


class Process:
    """One life of a program. Its next life is another Process."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.alive = True
        self.frozen_until_s = 0.0
        self.token = 0
        """What it holds in etcd now (a leader's or a session's create_revision): for checkers."""
        self._tasks: set[Task] = set()
        self._dies_after = -1
        self._freezes_after = -1
        self._freeze_s = 0.0

    def spawn(
        self, work: Coroutine[Any, Any, object], ended: Callable[[CleancutError | None], None]
    ) -> Task:
        """Starts `work`; `ended` is told the error that ended it, or None."""
        task = Task(self, work, ended)
        self._tasks.add(task)
        self.world.after(0.0, task.resume, self)
        return task

    def forget(self, task: Task) -> None:
        self._tasks.discard(task)

    def sleep(self, seconds: float) -> Reply:
        reply = Reply()
        self.world.after(seconds, reply.answer, self)
        return reply

    def kill(self) -> None:
        """The process is gone at once; what it has sent is still on its way."""
        self.alive = False
        for task in tuple(self._tasks):
            task.close()

    def freeze(self, seconds: float) -> None:
        """Nothing happens in it until then; afterwards everything that has waited happens."""
        self.frozen_until_s = self.world.now_s + seconds

    def die_after(self, commands: int) -> None:
        """Plans a death just before one of the next commands."""
        self._dies_after = commands

    def freeze_after(self, commands: int, seconds: float) -> None:
        self._freezes_after, self._freeze_s = commands, seconds

    async def boundary(self) -> None:
        """Between two commands: here it dies or freezes, if that was planned."""
        self._dies_after -= 1
        self._freezes_after -= 1
        if self._dies_after == 0:
            self.world.after(0.0, self.kill)
            await Reply()
        if self._freezes_after == 0:
            self.freeze(self._freeze_s)
            await self.sleep(0.0)


class Reply:
    """An answer that one coroutine waits for."""

    __slots__ = ("done", "error", "value", "waiter")

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self.error: CleancutError | None = None
        self.waiter: Task | None = None

    def answer(self, value: Any = None, error: CleancutError | None = None) -> None:
        """The first answer counts."""
        if self.done:
            return
        self.done, self.value, self.error = True, value, error
        if self.waiter is not None:
            process = self.waiter.process
            process.world.after(0.0, self.waiter.resume, process)

    def __await__(self) -> Generator[Reply, None, Any]:
        if not self.done:
            yield self
        if self.error is not None:
            raise self.error
        return self.value


class Task:
    """A coroutine of a process, resumed by the replies it waits for."""

    def __init__(
        self,
        process: Process,
        work: Coroutine[Any, Any, object],
        ended: Callable[[CleancutError | None], None],
    ) -> None:
        self.process, self._work, self._ended = process, work, ended
        self.closed = False

    def resume(self) -> None:
        if self.closed:
            return
        error: CleancutError | None = None
        try:
            self._work.send(None).waiter = self
        except StopIteration:
            pass
        except CleancutError as raised:
            error = raised
        else:
            return
        self.closed = True
        self.process.forget(self)
        self._ended(error)

    def close(self) -> None:
        """Ends it where it stands."""
        if not self.closed:
            self.closed = True
            self.process.forget(self)
            self._work.close()


class Scope:
    """Tasks that end together: the first error ends them all and is what `over` raises."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._tasks: set[Task] = set()
        self.over = Reply()

    def spawn(self, work: Coroutine[Any, Any, object]) -> Task:
        def ended(error: CleancutError | None) -> None:
            self._tasks.discard(task)
            if error is not None:
                self.close()
                self.over.answer(error=error)

        task = self._process.spawn(work, ended)
        self._tasks.add(task)
        return task

    def close(self) -> None:
        for task in tuple(self._tasks):
            task.close()
        self._tasks.clear()


def crash(error: CleancutError | None) -> None:
    """A program ends only by being killed: anything else is a bug of it."""
    raise AssertionError(f"a program ended by itself: {error!r}") from error


class Mailbox:
    """What one task gives another, in order."""

    def __init__(self) -> None:
        self._waiting: list[Any] = []
        self._reader: Reply | None = None

    def put(self, item: Any) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.answer(item)
        else:
            self._waiting.append(item)

    async def get(self) -> Any:
        if self._waiting:
            return self._waiting.pop(0)
        self._reader = Reply()
        return await self._reader

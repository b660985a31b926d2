"""Doing several things at once, without leaving anything behind."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def run_all(calls: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """The results of all `calls`, in their order, at most `at_once` of them under way.

    The first failure cancels the others and is raised itself, not wrapped in a group.
    """
    gate = asyncio.Semaphore(at_once)

    async def run(call: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(call)) for call in calls]
    except BaseExceptionGroup as failures:
        raise first_of(failures) from failures
    return [task.result() for task in tasks]


async def run_in_order(
    calls: Sequence[Callable[[], Coroutine[Any, Any, T]]],
    at_once: int,
    take: Callable[[T], Awaitable[None]],
) -> None:
    """`take` gets the results of all `calls` in their order, one at a time. A call starts once the
    result of the one `at_once` before it is taken, so no more results than that wait.

    The first failure cancels the others and is raised itself, not wrapped in a group.
    """
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            for at in range(len(calls)):
                while len(tasks) < min(len(calls), at + at_once):
                    tasks.append(group.create_task(calls[len(tasks)]()))
                await take(await tasks[at])
    except BaseExceptionGroup as failures:
        raise first_of(failures) from failures


async def run_in_thread(act: Callable[[], T]) -> T:
    """The result of `act`. It is waited for also by a caller that is cancelled: a thread cannot be,
    and may use what the caller closes afterwards."""
    running = asyncio.get_running_loop().run_in_executor(None, act)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def until_signal(work: Coroutine[None, None, None], end_s: float = 0.0) -> None:
    """Runs `work` to its end; SIGTERM or SIGINT cancel it, and it is waited for.

    `end_s`: so long after the signal the process ends, whatever a thread of it still waits for;
    0: it takes the time it takes.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    async def cancel_on_signal(task: asyncio.Task[None]) -> None:
        await stopped.wait()
        if end_s:
            end = threading.Timer(end_s, os._exit, (0,))
            end.daemon = True
            end.start()
        task.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            watcher = group.create_task(cancel_on_signal(task))
            task.add_done_callback(lambda _: watcher.cancel())
    except BaseExceptionGroup as failures:
        raise first_of(failures) from failures


def first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure in a group of groups."""
    first = failures.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first

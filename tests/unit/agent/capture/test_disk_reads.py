"""Reads of the disk, one batch ahead: in order, within a rate, and ended with their reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

from cleancut_agent.capture.disk_reads import DiskReads, lower_io_priority
from tests.support.jumping_loop import run_jumping


class Inline(Executor):
    """Runs at once: a jumping clock waits for no thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def numbers(
    count: int, seen: list[int], ends_with: Exception | None = None
) -> Iterator[tuple[list[int], int]]:
    for number in range(count):
        seen.append(number)
        yield [number], 100
    if ends_with is not None:
        raise ends_with


def test_batches_come_in_order_and_one_is_read_ahead() -> None:
    seen: list[int] = []

    async def run() -> list[int]:
        found = []
        async with aclosing(DiskReads().ahead(numbers(5, seen))) as batches:
            async for batch in batches:
                found += batch
                assert len(seen) <= len(found) + 1
        return found

    assert asyncio.run(run()) == list(range(5))


def test_an_error_comes_after_what_was_read_before_it() -> None:
    found: list[int] = []

    async def run() -> None:
        async with aclosing(DiskReads().ahead(numbers(3, [], OSError("gone")))) as batches:
            async for batch in batches:
                found.extend(batch)

    with pytest.raises(OSError, match="gone"):
        asyncio.run(run())
    assert found == [0, 1, 2]


def test_nothing_is_read_once_the_reader_has_left() -> None:
    seen: list[int] = []

    async def run() -> int:
        async with aclosing(DiskReads().ahead(numbers(50, seen))) as batches:
            async for _ in batches:
                break
        return len(seen)

    assert asyncio.run(run()) == len(seen) <= 2


def test_a_rate_is_kept_to() -> None:
    """Batches of 100 bytes at 10 bytes a second."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with aclosing(DiskReads(lambda: 10, Inline()).ahead(numbers(4, []))) as batches:
            async for _ in batches:
                pass
        return loop.time() - began_s

    assert run_jumping(run()) == pytest.approx(40, abs=1)


def test_a_thread_reads_at_idle_priority_and_others_do_not() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lower_io_priority).result()

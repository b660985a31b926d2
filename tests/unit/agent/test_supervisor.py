"""A sidecar outlives whatever is missing, and works once it is there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from cleancut.core.primitives.errors import Denied, Invalid
from cleancut.runtime.health import Health, health_app, serve
from cleancut.runtime.log import configure_logging
from cleancut_agent.supervisor import keep_running

SOON = (0.05, 0.1)
LOG = configure_logging("critical", "test")


async def answer(port: int, path: str) -> int:
    """The status; 0 if nobody listens."""
    url = f"http://127.0.0.1:{port}{path}"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status
    except aiohttp.ClientError:
        return 0


def test_it_is_alive_and_not_ready_until_the_work_can_be_done() -> None:
    tries, seen = 0, []

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Invalid("the CA is missing") if tries == 1 else PermissionError("spill")

    @asynccontextmanager
    async def idle() -> AsyncIterator[None]:
        app = health_app(Health(), lambda: (b"", "text/plain"))
        async with serve(app, "127.0.0.1", 0) as port:
            seen.append((await answer(port, "/livez"), await answer(port, "/readyz")))
            yield

    async def scenario() -> None:
        async with asyncio.timeout(20):
            await keep_running(work, idle, LOG, SOON)

    asyncio.run(scenario())
    assert (tries, seen) == (3, [(200, 503), (200, 503)])


def test_a_port_that_somebody_has_is_no_reason_to_end() -> None:
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Denied("not ours")

    @asynccontextmanager
    async def idle() -> AsyncIterator[None]:
        raise OSError("address in use")
        yield

    async def scenario() -> None:
        async with asyncio.timeout(20):
            await keep_running(work, idle, LOG, SOON)

    asyncio.run(scenario())
    assert tries == 3


@pytest.mark.parametrize("waiting", [OSError("in use"), Invalid("not an address")])
def test_a_fault_of_the_program_does_not_end_it(waiting: Exception) -> None:
    """Qdrant's pod would be out of service for it; an address that is wrong is no reason either."""
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise KeyError("ours")

    @asynccontextmanager
    async def idle() -> AsyncIterator[None]:
        raise waiting
        yield

    async def scenario() -> None:
        async with asyncio.timeout(20):
            await keep_running(work, idle, LOG, SOON)

    asyncio.run(scenario())
    assert tries == 3


_HANGS = """
import asyncio, time
from concurrent.futures import ThreadPoolExecutor
from cleancut.runtime.concurrency import until_signal

async def work():
    with ThreadPoolExecutor(1) as pool:
        called = asyncio.get_running_loop().run_in_executor(pool, time.sleep, 100)
        print("up", flush=True)
        await called

asyncio.run(until_signal(work(), {end_s}))
"""


@pytest.mark.slow
def test_a_call_that_hangs_keeps_no_pod_from_ending() -> None:
    """A thread cannot be cancelled; the process ends in time all the same, and in order."""
    program = [sys.executable, "-c", _HANGS.format(end_s=0.5)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, b"")

"""What a person at a terminal sees, and the demo that takes the program's place."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.core.protocol.states import State
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import Ending, MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, environment, run

pytestmark = pytest.mark.slow  # a process for each command line
PROGRAM = (sys.executable, "-c", "from cleancut.cli.main import main; main()")
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: our end, and the one for the program."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


async def read_until(descriptor: int, wanted: bytes) -> bytes:
    """What is written to the terminal, until `wanted` is among it."""
    loop = asyncio.get_running_loop()
    seen = b""
    while wanted not in seen:
        arrived = asyncio.Event()
        loop.add_reader(descriptor, arrived.set)
        try:
            async with asyncio.timeout(30):
                await arrived.wait()
        finally:
            loop.remove_reader(descriptor)
        seen += os.read(descriptor, 65536)
    return seen


def test_progress_is_live_on_a_terminal_and_stdout_stays_data() -> None:
    """State, share and bytes are drawn while the backup is held in its upload."""

    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(hold_at=State.UPLOADING))
        with terminal() as (ours, theirs):
            async with serve_api(operations.api, LOOPBACK) as address:
                process = await asyncio.create_subprocess_exec(
                    *(*PROGRAM, "--coordinator", address, "backup", "create", "-o", "json"),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=theirs,
                    env=environment(TERM="xterm", COLUMNS="120"),
                )
                drawn = await read_until(ours, b"1.0 KiB of about 4.0 KiB")
                await operations.cancel_backup("bk-1")
                out, _ = await process.communicate()
        for part in (b"#1: running (uploading)", b"uploading", b"25 %", b"read 1.0 KiB"):
            assert part in drawn
        assert out.startswith(b"{")
        assert b"\x1b" not in out
        assert process.returncode == Exit.FAILED

    run(scenario())


@pytest.mark.parametrize(("answer", "started"), [("n\n", 0), ("y\n", 1)])
def test_a_restore_shows_its_plan_and_asks(answer: str, started: int) -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        with terminal() as (ours, theirs):
            async with serve_api(operations.api, LOOPBACK) as address:
                await cleancut("--coordinator", address, "backup", "create", "--no-wait")
                os.write(ours, answer.encode())
                process = await asyncio.create_subprocess_exec(
                    *(*PROGRAM, "--coordinator", address, "restore", "start", "1", "--no-wait"),
                    stdin=theirs,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=environment(),
                )
                _, err = await process.communicate()
        assert b"PUBLISHED AS" in err
        assert b"restore backup 1" in err
        assert len(operations.restores) == started
        assert process.returncode == (Exit.OK if started else Exit.REFUSED)

    run(scenario())


def test_the_demo_gets_what_it_is_given_and_ends_as_it_does() -> None:
    async def scenario() -> None:
        asked = await cleancut("demo", "--qdrant", "standin", "--", "--help")
        assert asked.code == Exit.OK
        assert "--peers-after" in asked.out
        wrong = await cleancut("demo", "--no-such-flag")
        assert wrong.code == Exit.USAGE
        assert "--no-such-flag" in wrong.err

    run(scenario())

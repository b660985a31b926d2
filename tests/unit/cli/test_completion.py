"""TAB completes names from the coordinator or the store, soon, and is silent if it cannot."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import Epoch, parse_cluster
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import environment, run

LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)
TABS = """
import os, sys
from cleancut.cli.main import run
for line in sys.argv[1:]:
    words = f"cleancut {line}"
    os.environ.update(COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
    print(f"> {line}", flush=True)
    try:
        run([])
    except SystemExit:
        pass
"""


async def completions(*lines: str, **variables: str) -> dict[str, list[str]]:
    """What bash would complete at the end of each line; one process for all of them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TABS, *lines),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(_CLEANCUT_COMPLETE="bash_complete", **variables),
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert err == b""
    assert process.returncode == 0
    found: dict[str, list[str]] = {}
    for line in out.decode().splitlines():
        if line.startswith("> "):
            names = found[line[2:]] = []
        elif line:
            names.append(line.partition(",")[2])
    return found


@pytest.mark.slow
def test_names_come_from_the_coordinator() -> None:
    expected = {
        "backup show ": ["1", "latest"],
        "backup show la": ["latest"],
        "backup create -c bo": ["books"],
        "backup release 1 --reason ": ["TICKET-42"],
        "schedule trigger ": ["nightly"],
        "restore watch ": ["rs-1"],
        "cluster forget-peer ": ["7"],
        "reshard show x": [],
    }

    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            from cleancut.client.client import Client
            from cleancut.core.protocol.requests import BackupRequest

            async with Client([address]) as client:
                await client.create_backup(BackupRequest(), "r-1")
                await client.hold_backup("1", "TICKET-42")
                await client.start_restore("1", "r-2")
            found = await completions(*expected, CLEANCUT_COORDINATOR=address)
        assert found == expected

    run(scenario())


@pytest.mark.slow
def test_names_come_from_the_store_that_a_flag_names(tmp_path: Path) -> None:
    paths = Paths(parse_cluster("prod"))
    for number in (3, 12):
        file = tmp_path / paths.group(Epoch(number))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"{}")
    flag = f"--store file://{tmp_path}"

    async def scenario() -> None:
        found = await completions(
            f"{flag} backup show ",
            f"backup show {flag} 1",
            f"{flag} schedule trigger ",
            CLEANCUT_COORDINATOR="127.0.0.1:1",
        )
        assert [*found.values()] == [["12", "3", "latest"], ["12"], []]

    run(scenario())


@pytest.mark.slow
def test_tab_is_silent_if_nothing_answers() -> None:
    """A refused connection, one that is accepted and never answered, and a store that is not there;
    `completions` bounds the time."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            mute = f"127.0.0.1:{silent.getsockname()[1]}"
            found = await completions(
                "--coordinator 127.0.0.1:1 backup show ",
                f"--coordinator {mute} backup show ",
                "--store file:///nonexistent/store backup show ",
                "--store ftp://no backup show ",
                "--config /nonexistent/file backup show ",
            )
        assert [*found.values()] == [[]] * 5

    run(scenario())

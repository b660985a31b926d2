"""`-o ndjson` of what waits: a line for each change, and the operation's exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

from cleancut.api.values import OperationError
from cleancut.cli.exit_codes import Exit
from cleancut.core.protocol.states import State
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import BACKUP_PATH, Ending, MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, environment, run

pytestmark = pytest.mark.slow  # a process for each command line
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)
MAIN = "from cleancut.cli.main import main; main()"
ABORTED = Ending(
    state=State.ABORTED, error=OperationError(reason="TIMED_OUT", message="a drain took too long")
)


def test_each_change_is_a_line_and_the_last_one_is_the_result() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            ran = await cleancut("--coordinator", address, "backup", "create", "-o", "ndjson")
            again = await cleancut("--coordinator", address, "backup", "watch", "1", "-o", "ndjson")
        assert (ran.code, ran.err) == (Exit.OK, "")
        lines = [json.loads(line) for line in ran.out.splitlines()]
        assert [line["backup"]["state"] for line in lines] == list(BACKUP_PATH)
        assert {line["schema"] for line in lines} == {1}
        assert again.out.splitlines() == ran.out.splitlines()[-1:]

    run(scenario())


def test_the_exit_code_is_that_of_the_operation() -> None:
    async def scenario() -> None:
        operations = MemoryApi(ending=ABORTED)
        async with serve_api(operations.api, LOOPBACK) as address:
            ran = await cleancut("--coordinator", address, "backup", "create", "-o", "ndjson")
            once = await cleancut(
                *("--coordinator", address, "backup", "create", "--no-wait", "-o", "ndjson")
            )
        assert ran.code == Exit.FAILED
        assert json.loads(ran.out.splitlines()[-1])["backup"]["state"] == "ABORTED"
        assert json.loads(ran.err)["error"]["reason"] == "TIMED_OUT"
        assert (once.code, len(once.out.splitlines())) == (Exit.OK, 1)

    run(scenario())


def test_a_reader_that_goes_ends_the_wait_without_a_word() -> None:
    """The code says that the operation goes on, and the operation does."""

    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(hold_at=State.UPLOADING))
        async with serve_api(operations.api, LOOPBACK) as address:
            watch = f"{sys.executable} -c '{MAIN}' backup create -o ndjson | head -n 1"
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", f"set -o pipefail; {watch}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment(CLEANCUT_COORDINATOR=address, PYTHONPATH=os.pathsep.join(sys.path)),
            )
            async with asyncio.timeout(60):
                out, err = await process.communicate()
        assert (process.returncode, err) == (Exit.TIMED_OUT, b"")
        assert json.loads(out)["backup"]["id"] == "bk-1"
        assert operations.backups["bk-1"].error is None

    run(scenario())

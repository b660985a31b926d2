"""`cleancut backup create --dry-run` against a real loopback server: its answers and exits."""

from __future__ import annotations

import json

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run

pytestmark = pytest.mark.slow  # a process for each command line
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)
DRY = ("backup", "create", "--dry-run")


def test_a_dry_run_shows_each_cut_and_starts_nothing() -> None:
    async def scenario() -> None:
        operations = MemoryApi(leader="elsewhere:7400")  # a standby answers, too
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            shown = await cleancut(*DRY, "-c", "docs", **env)
            assert shown.code == Exit.OK, shown.err
            for words in (("docs", "0", "node-0", "1", "nothing"), ("docs", "1", "node-1", "full")):
                line = next(one for one in shown.out.splitlines() if words[2] in one)
                assert all(word in line for word in words), line
            assert "waits behind backup #1" in shown.out
            told = json.loads((await cleancut(*DRY, "--full", "-o", "json", **env)).out)
            assert told["schema"] == 1
            assert {cut["parent_epoch"] for cut in told["plan"]["shards"]} == {None}
            assert operations.backups == {}

    run(scenario())


def test_blockers_are_an_error_with_their_exit_code() -> None:
    """The plan is on stdout all the same."""

    async def scenario() -> None:
        operations = MemoryApi(blockers=("no agent is connected",))
        async with serve_api(operations.api, LOOPBACK) as address:
            answer = await cleancut(*DRY, "-o", "json", CLEANCUT_COORDINATOR=address)
            assert answer.code == Exit.REFUSED
            assert json.loads(answer.out)["plan"]["blockers"] == ["no agent is connected"]
            assert "no agent is connected" in json.loads(answer.err)["error"]["message"]

    run(scenario())

"""`cleancut undelete` against a real loopback server: what it asks for, and its exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cleancut.api.undeletes import UndeleteOptions
from cleancut.cli.exit_codes import Exit
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run

pytestmark = pytest.mark.slow  # a process for each command line
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)
ASKED = ("17", "-c", "docs", "--ids", "9,1", "--shard-key", "eu")
OPTIONS = UndeleteOptions(backup_id="17", collection="docs", ids=("1", "9"), shard_keys=("eu",))


def test_a_count_a_start_and_what_is_shown_of_it() -> None:
    """A plan counts by an operation that writes nothing; `absent` points are exit code 1."""

    async def scenario() -> None:
        operations = MemoryApi()
        undeletes = operations.undeletes
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            planned = await cleancut("undelete", "plan", *ASKED, **env)
            assert planned.code == Exit.OK, planned.err
            assert "only counted" in planned.out
            assert undeletes.asked.count_only
            undeletes.absent = 2
            done = await cleancut("undelete", "start", *ASKED, "--yes", "-o", "json", **env)
            assert done.code == Exit.FAILED, done.err
            assert undeletes.asked == OPTIONS
            told = json.loads(done.out)["undelete"]
            assert (told["state"], told["missing"], told["restored"]) == ("DONE", 12, 12)
            listed = await cleancut("undelete", "list", **env)
            assert told["id"] in listed.out
            shown = await cleancut("undelete", "show", told["id"], **env)
            assert "agent-0" in shown.out

    run(scenario())


def test_blockers_refuse_it() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        operations.undeletes.blockers = ("no agent has the engine",)
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            for verb in (("plan",), ("start", "--yes")):
                answer = await cleancut("undelete", *verb, *ASKED, **env)
                assert answer.code == Exit.REFUSED
                assert "no agent has the engine" in answer.err

    run(scenario())


def test_an_empty_filter_is_none_and_selects_nothing(tmp_path: Path) -> None:
    """Such as the file of a command that failed: without a filter all points are put back."""
    empty = tmp_path / "filter.json"
    empty.touch()

    async def scenario() -> None:
        plan = ("undelete", "plan", "17", "-c", "docs", "--filter", f"@{empty}")
        answer = await cleancut(*plan, CLEANCUT_COORDINATOR="127.0.0.1:1")
        assert answer.code == Exit.USAGE, answer.err
        assert "the filter is not JSON" in answer.err

    run(scenario())

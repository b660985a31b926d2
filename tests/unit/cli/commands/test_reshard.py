"""`cleancut reshard` against a real loopback server: what it asks for, and its exits."""

from __future__ import annotations

import json

import pytest

from cleancut.api.reshards import ReshardOptions
from cleancut.cli.exit_codes import Exit
from cleancut.core.protocol.states import State
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run

pytestmark = pytest.mark.slow  # a process for each command line
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


def test_a_plan_a_start_and_what_is_shown_of_it() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            asked = ("docs", "--shards", "3", "--shard-key", "eu")
            planned = await cleancut("reshard", "plan", *asked, **env)
            assert planned.code == Exit.OK, planned.err
            assert "2 -> 3" in planned.out
            assert operations.reshards.asked == ReshardOptions(
                collection="docs", shards=3, shard_key="eu"
            )
            done = await cleancut("reshard", "start", *asked, "--yes", "-o", "json", **env)
            assert done.code == Exit.OK, done.err
            told = json.loads(done.out)["reshard"]
            assert (told["state"], told["shards"], told["shard_key"]) == ("DONE", 3, "eu")
            listed = await cleancut("reshard", "list", **env)
            assert told["id"] in listed.out
            shown = await cleancut("reshard", "show", told["id"], **env)
            assert "300" in shown.out

    run(scenario())


def test_blockers_refuse_it() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        operations.reshards.blockers = ("a peer does not allow it",)
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            for verb in (("plan",), ("start", "--yes")):
                answer = await cleancut("reshard", *verb, "docs", "--shards", "3", **env)
                assert answer.code == Exit.REFUSED
                assert "does not allow it" in answer.err

    run(scenario())


@pytest.mark.parametrize(
    ("left", "word", "code"),
    [
        (State.CANCELED, "canceled", Exit.OK),
        (State.CLEANING, "running (cleaning)", Exit.TIMED_OUT),
    ],
)
def test_a_cancel_that_has_not_ended_says_so(left: State, word: str, code: Exit) -> None:
    """The step is finished first, so the command names what waits for its end."""

    async def scenario() -> None:
        operations = MemoryApi()
        operations.reshards.cancelled = left
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            begun = await cleancut(
                "reshard",
                "start",
                "docs",
                "--shards",
                "3",
                "--yes",
                "--no-wait",
                "-o",
                "name",
                **env,
            )
            name = begun.out.strip().rpartition("/")[2]
            ended = await cleancut("reshard", "cancel", name, "--yes", **env)
        assert ended.code == code, ended.err
        assert word in ended.out
        assert ("reshard watch" in ended.err) == (code is not Exit.OK)

    run(scenario())

"""`cleancut rebalance` against a real loopback server: what it asks for, and its exits."""

from __future__ import annotations

import pytest

from cleancut.api.rebalances import RebalanceOptions
from cleancut.cli.exit_codes import Exit
from cleancut.core.protocol.states import State
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run

pytestmark = pytest.mark.slow  # a process for each command line
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


def test_flags_reach_the_coordinator_and_surplus_replicas_stay_without_one() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            flags = ("--max-moves", "2", "--bandwidth-aware", "--drop-surplus")
            assert (await cleancut("rebalance", "plan", *flags, **env)).code == Exit.OK
            assert operations.rebalances.asked == RebalanceOptions(
                max_moves=2, bandwidth_aware=True, drop_surplus=True
            )
            assert (await cleancut("rebalance", "plan", **env)).code == Exit.OK
            assert operations.rebalances.asked == RebalanceOptions()

    run(scenario())


@pytest.mark.parametrize(
    ("left", "word", "code"),
    [
        (State.ABORTED, "aborted", Exit.OK),
        (State.ROLLING_BACK, "running (rolling back)", Exit.TIMED_OUT),
    ],
)
def test_a_cancel_that_has_not_ended_says_so(left: State, word: str, code: Exit) -> None:
    """It goes on, so the command names what waits for its end."""

    async def scenario() -> None:
        operations = MemoryApi()
        operations.rebalances.cancelled = left
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            begun = await cleancut("rebalance", "start", "--yes", "--no-wait", "-o", "name", **env)
            name = begun.out.strip().rpartition("/")[2]
            ended = await cleancut("rebalance", "cancel", name, "--yes", **env)
        assert ended.code == code, ended.err
        assert word in ended.out
        assert ("rebalance watch" in ended.err) == (code is not Exit.OK)

    run(scenario())

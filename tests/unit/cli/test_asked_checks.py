"""`backup verify` and `backup drill` of a coordinator: the leader does it."""

from __future__ import annotations

from cleancut.cli.exit_codes import Exit
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run

LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


def test_the_leader_verifies_and_drills() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            await cleancut("backup", "create", "--no-wait", **env)
            seen = await cleancut("backup", "verify", "1", "--quick", "-o", "json", **env)
            assert seen.code == Exit.OK
            assert seen.json()["verify"]["level"] == "presence"
            named = ("--collection", "books", "--shards", "1", "-o", "json")
            opened = await cleancut("backup", "drill", "1", *named, **env)
            assert [one["collection"] for one in opened.json()["drill"]["shards"]] == ["books"]
            wrong = await cleancut("backup", "drill", "1", "--scratch", "/", **env)
            assert "--store" in wrong.err
            missing = await cleancut("backup", "verify", "9", **env)
            assert missing.code == Exit.NOT_FOUND

    run(scenario())

"""Schedules that the command line defines and deletes."""

from __future__ import annotations

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run

pytestmark = pytest.mark.slow  # a process for each command line
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


def test_one_is_set_replaced_and_deleted() -> None:
    async def scenario() -> None:
        memory = MemoryApi()
        async with serve_api(memory.api, LOOPBACK) as address:
            at = ("--coordinator", address, "schedule")
            words = ("set", "weekly", "--cron", "0 3 * * SUN", "--jitter", "10m", "-o", "json")
            keep = ("--keep-last", "8", "--label", "team=search", "-c", "docs")
            made = await cleancut(*at, *words, *keep)
            again = await cleancut(*at, *words, "--attempts", "7")
            listed = await cleancut(*at, "list", "-o", "json")
            table = await cleancut(*at, "set", "weekly", "--cron", "@daily")
            shown = await cleancut(*at, "show", "weekly", "-o", "json")
            unasked = await cleancut(*at, "delete", "weekly")
            deleted = await cleancut(*at, "delete", "weekly", "--yes", "-o", "json")
            await cleancut(*at, *words)
            said = await cleancut(*at, "delete", "weekly", "--yes")
            gone = await cleancut(*at, "delete", "weekly", "--yes")
            unknown = await cleancut(*at, "show", "weekly")
        one = made.json()["schedule"]
        assert (one["origin"], one["jitter_s"], one["labels"]) == ("api", 600.0, {"team": "search"})
        assert (one["retention"]["keep_last"], one["collections"]) == (8, ["docs"])
        two = again.json()["schedule"]
        assert two["revision"] > one["revision"]
        assert (two["attempts"], two["retention"], two["collections"]) == (7, None, [])
        assert [each["name"] for each in listed.json()["schedules"]] == ["nightly", "weekly"]
        assert "defined by" in table.out
        assert shown.json()["schedule"]["cron"] == "@daily"
        assert unasked.code == Exit.USAGE
        assert deleted.json()["schedule"]["name"] == "weekly"
        assert said.out == "schedule weekly is deleted; its backups stay\n"
        assert gone.code == unknown.code == Exit.NOT_FOUND
        assert list(memory.schedules.all) == ["nightly"]

    run(scenario())


def test_one_of_the_file_is_refused() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            at = ("--coordinator", address, "schedule")
            put = await cleancut(*at, "set", "nightly", "--cron", "@daily")
            deleted = await cleancut(*at, "delete", "nightly", "--yes")
            wrong = await cleancut(*at, "set", "weekly")
        for ran in (put, deleted):
            assert (ran.code, "settings file" in ran.err) == (Exit.REFUSED, True)
        assert wrong.code == Exit.USAGE

    run(scenario())

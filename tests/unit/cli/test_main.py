"""The command line against a real loopback server: what is printed where, and how it exits."""

from __future__ import annotations

import pytest
import yaml
from msgspec.structs import replace

from cleancut.api.command_errors import read_command_error
from cleancut.api.protection import Protection
from cleancut.api.values import CommandError, OperationError
from cleancut.cli.exit_codes import Exit
from cleancut.core.protocol.states import State
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import Ending, MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, interrupted, run

pytestmark = pytest.mark.slow  # a process for each command line
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


@pytest.mark.parametrize(
    "verb", [["backup", "delete", "bk-1", "--yes"], ["backup", "create"], ["backup", "list"]]
)
def test_a_coordinator_of_another_cluster_is_refused(verb: list[str]) -> None:
    """Before anything is asked of it."""

    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            await cleancut("--coordinator", address, "backup", "create")
            known = dict(operations.backups)
            ran = await cleancut("--coordinator", address, "--cluster", "other", *verb)
        assert ran.code == Exit.USAGE
        assert "nothing was done" in ran.err
        assert operations.backups == known

    run(scenario())


def test_create_waits_and_prints_one_json_object_of_the_promised_shape() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            ran = await cleancut("--coordinator", address, "backup", "create", "-o", "json")
        assert ran.code == Exit.OK
        document = ran.json()
        assert document["schema"] == 1
        backup = document["backup"]
        assert backup["id"] == "bk-1"
        assert backup["epoch"] == 1
        assert backup["state"] == "COMMITTED"
        assert backup["cut_at"].endswith("Z")
        assert backup["collections"] == ["books"]
        stored = {"protected": 4096, "new": 1024, "stored": 512}
        assert backup["bytes"] == {**stored, "streamed": 0, "disk": 0}
        assert backup["error"] is None
        assert backup["evidence"] == {
            "consistency": "point-in-time",
            "fenced": False,
            "skew_ms": 41,
            "shards": [
                {
                    "collection": "books",
                    "shard_id": 0,
                    "peer_id": 7,
                    "ops_before": 5,
                    "ops_after": 6,
                    "unchanged": True,
                    "points": 3,
                    "drained": False,
                    "doubt": "",
                    "rolled_to": None,
                    "audit": None,
                    "agent": "",
                }
            ],
            "sample_queries": 0,
            "fence": None,
        }
        assert "#1: running (preparing)" in ran.err
        assert "#1: ok" in ran.err

    run(scenario())


def test_a_seed_is_done_when_it_is_seeded_and_is_no_backup_that_could_be_restored() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            server = ("--coordinator", address)
            ran = await cleancut(*server, "-o", "json", "backup", "seed", "--streams", "1")
            listed = await cleancut(*server, "backup", "list")
        assert ran.code == Exit.OK
        seed = ran.json()["backup"]
        assert (seed["state"], seed["evidence"]) == ("SEEDED", None)
        assert seed["seed"] == {"streams": 1, "shards": 2, "read": 4096}
        stored = {"protected": 0, "new": 1024, "stored": 512}
        assert seed["bytes"] == {**stored, "streamed": 0, "disk": 0}
        assert "#1: ok" in ran.err
        cells = next(line for line in listed.out.splitlines() if line.startswith("1 "))
        assert cells.split()[:2] == ["1", "ok"]
        assert cells.count(" -  ") >= 3, "neither size nor what was added, nor consistency"

    run(scenario())


def test_a_restore_prints_its_collections_and_unknown_counts_as_null() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            await cleancut("--coordinator", address, "backup", "create", "-q")
            ran = await cleancut(
                *("--coordinator", address, "-o", "json", "restore", "start", "1", "--yes")
            )
        assert ran.code == Exit.OK
        restore = ran.json()["restore"]
        assert (restore["id"], restore["backup_id"], restore["state"]) == ("rs-1", "bk-1", "DONE")
        assert restore["collections"] == [
            {
                "name": "books",
                "published_as": "",
                "shards": 2,
                "counts_equal": None,
                "replicas_active": False,
                "created_as": "",
                "aliases": [],
                "schema_equal": None,
                "keys_equal": None,
                "sample_queries_equal": None,
                "status": "",
            }
        ]
        assert restore["error"] is None

    run(scenario())


def test_the_other_formats_say_the_same() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            name = await cleancut("backup", "create", "-q", "-o", "name", **env)
            assert name.out == "bk-1\n"
            assert name.err == ""  # quiet
            as_json = await cleancut("backup", "show", "bk-1", "-o", "json", **env)
            as_yaml = await cleancut("backup", "show", "1", "-o", "yaml", **env)
            assert yaml.safe_load(as_yaml.out) == as_json.json()
            table = await cleancut("backup", "show", "bk-1", **env)
            assert "point-in-time" in table.out
            assert "books" in table.out
            assert "\x1b" not in table.out  # no colours into a pipe
            assert all(line == line.rstrip() for line in table.out.splitlines())
            names = await cleancut("backup", "list", "-o", "name", **env)
            assert names.out == "bk-1\n"

    run(scenario())


def test_lists_are_newest_first_and_say_when_they_are_cut_short() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            for _ in range(3):
                await cleancut("backup", "create", "--no-wait", **env)
            ran = await cleancut("backup", "list", "--limit", "2", "-o", "json", **env)
            assert [backup["epoch"] for backup in ran.json()["backups"]] == [3, 2]
            assert "--limit" in ran.err

    run(scenario())


def test_a_request_id_makes_a_repeat_harmless() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            words = ("--coordinator", address, "backup", "create", "--no-wait", "-o", "name")
            first = await cleancut(*words, "--request-id", "same")
            second = await cleancut(*words, "--request-id", "same")
            third = await cleancut(*words)
        assert (first.out, second.out, third.out) == ("bk-1\n", "bk-1\n", "bk-2\n")

    run(scenario())


@pytest.mark.parametrize(
    ("reason", "code"),
    [("REFUSED", Exit.REFUSED), ("TIMED_OUT", Exit.FAILED), ("CORRUPT", Exit.CORRUPT)],
)
def test_a_failed_backup_is_printed_whole_and_exits_by_its_reason(reason: str, code: Exit) -> None:
    error = OperationError(reason=reason, message="it failed so", hint="do that")

    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(State.ABORTED, error))
        async with serve_api(operations.api, LOOPBACK) as address:
            ran = await cleancut("--coordinator", address, "backup", "create", "-o", "json")
        assert ran.code == code
        assert ran.json()["backup"]["error"]["reason"] == reason
        assert read_command_error(ran.err) == CommandError(
            code, "backup #1: aborted: it failed so", "do that", reason
        )

    run(scenario())


def test_latest_is_what_is_under_way_to_those_who_wait_for_it_or_end_it() -> None:
    """Else the one before would be watched, which has long ended, and nothing be cancelled."""

    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            server = ("--coordinator", address, "backup")
            await cleancut(*server, "create")
            operations.ending = Ending(hold_at=State.UPLOADING)
            await cleancut(*server, "create", "--no-wait")
            watched = await cleancut(*server, "watch", "latest", "--timeout", "0.3")
            ended = await cleancut(*server, "cancel", "latest", "-o", "name")
            again = await cleancut(*server, "watch", "bk-1")
        assert "#2: running" in watched.err
        assert (ended.code, ended.out) == (Exit.OK, "bk-2\n")
        assert again.code == Exit.OK

    run(scenario())


def test_a_failure_is_shown_once() -> None:
    """The table and the error go to one terminal."""
    error = OperationError(reason="REFUSED", message="it failed so", hint="do that")

    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(State.ABORTED, error))
        async with serve_api(operations.api, LOOPBACK) as address:
            ran = await cleancut("--coordinator", address, "backup", "create")
            shown = await cleancut("--coordinator", address, "backup", "show", "1")
        assert "aborted" in ran.out
        assert "it failed so" not in ran.out
        assert ran.err.count("it failed so") == ran.err.count("do that") == 1
        assert "it failed so" in shown.out

    run(scenario())


def test_a_restore_that_needs_a_person_exits_5() -> None:
    error = OperationError(reason="FAILED", message="a peer is gone for good")

    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(State.NEEDS_OPERATOR, error))
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            await cleancut("backup", "create", "--no-wait", **env)
            ran = await cleancut("restore", "start", "1", "--yes", **env)
        assert ran.code == Exit.NEEDS_OPERATOR
        assert "a peer is gone" in ran.err

    run(scenario())


def test_ctrl_c_stops_waiting_and_says_that_the_backup_goes_on() -> None:
    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(hold_at=State.UPLOADING))
        async with serve_api(operations.api, LOOPBACK) as address:
            ran = await interrupted(
                *("--coordinator", address, "backup", "create"), after="uploading"
            )
            assert ran.code == Exit.INTERRUPTED
            assert "#1 continues" in ran.err
            assert "cleancut backup watch bk-1" in ran.err
            assert "Traceback" not in ran.err
            assert operations.backups["bk-1"].state is State.UPLOADING  # not cancelled

    run(scenario())


def test_a_wait_that_is_over_exits_6_and_the_operation_goes_on() -> None:
    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(hold_at=State.UPLOADING))
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            ran = await cleancut("backup", "create", "--timeout", "0.3", "-o", "json", **env)
            assert ran.code == Exit.TIMED_OUT
            assert ran.json()["backup"]["state"] == "UPLOADING"
            assert "watch bk-1" in ran.err
            gone = await cleancut("backup", "cancel", "bk-1", "-o", "json", **env)
            assert gone.json()["backup"]["state"] == "ABORTED"
            again = await cleancut("backup", "cancel", "bk-1", **env)
            assert again.code == Exit.REFUSED

    run(scenario())


def test_what_restores_or_hands_over_needs_yes_where_nobody_can_be_asked() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            await cleancut("backup", "create", "--no-wait", **env)
            for words in (("restore", "start", "1"), ("adopt",), ("restore", "cancel", "rs-1")):
                ran = await cleancut(*words, **env)
                assert ran.code == Exit.USAGE
                assert "--yes" in ran.err
            assert not operations.restores
            assert not operations.owned
            adopted = await cleancut("adopt", "--yes", "-o", "json", **env)
            assert adopted.json()["identity"]["equal"] is True

    run(scenario())


def test_a_plan_with_blockers_is_printed_and_exits_4() -> None:
    async def scenario() -> None:
        operations = MemoryApi(blockers=("collection books exists",))
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            await cleancut("backup", "create", "--no-wait", **env)
            ran = await cleancut("restore", "plan", "bk-1", "-o", "json", **env)
            assert ran.code == Exit.REFUSED
            assert ran.json()["plan"]["blockers"] == ["collection books exists"]
            refused = await cleancut("restore", "start", "1", "--yes", **env)
            assert refused.code == Exit.REFUSED
            assert refused.out == ""

    run(scenario())


def test_a_plan_tells_names_size_time_and_digest() -> None:
    """A new name is shown only where it is another than what clients use."""

    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            await cleancut("backup", "create", "--no-wait", **env)
            plain = await cleancut("restore", "plan", "1", **env)
            assert plain.code == Exit.OK
            for words in ("create", "2.0 KiB", "1 h 1 min", "d1", "node-0"):
                assert words in plain.out
            assert "books@ID" not in plain.out
            beside = await cleancut("restore", "plan", "1", "--beside", **env)
            assert "books@ID" in beside.out
            told = await cleancut("restore", "plan", "1", "-o", "json", **env)
            plan = told.json()["plan"]
            assert (plan["digest"], plan["size_bytes"], plan["estimated_s"]) == ("d1", 2048, 3661.5)

    run(scenario())


def test_the_cluster_is_shown() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            ran = await cleancut("status", "-o", "json", **env)
            status = ran.json()["status"]
            assert status["agents"][0]["peer_id"] == 7
            assert status["open_operation"] is None
            assert (status["protected"], status["next_operation"]["schedule"]) == (True, "nightly")
            table = await cleancut("status", **env)
            assert table.out.startswith("Protected: all 2 collections have a recent whole backup")
            assert "node-0" in table.out
            assert "PEER" not in table.out
            assert "PEER" in (await cleancut("status", "-o", "wide", **env)).out

    run(scenario())


def test_not_protected_is_an_exit_code_only_if_asked_for() -> None:
    """A status that could be read is a success, whatever it says."""

    async def scenario() -> None:
        bare = Protection(reason="no backup holds 'docs'", summary="NOT protected: no backup")
        async with serve_api(MemoryApi(protected=bare).api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            plain = await cleancut("status", **env)
            assert (plain.code, plain.out.splitlines()[0]) == (Exit.OK, "NOT protected: no backup")
            assert (await cleancut("status", "--exit-code", **env)).code == Exit.FAILED
            assert (await cleancut("status", "-o", "name", **env)).out == "not-protected\n"
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            assert (await cleancut("status", "--exit-code", **env)).code == Exit.OK

    run(scenario())


def test_several_addresses_are_tried_and_none_exits_7() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            ran = await cleancut(f"--coordinator=127.0.0.1:1,{address}", "status")
            assert ran.code == Exit.OK
        lost = await cleancut("--coordinator", "127.0.0.1:1", "status")
        assert lost.code == Exit.NO_LEADER
        assert lost.out == ""
        assert "reason: UNAVAILABLE" in lost.err
        assert "hint: " in lost.err

    run(scenario())


def test_what_does_not_exist_exits_3() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            ran = await cleancut("--coordinator", address, "backup", "show", "nope")
        assert ran.code == Exit.NOT_FOUND
        assert "reason: NOT_FOUND" in ran.err

    run(scenario())


def test_schedules_are_listed_triggered_and_paused() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            at = ("--coordinator", address, "schedule")
            listed = await cleancut(*at, "list", "-o", "json")
            triggered = await cleancut(*at, "trigger", "nightly", "-o", "json")
            unknown = await cleancut(*at, "trigger", "weekly")
            paused = await cleancut(*at, "pause", "nightly")
            resumed = await cleancut(*at, "resume", "nightly", "-o", "json")
            named = await cleancut(*at, "list", "-o", "name")
        (one,) = listed.json()["schedules"]
        assert (one["name"], one["cron"], one["paused"]) == ("nightly", "30 2 * * *", False)
        assert one["retention"]["keep_daily"] == 7
        assert triggered.json()["backup"]["state"] == "COMMITTED"
        assert unknown.code == Exit.NOT_FOUND
        assert "cleancut schedule list" in unknown.err
        assert "paused" in paused.out
        assert "keep-daily 7, max-age-days 30.5, min-count 1" in paused.out
        shown = resumed.json()["schedule"]
        assert (shown["paused"], shown["last_id"]) == (False, "bk-1")
        assert shown["last_state"] == "COMMITTED"
        assert named.out == "nightly\n"

    run(scenario())


def test_settings_of_agents_are_shown_and_changed_one_by_one() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            at = ("--coordinator", address, "cluster", "settings")
            shown = await cleancut(*at)
            changed = await cleancut(
                *at, "--upload-rate", "1.5MiB", "--read-rate", "1MiB", "-o", "json"
            )
            again = await cleancut(*at, "--upload-rate", "0", "--uploads", "8", "-o", "json")
            wrong = await cleancut(*at, "--upload-rate", "fast")
        assert "no limit" in shown.out
        assert changed.json()["settings"]["upload_bytes_per_s"] == 1536 * 1024
        assert again.json()["settings"] == {
            "upload_bytes_per_s": 0,
            "uploads": 8,
            "spill_bytes": 1 << 32,
            "spill_floor_bytes": 1 << 29,
            "read_bytes_per_s": 1 << 20,
        }
        assert wrong.code == Exit.USAGE

    run(scenario())


def test_a_deleted_backup_is_not_called_ok() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            await cleancut("--coordinator", address, "backup", "create")
            ran = await cleancut("--coordinator", address, "backup", "delete", "bk-1", "--yes")
        assert ran.code == Exit.OK
        assert ran.out == "backup #1 is deleted\n"
        assert "later gc run" in ran.err

    run(scenario())


def test_lists_are_chosen_and_sorted_and_hide_what_is_deleted() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            listed = ("--coordinator", address, "backup", "list", "-o", "name")
            for name in ("1", "2"):
                created = await cleancut("--coordinator", address, "backup", "create")
                assert created.code == Exit.OK, name
            first = operations.backups["bk-1"]
            operations.backups["bk-1"] = replace(first, state=State.DELETED, schedule="nightly")
            assert (await cleancut(*listed)).out == "bk-2\n"
            assert (await cleancut(*listed, "--all", "--schedule", "nightly")).out == "bk-1\n"
            assert (await cleancut(*listed, "--state", "deleting")).out == "bk-1\n"
            assert (await cleancut(*listed, "--all", "--sort", "number")).out == "bk-2\nbk-1\n"
            assert (await cleancut(*listed, "--collection", "none-has-it")).out == ""
            none = await cleancut(*listed[:-2], "--collection", "none-has-it")
            assert (none.code, none.out) == (Exit.OK, "")
            assert "none of the 2 backups fits" in none.err

    run(scenario())

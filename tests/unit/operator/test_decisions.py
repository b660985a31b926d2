"""What the operator does about one object, decided from the object alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replace_

from cleancut.api.backups import Backup, BackupBytes
from cleancut.api.restores import Restore, RestoredCollection
from cleancut.api.schedules import Schedule
from cleancut.api.values import OperationError
from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
)
from cleancut.core.protocol.states import State
from cleancut_operator.decisions import (
    CATALOG_S,
    POLL_S,
    REPEATABLE_S,
    SCHEDULE_S,
    Call,
    Step,
    answered,
    claimed,
    deleted,
    failed,
    given_up,
    held,
    must_define,
    next_call,
    scheduled,
)
from cleancut_operator.resources import FINALIZER, SCHEDULE_FINALIZER, Kind, Seen
from tests.support.memory_kube import merged, new_object

NOW_S = 1_800_000_000.0
MIB = 1 << 20


def after(seen: Seen, step: Step) -> Seen:
    """The object, once the step is written."""
    finalizers = seen.finalizers if step.finalizers is None else step.finalizers
    return replace(seen, status=merged(seen.status, step.status), finalizers=finalizers)


def backup(state: State, **more: Any) -> Backup:
    return Backup(id="b-0123456789abcdef", epoch=17, state=state, created_at="T1", **more)


def asked(spec: dict[str, Any] | None = None, kind: Kind = Kind.BACKUP) -> Seen:
    one = new_object(kind, spec or {})
    return after(one, claimed(one, NOW_S))


def started(state: State = State.UPLOADING, spec: dict[str, Any] | None = None) -> Seen:
    one = asked(spec)
    if spec:
        one = replace(one, finalizers=(FINALIZER,))
    return after(one, answered(one, backup(state), NOW_S))


def conditions(seen: Seen) -> dict[str, str]:
    return {one["type"]: one["status"] for one in seen.status["conditions"]}


def holding(seen: Seen) -> str:
    (name,) = (name for name, status in conditions(seen).items() if status == "True")
    return name


def test_a_backup_is_claimed_then_started_then_looked_at() -> None:
    """That it is asked for is in the status first, so that a restart asks for the same."""
    one = new_object(Kind.BACKUP, {})
    assert next_call(one, NOW_S) is Call.CLAIM
    step = claimed(one, NOW_S)
    assert (step.wait_s, step.told) == (0.0, None)
    one = after(one, step)
    assert one.status["requestedAt"] == "2027-01-15T08:00:00Z"
    assert (one.status["state"], holding(one)) == ("pending", "Progressing")
    assert next_call(one, NOW_S + 1) is Call.START
    step = answered(one, backup(State.PREPARING), NOW_S + 1)
    assert (step.wait_s, step.told and step.told.reason) == (POLL_S, "Started")
    one = after(one, step)
    assert (one.status["id"], one.status["number"]) == ("b-0123456789abcdef", 17)
    assert next_call(one, NOW_S + 1e9) is Call.LOOK


def test_a_look_that_finds_nothing_new_writes_nothing() -> None:
    one = started()
    assert answered(one, backup(State.UPLOADING), NOW_S + 60) == Step(wait_s=POLL_S)


def test_a_committed_backup_is_complete_and_looked_at_rarely() -> None:
    one = started()
    bytes_ = BackupBytes(protected=412 * MIB, new=7, stored=3)
    step = answered(one, backup(State.COMMITTED, bytes=bytes_, ended_at="T2"), NOW_S + 60)
    assert (step.wait_s, step.told and step.told.is_good) == (CATALOG_S, True)
    one = after(one, step)
    assert (one.status["state"], one.status["size"], holding(one)) == (
        "ok",
        "412.0 MiB",
        "Complete",
    )
    assert one.status["bytes"] == {"protected": 412 * MIB, "new": 7, "stored": 3}
    assert one.status["observedGeneration"] == 1
    assert next_call(one, NOW_S + 60) is Call.LOOK


@pytest.mark.parametrize(
    "error", [NotFound("there is no backup b-0123456789abcdef"), None], ids=["expired", "deleted"]
)
def test_a_backup_that_left_the_catalog_is_shown_as_deleted_and_never_looked_at_again(
    error: CleancutError | None,
) -> None:
    one = started(State.COMMITTED)
    if error is None:
        step = answered(one, backup(State.DELETED), NOW_S)
    else:
        step = failed(one, Call.LOOK, error, now_s=NOW_S, wait_s=2.0)
    one = after(one, step)
    assert (one.status["state"], holding(one), step.wait_s) == ("deleted", "Complete", None)
    assert next_call(one, NOW_S) is Call.NONE


def test_a_damaged_backup_is_failed_and_still_looked_at() -> None:
    """It may be repaired."""
    one = started(State.COMMITTED)
    one = after(one, answered(one, backup(State.DAMAGED, damage=("pack 3",)), NOW_S))
    assert (one.status["state"], holding(one)) == ("damaged", "Failed")
    assert next_call(one, NOW_S) is Call.LOOK


def test_an_aborted_backup_is_failed_with_its_reason_for_good() -> None:
    one = started()
    error = OperationError(reason="TIMED_OUT", message="node-1 did not cut", hint="see its log")
    step = answered(one, backup(State.ABORTED, error=error), NOW_S)
    assert step.told
    assert (step.told.is_good, step.told.message) == (False, "node-1 did not cut")
    one = after(one, step)
    assert (one.status["reason"], one.status["hint"]) == ("TIMED_OUT", "see its log")
    found = {one["type"]: one for one in one.status["conditions"]}["Failed"]
    assert (found["status"], found["reason"]) == ("True", "TimedOut")
    assert next_call(one, NOW_S) is Call.NONE


def test_the_time_of_a_condition_stays_while_it_does() -> None:
    def times(seen: Seen) -> list[str]:
        return [each["lastTransitionTime"] for each in seen.status["conditions"]]

    one = started(State.PREPARING)
    before = times(one)
    one = after(one, answered(one, backup(State.UPLOADING), NOW_S + 60))
    assert times(one) == before
    one = after(one, answered(one, backup(State.COMMITTED), NOW_S + 90))
    changed = [now != then for now, then in zip(times(one), before, strict=True)]
    assert changed == [True, True, False]


@pytest.mark.parametrize("error", [Invalid("no"), Refused("no"), NotFound("no")])
def test_a_start_that_is_refused_fails_for_good(error: CleancutError) -> None:
    one = asked()
    step = failed(one, Call.START, error, now_s=NOW_S, wait_s=2.0)
    one = after(one, step)
    assert (one.status["state"], holding(one), step.wait_s) == ("failed", "Failed", None)
    assert next_call(one, NOW_S) is Call.NONE


@pytest.mark.parametrize("error", [Unavailable("away"), Denied("who?")])
def test_a_start_that_is_not_answered_is_repeated(error: CleancutError) -> None:
    one = asked()
    step = failed(one, Call.START, error, now_s=NOW_S, wait_s=2.0)
    one = after(one, step)
    assert (holding(one), one.status["message"], step.wait_s) == ("Progressing", error.message, 2.0)
    assert next_call(one, NOW_S) is Call.START


def test_a_start_is_not_repeated_once_its_request_id_may_be_forgotten() -> None:
    one = asked()
    assert next_call(one, NOW_S + REPEATABLE_S - 1) is Call.START
    assert next_call(one, NOW_S + REPEATABLE_S) is Call.GIVE_UP
    one = after(one, given_up(one, NOW_S + REPEATABLE_S))
    assert (holding(one), one.status["reason"]) == ("Failed", "UNKNOWN")
    assert next_call(one, NOW_S + REPEATABLE_S) is Call.NONE


def test_coordinators_that_are_away_change_nothing_about_a_backup_that_there_is() -> None:
    one = started(State.COMMITTED)
    step = failed(one, Call.LOOK, Unavailable("away"), now_s=NOW_S, wait_s=8.0)
    assert step == Step(wait_s=8.0)


def test_an_object_that_retains_its_backup_has_no_finalizer_and_is_let_go() -> None:
    one = started(State.COMMITTED)
    assert one.finalizers == ()
    assert next_call(replace(one, is_leaving=True), NOW_S) is Call.NONE


def test_only_an_object_that_deletes_its_backup_has_the_finalizer() -> None:
    """Also when that changes; finalizers of others stay."""
    one = new_object(Kind.BACKUP, {"deletionPolicy": "Delete"})
    one = replace(one, finalizers=("example.com/other",))
    assert next_call(one, NOW_S) is Call.HOLD
    one = after(one, held(one, hold=True))
    assert one.finalizers == ("example.com/other", FINALIZER)
    assert next_call(one, NOW_S) is Call.CLAIM
    one = replace(one, spec={"deletionPolicy": "Retain"})
    assert next_call(one, NOW_S) is Call.LET_GO
    assert after(one, held(one, hold=False)).finalizers == ("example.com/other",)


DELETE = {"deletionPolicy": "Delete"}


@pytest.mark.parametrize(
    ("state", "call"),
    [
        (State.PENDING, Call.CANCEL),
        (State.UPLOADING, Call.CANCEL),
        (State.COMMITTING, Call.LOOK),
        (State.COMMITTED, Call.DELETE),
        (State.DAMAGED, Call.DELETE),
        (State.ABORTED, Call.LET_GO),
        (State.DELETED, Call.LET_GO),
    ],
)
def test_a_backup_that_goes_with_its_object_is_canceled_or_deleted_first(
    state: State, call: Call
) -> None:
    one = replace(started(state, DELETE), is_leaving=True)
    assert next_call(one, NOW_S) is call


def test_an_object_goes_once_its_backup_is_deleted() -> None:
    one = replace(started(State.COMMITTED, DELETE), is_leaving=True)
    step = failed(one, Call.DELETE, Refused("held by audit"), now_s=NOW_S, wait_s=4.0)
    one = after(one, step)
    assert (holding(one), one.status["message"]) == ("Progressing", "held by audit")
    assert (next_call(one, NOW_S), step.wait_s) == (Call.DELETE, 4.0)
    step = deleted(one, NOW_S)
    one = after(one, step)
    assert (next_call(one, NOW_S), step.wait_s) == (Call.LET_GO, 0.0)


def test_an_object_whose_start_was_not_answered_learns_what_it_started_before_it_goes() -> None:
    one = replace(asked(DELETE), finalizers=(FINALIZER,), is_leaving=True)
    assert next_call(one, NOW_S) is Call.START
    never_asked = replace(one, status={})
    assert next_call(never_asked, NOW_S) is Call.LET_GO


def test_a_restore_is_mirrored_and_settled_when_it_is_done() -> None:
    one = asked({"backup": "17", "confirm": "17"}, Kind.RESTORE)
    collections = (RestoredCollection(name="docs", published_as="docs", shards=2),)
    restore = Restore(id="r-1", backup_epoch=17, state=State.RECOVERING, collections=collections)
    one = after(one, answered(one, restore, NOW_S))
    assert (one.status["state"], one.status["phase"]) == ("running", "RECOVERING")
    step = answered(one, Restore(id="r-1", backup_epoch=17, state=State.DONE), NOW_S)
    one = after(one, step)
    assert (one.status["state"], holding(one), step.wait_s) == ("ok", "Complete", None)
    assert next_call(one, NOW_S) is Call.NONE
    assert next_call(replace(one, is_leaving=True), NOW_S) is Call.NONE


def test_a_schedule_is_ready_while_it_is_configured() -> None:
    one = new_object(Kind.SCHEDULE, {"suspend": True})
    assert next_call(one, NOW_S) is Call.LOOK
    schedule = Schedule(name="one", cron="30 2 * * *", paused=True, last_state=State.COMMITTED)
    step = scheduled(one, schedule, NOW_S)
    one = after(one, step)
    assert (one.status["paused"], one.status["lastState"]) == (True, "ok")
    assert (conditions(one), step.told, step.wait_s) == ({"Ready": "True"}, None, SCHEDULE_S)
    assert scheduled(one, schedule, NOW_S + 60) == Step(wait_s=SCHEDULE_S)
    error = NotFound("there is no schedule 'one'")
    step = failed(one, Call.LOOK, error, now_s=NOW_S, wait_s=2.0)
    one = after(one, step)
    assert (conditions(one), step.wait_s) == ({"Ready": "False"}, SCHEDULE_S)
    assert next_call(replace(one, is_leaving=True), NOW_S) is Call.NONE


MINE = Schedule(name="one", cron="@daily", owner="CleancutSchedule qdrant/one", revision=7)


@pytest.mark.parametrize(
    ("there", "reason", "is_told"),
    [
        (None, "", True),
        (replace_(MINE, origin="api"), "Waiting", False),
        (replace_(MINE, origin="api", revision=8), "Waiting", True),
        (replace_(MINE, origin="api", owner="CleancutSchedule b/one"), "DefinedElsewhere", False),
        (replace_(MINE, origin="api", owner=""), "DefinedElsewhere", False),
        (replace_(MINE, origin="file", owner="", revision=0), "DefinedInFile", False),
    ],
)
def test_an_object_defines_its_schedule_and_leaves_another_s_alone(
    there: Schedule | None, reason: str, is_told: bool
) -> None:
    one = new_object(Kind.SCHEDULE, {"cron": "@daily"})
    assert must_define(one, None)
    one = after(one, scheduled(one, replace_(MINE, origin="api"), NOW_S))
    assert must_define(one, there) is is_told
    if there is not None:
        (ready,) = after(one, scheduled(one, there, NOW_S)).status["conditions"]
        assert (ready["reason"], ready["status"]) == (reason, str(reason == "Waiting"))
    assert must_define(replace(one, generation=2), replace_(MINE, origin="api"))
    error = Unavailable("no coordinator answers")
    one = after(one, failed(one, Call.LOOK, error, now_s=NOW_S, wait_s=2.0))
    assert must_define(one, replace_(MINE, origin="api"))  # it may not have arrived


def test_a_schedule_goes_with_its_object_unless_that_says_otherwise() -> None:
    for spec, goes in (
        ({}, False),
        ({"cron": "@daily"}, True),
        ({"cron": "@daily", "deletionPolicy": "Retain"}, False),
    ):
        one = new_object(Kind.SCHEDULE, spec)
        assert next_call(one, NOW_S) is (Call.HOLD if goes else Call.LOOK)
        held_one = after(one, held(one, hold=True))
        assert held_one.finalizers == (SCHEDULE_FINALIZER,)
        assert next_call(held_one, NOW_S) is (Call.LOOK if goes else Call.LET_GO)
        leaving = replace(held_one, is_leaving=True)
        assert next_call(leaving, NOW_S) is (Call.DELETE if goes else Call.LET_GO)


def test_a_restore_that_needs_an_operator_says_what_to_do() -> None:
    one = asked({}, Kind.RESTORE)
    error = OperationError(reason="UNAVAILABLE", message="peer 2 is away", hint="start it")
    restore = Restore(id="r-1", state=State.NEEDS_OPERATOR, error=error)
    one = after(one, answered(one, restore, NOW_S))
    assert (one.status["state"], one.status["hint"]) == ("needs operator", "start it")
    assert holding(one) == "Failed"

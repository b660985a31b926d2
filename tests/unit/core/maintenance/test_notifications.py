"""Events that follow from what etcd and the store hold, and the outbox of a target: each is noted
once, in order, and none is lost."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from msgspec.structs import replace

from cleancut.core.maintenance.notifications import (
    KEEP_S,
    MAX_PENDING,
    Notification,
    Outbox,
    Seen,
    SeenOperation,
    SeenSchedule,
    age_s,
    failed,
    observed,
    opened,
    refused,
    sent,
    without_old,
)
from cleancut.core.maintenance.notify_bodies import body_of, line_of
from cleancut.core.maintenance.notify_rules import (
    Event,
    NotifyRule,
    Template,
    check_notify,
    unknown_schedules,
)
from cleancut.core.maintenance.schedule import Do, ScheduleRule, ScheduleState
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.requests import BackupRequest, RestoreRequest
from cleancut.core.protocol.states import OperationKind, State

NOW_S = 1_800_000_000.0
HOOK = NotifyRule(url="https://hooks.example/x")
FULL = Failure(reason="UNAVAILABLE", message="the store is full")


def operation(
    number: int = 1,
    state: State = State.COMMITTED,
    kind: OperationKind = OperationKind.BACKUP,
    *,
    schedule: str = "",
    failure: Failure | None = None,
) -> Operation:
    request = (
        RestoreRequest(backup=Epoch(4))
        if kind is OperationKind.RESTORE
        else BackupRequest(schedule=schedule)
    )
    return Operation(
        id=OperationId(f"{kind[0]}-{number:04}"),
        kind=kind,
        state=state,
        request=encode(request).decode(),
        epoch=Epoch(number),
        created_at=format_time(NOW_S + number),
        ended_at=format_time(NOW_S + number + 10),
        failure=failure,
    )


def seen(
    *operations: Operation,
    first: int = 10,
    damaged: Mapping[Epoch, str] | None = None,
    **schedules: SeenSchedule,
) -> Seen:
    found = tuple(SeenOperation(first + n, one) for n, one in enumerate(operations))
    return Seen(NOW_S, found, schedules, damaged)


def events(outbox: Outbox) -> list[tuple[Event, str]]:
    return [(one.event, one.id) for one in outbox.pending]


def scheduled(do: Do = Do.BACKUP, **fields: str) -> SeenSchedule:
    return SeenSchedule(do, ScheduleState(timing="", seen="", **fields))  # type: ignore[arg-type]


def test_a_new_target_gets_nothing_of_what_was_before() -> None:
    before = seen(operation(1), nightly=scheduled(skipped=format_time(NOW_S), why="late"))
    outbox = opened(before)
    assert (outbox.pending, outbox.revision) == ((), 10)
    assert observed(outbox, before, HOOK) == outbox


@pytest.mark.parametrize(
    ("kind", "state", "event"),
    [
        (OperationKind.BACKUP, State.COMMITTED, Event.COMMITTED),
        (OperationKind.BACKUP, State.ABORTED, Event.ABORTED),
        (OperationKind.BACKUP, State.NEEDS_OPERATOR, Event.NEEDS_OPERATOR),
        (OperationKind.IMPORT, State.COMMITTED, Event.COMMITTED),
        (OperationKind.RESTORE, State.DONE, Event.RESTORED),
        (OperationKind.RESTORE, State.ROLLED_BACK, Event.ABORTED),
        (OperationKind.RESTORE, State.NEEDS_OPERATOR, Event.NEEDS_OPERATOR),
        (OperationKind.RESHARD, State.FAILED, Event.ABORTED),
        (OperationKind.REBALANCE, State.DONE, None),
        (OperationKind.SEED, State.SEEDED, None),
        (OperationKind.BACKUP, State.PENDING, None),
        (OperationKind.BACKUP, State.UPLOADING, None),
    ],
)
def test_the_end_of_an_operation_is_one_event(
    kind: OperationKind, state: State, event: Event | None
) -> None:
    """Attempts that are followed by another are none."""
    found = observed(Outbox(), seen(operation(7, state, kind)), HOOK)
    assert [one for one, _ in events(found)] == ([event] if event else [])


def test_an_event_says_what_it_is_of() -> None:
    found = observed(
        Outbox(), seen(operation(7, State.ABORTED, schedule="nightly", failure=FULL)), HOOK
    )
    assert found.pending == (
        Notification(
            id="aborted-b-0007",
            event=Event.ABORTED,
            at=format_time(NOW_S + 17),
            kind="backup",
            operation="b-0007",
            backup="b-0007",
            epoch=7,
            state="ABORTED",
            reason="UNAVAILABLE",
            message="the store is full",
            schedule="nightly",
        ),
    )


def test_a_restore_names_the_number_of_its_backup() -> None:
    found = observed(Outbox(), seen(operation(9, State.DONE, OperationKind.RESTORE)), HOOK)
    (one,) = found.pending
    assert (one.operation, one.backup, one.epoch) == ("r-0009", "", 4)


def test_a_committed_backup_whose_first_attempt_failed_has_no_reason() -> None:
    found = observed(Outbox(), seen(operation(7, failure=FULL)), HOOK)
    assert (found.pending[0].reason, found.pending[0].message) == ("", "")


def test_each_end_is_noted_once_and_in_order_whatever_its_clock_said() -> None:
    """Revisions order the writes of all leaders; an operation that is written again after its end
    is no new event."""
    early = replace(operation(2), ended_at=format_time(NOW_S - 3600))
    outbox = observed(Outbox(), seen(operation(1)), HOOK)
    outbox = observed(outbox, seen(operation(1), early), HOOK)
    assert [name for _, name in events(outbox)] == ["committed-b-0001", "committed-b-0002"]
    both = observed(Outbox(), seen(operation(1), early), HOOK)
    assert both.pending == outbox.pending
    again = observed(outbox, seen(operation(1), early, first=90), HOOK)
    assert again.pending == outbox.pending
    assert again.revision == 91


def test_a_schedule_that_was_skipped_is_missed_once_and_not_while_it_is_paused() -> None:
    at = format_time(NOW_S - 60)
    late = scheduled(skipped=at, why="it could not start within 60 s")
    outbox = observed(Outbox(), seen(nightly=late), HOOK)
    assert events(outbox) == [(Event.MISSED, f"missed-nightly-{at}")]
    assert "could not start" in outbox.pending[0].message
    assert observed(outbox, seen(nightly=late), HOOK).pending == outbox.pending
    paused = scheduled(skipped=format_time(NOW_S), why="it is paused")
    assert observed(outbox, seen(nightly=paused), HOOK).pending == outbox.pending


@pytest.mark.parametrize(
    ("do", "outcome", "event"),
    [
        (Do.COPY, "good", Event.COPIED),
        (Do.COPY, "the store is full", Event.ABORTED),
        (Do.DRILL, "recall is 0.4", Event.ABORTED),
        (Do.VERIFY, "good", None),
        (Do.COPY, "under way", None),
        (Do.BACKUP, "", None),
    ],
)
def test_a_scheduled_copy_that_ended(do: Do, outcome: str, event: Event | None) -> None:
    state = scheduled(do, due=format_time(NOW_S), outcome=outcome)
    found = observed(Outbox(), seen(second=state), HOOK)
    assert [one for one, _ in events(found)] == ([event] if event else [])
    assert observed(found, seen(second=state), HOOK).pending == found.pending


def test_damage_is_told_when_it_is_found_and_again_if_it_comes_back() -> None:
    known = {Epoch(3): "a check found it damaged"}
    outbox = opened(seen(damaged=known))
    assert observed(outbox, seen(damaged=known), HOOK).pending == ()
    both = known | {Epoch(5): "its manifest cannot be read"}
    outbox = observed(outbox, seen(damaged=both), HOOK)
    assert [(one.event, one.epoch) for one in outbox.pending] == [(Event.DAMAGED, 5)]
    assert observed(outbox, seen(), HOOK) == outbox  # the store did not answer
    outbox = observed(outbox, seen(damaged=known), HOOK)
    later = seen(damaged=both)._replace(now_s=NOW_S + 60)
    assert [one.epoch for one in observed(outbox, later, HOOK).pending] == [5, 5]


def test_a_ping_gets_the_start_of_a_backup_once_and_at_its_own_url() -> None:
    ping = NotifyRule(url="https://hc/x", template=Template.PING, start="/start", fail="https://f")
    running = operation(1, State.UPLOADING, schedule="nightly")
    outbox = observed(opened(seen()), seen(running), ping)
    assert [one for one, _ in events(outbox)] == [Event.STARTED]
    assert observed(outbox, seen(running), ping).pending == outbox.pending
    outbox = observed(outbox, seen(operation(1, schedule="nightly"), first=20), ping)
    assert [one for one, _ in events(outbox)] == [Event.STARTED, Event.COMMITTED]
    urls = [ping.url_of(event, ping.url) for event in (Event.STARTED, Event.COPIED, Event.MISSED)]
    assert urls == ["https://hc/x/start", "https://hc/x", "https://f"]


def test_a_target_gets_what_it_asked_for() -> None:
    quiet = NotifyRule(url="https://x", on=(Event.ABORTED,))
    nightly = NotifyRule(url="https://x", schedules=("nightly",))
    ping = NotifyRule(url="https://x", template=Template.PING)
    ends = seen(operation(1), operation(2, State.ABORTED, schedule="nightly"))
    assert [one for one, _ in events(observed(Outbox(), ends, quiet))] == [Event.ABORTED]
    assert [one for one, _ in events(observed(Outbox(), ends, nightly))] == [Event.ABORTED]
    assert [one for one, _ in events(observed(Outbox(), ends, ping))] == [Event.COMMITTED]


def test_an_outbox_is_bounded_in_number_and_in_time() -> None:
    many = [operation(number) for number in range(1, MAX_PENDING + 6)]
    outbox = observed(Outbox(), seen(*many), HOOK)
    assert (len(outbox.pending), outbox.dropped) == (MAX_PENDING, 5)
    assert outbox.pending[0].id == "committed-b-0006"
    end_s = NOW_S + 10 + MAX_PENDING + 5
    assert without_old(outbox, NOW_S) == outbox
    rest = without_old(outbox, end_s + KEEP_S)
    assert (len(rest.pending), rest.dropped) == (1, MAX_PENDING + 4)
    assert age_s(rest, end_s + 7) == pytest.approx(7)


def test_a_failure_keeps_the_event_and_a_success_ends_the_failing() -> None:
    outbox = observed(Outbox(), seen(operation(1), operation(2)), HOOK)
    down = failed(failed(outbox, "no answer", NOW_S), "answered 500", NOW_S + 60)
    assert (down.pending, down.failing_since) == (outbox.pending, format_time(NOW_S))
    assert down.failure == "answered 500"
    up = sent(down, "committed-b-0001", NOW_S + 90)
    assert [name for _, name in events(up)] == ["committed-b-0002"]
    assert (up.failing_since, up.failure, up.dropped) == ("", "", 0)
    gone = refused(up, "committed-b-0002", "answered 400", NOW_S + 91)
    assert (gone.pending, gone.dropped, gone.failure) == ((), 1, "answered 400")


@pytest.mark.parametrize(
    "rule",
    [
        NotifyRule(),
        NotifyRule(url="https://x", url_file="/x"),
        NotifyRule(url="https://x", start="/start"),
        NotifyRule(url="https://x", on=(Event.STARTED,)),
        NotifyRule(url="https://x", on=()),
    ],
)
def test_rules_that_mean_nothing_are_refused(rule: NotifyRule) -> None:
    with pytest.raises(Invalid, match=r"notify\.ops"):
        check_notify("ops", rule)


def test_a_schedule_that_is_not_in_the_file_is_named_since_a_call_may_define_it() -> None:
    notify = {"ops": NotifyRule(schedules=("nihgtly", "nightly"))}
    (told,) = unknown_schedules(notify, {"nightly": ScheduleRule(cron="@daily")})
    assert "'nihgtly': did you mean `nightly`?" in told


def test_bodies() -> None:
    one = Notification(
        id="aborted-b-1",
        event=Event.ABORTED,
        at=format_time(NOW_S),
        kind="backup",
        operation="b-1",
        backup="b-1",
        epoch=7,
        state="ABORTED",
        reason="INVALID",
        message="no <b>\nhere",
        schedule="nightly",
    )
    line = "cleancut prod: backup 7 (schedule nightly) failed: no <b> here [INVALID]"
    assert line_of("prod", one) == line
    data, content_type = body_of(Template.JSON, "prod", one)
    assert content_type == "application/json"
    assert msgspec.json.decode(data) == {
        "schema": 1,
        "id": "aborted-b-1",
        "event": "aborted",
        "cluster": "prod",
        "kind": "backup",
        "operation": "b-1",
        "backup": "b-1",
        "epoch": 7,
        "state": "ABORTED",
        "reason": "INVALID",
        "message": "no <b>\nhere",
        "schedule": "nightly",
        "at": "2027-01-15T08:00:00Z",
    }
    text = msgspec.json.decode(body_of(Template.SLACK, "prod", one)[0])
    assert text == {"text": line.replace("<b>", "&lt;b&gt;")}
    assert body_of(Template.PING, "prod", one) == (line.encode(), "text/plain; charset=utf-8")

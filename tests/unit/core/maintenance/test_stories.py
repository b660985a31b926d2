"""Stories: what is stored of an ended operation, once, and how long its record waits for that."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.api.from_story import backup_of, restore_of
from cleancut.core.format.story import parse_story_name
from cleancut.core.maintenance.stories import (
    AT_ONCE,
    IN_ETCD_S,
    KEPT_S,
    UNRECORDED_S,
    is_expired,
    may_leave_etcd,
    story_of,
    unrecorded,
)
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.ids import OperationId
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.states import OperationKind, State

BEGAN_S = 1_770_000_000.0
FAILED = Operation(
    id=OperationId("b-1"),
    kind=OperationKind.BACKUP,
    state=State.ABORTED,
    request='{"attempts":2,"schedule":"nightly"}',
    created_at=format_time(BEGAN_S),
    ended_at=format_time(BEGAN_S + 60),
    failure=Failure(reason="UNAVAILABLE", message="agent a1: gone"),
    asked_by="ci",
    attempts=2,
    nonce="x",
)


def test_what_has_ended_and_is_in_no_manifest_is_to_be_stored() -> None:
    committed = replace(FAILED, id=OperationId("b-2"), state=State.COMMITTED)
    running = replace(FAILED, id=OperationId("b-3"), state=State.PENDING, ended_at="")
    stored = replace(FAILED, id=OperationId("b-4"), recorded=True)
    earlier = replace(FAILED, id=OperationId("b-5"), ended_at=format_time(BEGAN_S + 1))
    found = unrecorded([FAILED, committed, running, stored, earlier])
    assert [one.id for one in found] == ["b-5", "b-1"]
    many = [replace(FAILED, id=OperationId(f"b-{number}")) for number in range(3 * AT_ONCE)]
    assert len(unrecorded(many)) == AT_ONCE


def test_the_story_is_the_same_whichever_leader_stores_it() -> None:
    later = replace(FAILED, nonce="y", recorded=True)
    assert encode(story_of(FAILED)) == encode(story_of(later))
    assert story_of(FAILED).asked_by == "ci"


def test_a_record_waits_for_its_story_but_not_for_ever() -> None:
    ended_s = BEGAN_S + 60
    recorded = replace(FAILED, recorded=True)
    assert not may_leave_etcd(recorded, ended_s + IN_ETCD_S - 1)
    assert may_leave_etcd(recorded, ended_s + IN_ETCD_S + 1)
    assert may_leave_etcd(replace(FAILED, state=State.COMMITTED), ended_s + IN_ETCD_S + 1)
    assert not may_leave_etcd(FAILED, ended_s + IN_ETCD_S + 1)
    assert may_leave_etcd(FAILED, ended_s + UNRECORDED_S + 1)
    assert not may_leave_etcd(replace(FAILED, ended_at=""), ended_s + UNRECORDED_S + 1)


def test_stories_expire_by_their_names() -> None:
    name = parse_story_name(story_of(FAILED).name)
    assert name is not None
    assert not is_expired(name, BEGAN_S + KEPT_S - 1, KEPT_S)
    assert is_expired(name, BEGAN_S + KEPT_S + 1, KEPT_S)


def test_a_failed_backup_is_shown_from_its_story() -> None:
    story = decode(type(story_of(FAILED)), encode(story_of(FAILED)), "the story")
    shown = backup_of(story)
    assert shown is not None
    assert (shown.state, shown.schedule, shown.attempts) == (State.ABORTED, "nightly", 2)
    assert shown.error is not None
    assert shown.error.message == "agent a1: gone"
    assert restore_of(story) is None

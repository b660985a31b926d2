"""What a restore says of itself at its end."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import Epoch, FencingToken, OperationId, PeerId, ShardId
from cleancut.core.protocol.commands import Run
from cleancut.core.protocol.documents import RestoredShard
from cleancut.core.protocol.etcd_records import Bounds, Ctl, EpochMember, Vote
from cleancut.core.protocol.events import Cancelled, Done, TakenOver
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.restore.phases import Create
from cleancut.core.restore.plan import make_plan
from cleancut.core.restore.report import ObservedCollection, draft_of, review
from cleancut.core.restore.restore import RestoreMachine
from tests.support.restore_groups import collection, group, info_of, target
from tests.unit.core.restore.world import A, B, World

LOOK = ObservedCollection(active=True, schema={}, places=())


def _found(
    number: int, peer: int, count: int, expected: int | None = 10, *, status: str = "green"
) -> RestoredShard:
    return RestoredShard(
        collection="tomes",
        shard_id=number,
        peer_id=PeerId(peer),
        count=count,
        expected=expected,
        status=status,
    )


WHOLE = (_found(0, 1, 10), _found(1, 2, 10))


def _report(*found: RestoredShard, look: ObservedCollection = LOOK, **entry: Any) -> Any:
    """`docs`, restored as `tomes`."""
    manifest = group(collection(**entry))
    request = RestoreRequest(backup=Epoch(1), renames=(("docs", "tomes"),))
    plan = make_plan(manifest, request, target())
    draft = draft_of(manifest, plan, Epoch(5), OperationId("op"), request=RestoreRequest(Epoch(1)))
    places = tuple((shard.shard_id, shard.peer_id) for shard in found)
    return review(draft, found, {"docs": replace(look, places=places)})


def test_it_speaks_the_groups_names() -> None:
    report = _report(*WHOLE)
    (told,) = report.collections
    assert (told.name, told.created_as, told.published_as) == ("docs", "tomes", "tomes")
    assert told.shards == 2
    assert {shard.collection for shard in report.shards} == {"docs"}


def test_it_names_the_settings_that_the_server_ignored() -> None:
    """What a server adds, and what only an update sets, is no difference."""
    asked = info_of(params={"payload": {"memory": "on_disk"}, "read_fan_out_factor": 2})
    took = info_of(new_section={"a": 1})["config"]
    assert _report(*WHOLE, info=asked).warnings == ()
    report = _report(*WHOLE, info=asked, look=replace(LOOK, config=took))
    assert report.warnings == ("this Qdrant did not take payload of 'tomes'",)
    same = replace(LOOK, config=asked["config"] | {"params": asked["config"]["params"] | {"x": 1}})
    assert _report(*WHOLE, info=asked, look=same).warnings == ()


def test_it_tells_whether_counts_are_equal() -> None:
    """True only if the group holds the counts and they are the same; None where it does not."""
    (told,) = _report(*WHOLE).collections
    assert told.counts_equal is True
    assert told.replicas_active
    report = _report(_found(0, 1, 10), _found(1, 2, 7, expected=None))
    assert report.collections[0].counts_equal is None


def test_it_compares_payload_indexes_and_shard_keys() -> None:
    schema = {"n": {"data_type": "integer", "points": 7}}
    indexed = info_of() | {"payload_schema": schema}
    keys = (("a", (ShardId(0),)), ("b", (ShardId(1),)))
    (told,) = _report(*WHOLE, info=indexed, shard_keys=keys).collections
    assert (told.schema_equal, told.keys_equal) == (False, False)
    there = {"n": {"data_type": "integer", "points": 0}}
    look = replace(LOOK, schema=there, shard_keys=keys)
    (told,) = _report(*WHOLE, look=look, info=indexed, shard_keys=keys).collections
    assert (told.schema_equal, told.keys_equal) == (True, True)


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        (("green", "green"), "green"),
        (("grey", "green"), "grey"),
        (("grey", "yellow"), "yellow"),
        (("yellow", "unknown"), "unknown"),
        (("unknown", "red"), "red"),
    ],
)
def test_the_worst_status_counts(statuses: tuple[str, str], worst: str) -> None:
    found = [_found(number, 1, 10, status=status) for number, status in enumerate(statuses)]
    assert _report(*found).collections[0].status == worst


def test_unequal_replicas_are_refused_even_without_counts_in_the_group() -> None:
    with pytest.raises(Refused, match="different numbers"):
        _report(_found(0, 1, 3, None), _found(0, 2, 4, None), _found(1, 1, 1, None))


def test_a_shard_that_nobody_verified_is_refused() -> None:
    with pytest.raises(NotFound, match=r"shard 1 of .* was not verified"):
        _report(_found(0, 1, 10))


def test_a_successor_knows_the_free_bytes_that_were_told() -> None:
    """They stand in the votes of PREPARE; who told none has an unknown number."""
    ctl = Ctl(kind=OperationKind.RESTORE, phase=Phase.CREATE, epoch=Epoch(1), draft="d")
    members = {name: EpochMember(session=FencingToken(1)) for name in (A, B)}
    vote = Vote(session=FencingToken(1), yes=True, view="v", free_bytes=77)
    votes = {("PREPARE", A): vote, ("PREPARE", B): replace(vote, free_bytes=-1)}
    machine = RestoreMachine(Bounds())
    machine.step(TakenOver(ctl, World().operation, members, votes), 0.0)
    taken = machine.step(Done(ReadMarks(Epoch(1)), StoreMarks(Epoch(1))), 0.0)
    assert taken == [Run(Create(Epoch(1), "d", ((A, 77), (B, -1))))]


def test_a_cancel_while_it_is_taken_over_waits_for_what_the_store_knows() -> None:
    """etcd went back to before the restore was published: it is not shown as cancelled."""
    ctl = Ctl(kind=OperationKind.RESTORE, phase=Phase.PREPARE, epoch=Epoch(1))
    members = {A: EpochMember(session=FencingToken(1))}
    machine = RestoreMachine(Bounds())
    machine.step(TakenOver(ctl, World().operation, members, {}), 0.0)
    assert machine.step(Cancelled(), 0.0) == []
    machine.step(Done(ReadMarks(Epoch(1)), StoreMarks(Epoch(1), published="digest")), 0.0)
    assert machine.operation is not None
    assert machine.operation.state is State.NEEDS_OPERATOR

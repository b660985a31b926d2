"""What is compared once more when the reshards of a restore are over."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.documents import RestoredShard
from cleancut.core.protocol.requests import RestoreRequest, ShardNumber
from cleancut.core.restore.plan import make_plan
from cleancut.core.restore.report import ObservedCollection, RestoreReport, draft_of, review
from cleancut.core.restore.resharded_report import report_resharded
from cleancut.core.restore.target import PromisedName
from tests.support.restore_groups import collection, group, target

ASKED = RestoreRequest(backup=Epoch(4), shards=(ShardNumber(shards=3),))
PLACES = tuple((ShardId(shard), PeerId(1)) for shard in range(3))
LOOK = ObservedCollection(active=True, schema={}, places=PLACES)


def _again(count: int, *, beside: bool = False) -> RestoreReport:
    """`docs` of two shards with 10 points each in two replicas has three shards and `count`."""
    manifest, request = group(collection()), replace(ASKED, beside=beside)
    draft = draft_of(
        manifest,
        make_plan(manifest, request, target(), "r-1"),
        Epoch(5),
        OperationId("r-1"),
        request=request,
    )
    name = draft.planned[0].created_as
    shards = tuple(
        RestoredShard(
            collection=name, shard_id=ShardId(one), peer_id=PeerId(at), count=10, expected=10
        )
        for one in range(2)
        for at in (1, 2)
    )
    places = tuple((one.shard_id, one.peer_id) for one in shards)
    verified = review(draft, shards, {"docs": replace(LOOK, places=places)})
    return report_resharded(
        replace(draft, epoch=Epoch(9)), verified, {"docs": LOOK}, {"docs": count}
    )


@pytest.mark.parametrize("beside", [False, True])
def test_equal_points_in_other_shards_are_equal(*, beside: bool) -> None:
    report = _again(20, beside=beside)
    (told,) = report.collections
    assert (report.epoch, report.warnings) == (Epoch(9), ())
    assert (told.shards, told.counts_equal, told.replicas_active) == (3, True, True)


def test_clients_may_have_written_to_what_has_its_own_name() -> None:
    report = _again(21)
    assert report.collections[0].counts_equal is None
    assert report.warnings == (
        "'docs' was verified with 20 points and holds 21 after its reshards: clients wrote to it"
        " meanwhile",
    )


@pytest.mark.parametrize("count", [19, 21])
def test_what_no_client_should_know_holds_what_was_verified(count: int) -> None:
    with pytest.raises(Refused, match=f"holds {count} points after its reshards"):
        _again(count, beside=True)


def test_a_name_that_another_restore_will_publish_blocks_a_plan() -> None:
    """Whichever came first would take it from the other."""
    promised = (PromisedName(name="docs", restore=OperationId("r-9")),)
    there = replace(target(), promised=promised)
    manifest = group(collection())
    blocked = make_plan(manifest, RestoreRequest(backup=Epoch(4), beside=True), there)
    assert any("restore r-9 publishes 'docs'" in one for one in blocked.blockers)
    others = RestoreRequest(backup=Epoch(4), renames=(("docs", "tomes"),))
    assert not make_plan(manifest, others, there).blockers

"""What a restore compares with the group, and what it makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.documents import Canary, RestoredShard
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.plan import make_plan
from cleancut.core.restore.report import (
    ObservedCollection,
    RestoreDraft,
    RestoreReport,
    check_report,
    draft_of,
    review,
)
from tests.support.restore_groups import collection, group, target

CANARIES = tuple(
    Canary(collection=name, vector="", query=1, ids=(), scores=()) for name in ("docs", "b")
)
REQUEST = RestoreRequest(backup=Epoch(4), collections=("docs",))

OTHER = {"city": {"data_type": "keyword", "points": 0}}


def draft(action: Any = "create") -> RestoreDraft:
    """Of one collection of a group of two."""
    manifest = replace(group(collection("docs"), collection("b")), canaries=CANARIES)
    plan = make_plan(manifest, REQUEST, target())
    planned = tuple(replace(one, action=action) for one in plan.collections)
    plan = replace(plan, collections=planned)
    return draft_of(manifest, plan, Epoch(5), OperationId("op"), request=RestoreRequest(Epoch(1)))


PLACES = tuple((ShardId(shard), PeerId(1)) for shard in (0, 1))


def report(
    of: RestoreDraft, schema: dict[str, Any], places: tuple[tuple[ShardId, PeerId], ...] = PLACES
) -> RestoreReport:
    found = tuple(
        RestoredShard(collection="docs", shard_id=shard, peer_id=PeerId(1), count=10, expected=10)
        for shard in (0, 1)
    )
    return review(
        of, found, {"docs": ObservedCollection(active=True, schema=schema, places=places)}
    )


def test_what_was_compared_has_to_be_equal() -> None:
    """Other payload indexes or shard keys fail a restore; what the group does not tell does not."""
    equal = report(draft(), {})
    (told,) = equal.collections
    assert (told.schema_equal, told.keys_equal, told.canaries_equal) == (True, None, None)
    check_report(equal)
    with pytest.raises(Corrupt, match=r"payload indexes of 'docs'.*'city'"):
        check_report(report(draft(), OTHER))
    with pytest.raises(Corrupt, match="shard keys of 'docs'"):
        check_report(replace(equal, collections=(replace(told, keys_equal=False),)))


@pytest.mark.parametrize(
    "places",
    [PLACES[:1], (*PLACES, (ShardId(0), PeerId(2))), (PLACES[0], (ShardId(1), PeerId(2)))],
)
def test_every_replica_has_to_be_verified(places: tuple[tuple[ShardId, PeerId], ...]) -> None:
    """One that was copied or moved while its shard was recovered is Active, and may be empty. In a
    collection that lives, shards may be moved."""
    with pytest.raises(Refused, match="'docs' were moved"):
        report(draft(), {}, places)
    report(draft("repair"), {}, places)


@pytest.mark.parametrize(
    ("action", "whole"), [("create", True), ("replace", True), ("repair", False)]
)
def test_only_whole_collections_are_compared(action: Any, whole: bool) -> None:
    """Of a collection that gets back only some of its shards, the rest has lived on."""
    one = draft(action)
    assert one.canaries == (CANARIES[:1] if whole else ())
    assert report(one, OTHER).collections[0].schema_equal is (False if whole else None)

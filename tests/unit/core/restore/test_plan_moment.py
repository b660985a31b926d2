"""Plans of restores to a moment: their names, sizes, warnings, and what they agree to."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.moment import Moment, MomentRequest, ShardMoment
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.phases import recover_bound_s
from cleancut.core.restore.plan import PlacementPlan, make_plan
from cleancut.core.restore.report import draft_of
from cleancut.core.restore.target import Rate
from tests.support.restore_groups import collection, group, target

ID = "r-0123456789abcdef"
SHARDS = tuple(
    ShardMoment(
        collection="docs",
        shard_id=ShardId(number),
        chain=f"c{number}",
        first=9,
        last=19,
        log_bytes=5_000_000,
        since_ms=1,
        until_ms=2,
    )
    for number in range(2)
)
MOMENT = Moment(asked=MomentRequest(at_ms=5_000), at_ms=4_000, instant=True, shards=SHARDS)


def plan(moment: Moment | None = MOMENT, operation: str = ID, **request: object) -> PlacementPlan:
    asked = RestoreRequest(backup=Epoch(4), target=moment, **request)  # type: ignore[arg-type]
    return make_plan(group(collection()), asked, target(rate=Rate(1e6, 1e6, 1e6, 1)), operation)


def test_it_goes_to_a_new_name_unless_one_is_named() -> None:
    (new,) = plan().collections
    assert (new.action, new.created_as, new.published_as) == ("beside", f"docs@{ID}", f"docs@{ID}")
    assert new.aliases == ()
    (named,) = plan(renames=(("docs", "docs"),)).collections
    assert (named.action, named.created_as) == ("create", "docs")
    (other,) = plan(renames=(("docs", "before"),)).collections
    assert other.created_as == "before"
    (beside,) = plan(beside=True).collections
    assert (beside.created_as, beside.aliases) == (f"docs@{ID}", ("docs",))


def test_the_log_counts_in_size_and_time() -> None:
    without, with_log = plan(None), plan()
    replicas = with_log.collections[0].replicas
    assert with_log.size_bytes == without.size_bytes + replicas * 10_000_000
    assert with_log.estimate is not None
    assert without.estimate is not None
    assert with_log.estimate.usual_s >= without.estimate.usual_s + 1.0
    assert with_log.collections[0].points is None
    assert MOMENT.entries == 22


def test_the_digest_is_of_the_moment_and_not_of_the_operation() -> None:
    assert plan().digest == plan(operation="").digest
    span = tuple(replace(shard, until_ms=9) for shard in SHARDS)
    assert plan(replace(MOMENT, shards=span)).digest == plan().digest
    later = (replace(SHARDS[0], last=20), SHARDS[1])
    assert plan(replace(MOMENT, shards=later)).digest != plan().digest
    assert plan(None).digest != plan().digest


def test_what_is_not_one_instant_says_so() -> None:
    assert not any("per shard" in warning for warning in plan().warnings)
    torn = replace(MOMENT, instant=False, skew_ms=120, warnings=("other is not archived",))
    warnings = plan(torn).warnings
    assert "other is not archived" in warnings
    assert any("skew 120 ms" in warning for warning in warnings)


def test_repairs_of_shards_are_of_the_backup_only() -> None:
    with pytest.raises(Invalid, match="as they are in the backup"):
        plan(collections=("docs",), only_shards=(ShardId(0),))


def test_nothing_that_was_counted_in_the_backup_is_expected_of_the_moment() -> None:
    manifest = group(collection())
    draft = draft_of(
        manifest, plan(), Epoch(9), manifest.operation, request=RestoreRequest(Epoch(7))
    )
    assert draft.moment == MOMENT
    assert all(shard.count is None for shard in draft.shards)
    assert not draft.canaries


def test_the_bound_of_a_recovery_counts_the_replay() -> None:
    task = ShardTask(
        collection="docs",
        shard_id=ShardId(0),
        peer_id=PeerId(1),
        size_bytes=1_000,
        replay=SHARDS[0],
    )
    assert recover_bound_s(1_000, task.replay) >= recover_bound_s(1_000) + 0.5
    small = replace(SHARDS[0], first=1, last=10_000_000, log_bytes=10_000_000)
    assert recover_bound_s(1_000, small) >= 2_000, "each operation takes its time"

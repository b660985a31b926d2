"""What a plan says of shard keys, replicas, disks, time, versions and peers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.format.manifest import CollectionEntry
from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.core.primitives.ids import (
    WITHOUT_CLUSTER,
    AgentName,
    Epoch,
    OperationId,
    PeerId,
    ShardId,
)
from cleancut.core.protocol.documents import AgentRestoreReport
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.blockers import cannot_be_rebuilt, fillers
from cleancut.core.restore.plan import PlacementPlan, check_agreed, check_plan, make_plan
from cleancut.core.restore.report import RestoreReport, draft_of, rate_of, slowest
from cleancut.core.restore.target import FREE_STEP, Rate, Target
from tests.support.restore_groups import MB, collection, group, info_of, shard, target

GB = 1000 * MB


def _plan(*entries: Any, on: Target | None = None, **request: Any) -> PlacementPlan:
    return make_plan(group(*entries), RestoreRequest(backup=Epoch(4), **request), on or target())


def _keyed(*keys: tuple[str | int, tuple[int, ...]]) -> CollectionEntry:
    ids = {number for _, numbers in keys for number in numbers}
    return replace(
        collection(info=info_of(1, params={"sharding_method": "custom"})),
        shard_keys=tuple((key, tuple(map(ShardId, numbers))) for key, numbers in keys),
        shard_ids=tuple(ShardId(number) for number in sorted(ids)),
    )


def _free(there: Target, *free: int | None) -> Target:
    pairs = zip(there.peers, free, strict=True)
    return replace(there, peers=tuple(replace(peer, free_bytes=size) for peer, size in pairs))


# Shard keys


@pytest.mark.parametrize(
    ("entry", "made"),
    [
        (_keyed(("a", (1, 2)), ("b", (3,))), 0),
        (_keyed(("a", (1,)), (7, (4, 5))), 2),
        (_keyed(("a", (3,)), ("b", (2,))), 1),
        (_keyed(), 0),
    ],
)
def test_keys_whose_ids_are_blocks_can_be_made_again(entry: CollectionEntry, made: int) -> None:
    """Gaps are filled by shards that are dropped again; they count for the disk only."""
    plan = check_plan(_plan(entry, on=target(peers=1)))
    assert fillers(entry) == made
    assert plan.collections[0].shards == len(entry.shard_ids)
    assert plan.peers[0].shards_max == len(entry.shard_ids) + made


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (_keyed(("a", (1, 3)), ("b", (2,))), "[1, 3] of key 'a' are not one block"),
        (_keyed(("a", (0, 1))), "not one block of free ids"),
        (_keyed(("a", (1, 2)), ("b", (2, 3))), "[2, 3] of key 'b'"),
        (_keyed(("a", ())), "[] of key 'a'"),
        (replace(_keyed(("a", (1,))), shard_ids=(ShardId(1), ShardId(2))), "[2] belong to no"),
        (collection(info=info_of(3)), "3 shards and the backup 2"),
        (replace(collection(), shard_ids=(ShardId(0), ShardId(2))), "not 0 to n-1"),
    ],
)
def test_what_qdrant_would_number_otherwise_is_refused(entry: CollectionEntry, words: str) -> None:
    """A point lives where its key's ids say: other ids lose it at the next upsert."""
    assert words in cannot_be_rebuilt(entry)
    assert _plan(entry).collections[0].action == "refuse"


def test_shards_of_keys_may_all_meet_on_one_peer() -> None:
    """They are made key by key, each anywhere."""
    entry = _keyed(("a", (1,)), ("b", (2,)), ("c", (3,)))
    assert [peer.shards_max for peer in _plan(entry, on=target(peers=3)).peers] == [3, 3, 3]


# Replicas, empty peers


def test_fewer_replicas_are_told_for_what_they_give_up() -> None:
    plan = _plan(collection(info=info_of(factor=3)), on=target(peers=3), replicas=2)
    (planned,) = plan.collections
    assert (planned.replicas, planned.factor, plan.size_bytes) == (2, 2, 4 * MB)
    assert any("loss of 1 peers, no longer of 2" in told for told in plan.warnings)
    more = _plan(on=target(peers=2), replicas=5)
    assert (more.collections[0].replicas, more.collections[0].factor) == (2, 5)
    assert any("replication factor 5 on 2 peers" in told for told in more.warnings)
    assert (_plan().collections[0].factor, _plan().size_bytes) == (0, 2 * MB)


def test_peers_that_stay_empty_are_told_with_what_can_be_done() -> None:
    def told(plan: PlacementPlan) -> bool:
        return any("`cleancut reshard start` makes more" in one for one in plan.warnings)

    assert told(_plan(on=target(peers=3)))
    assert not told(_plan(on=target(peers=2)))
    assert not told(_plan(on=target(peers=3), replicas=2))


# Disk and time


def test_a_peer_that_cannot_take_its_bound_is_a_warning() -> None:
    """Qdrant may place less there; only it knows."""
    shards = tuple(shard("docs", number, size=GB) for number in range(4))
    asked = RestoreRequest(backup=Epoch(4))
    manifest = group(collection(shards=4), shards=shards)
    plan = make_plan(manifest, asked, _free(target(), GB, 9 * GB))
    assert not plan.blockers
    assert [told for told in plan.warnings if "make room" in told and "(peer 1)" in told]
    assert not [told for told in plan.warnings if "make room" in told and "(peer 2)" in told]
    unknown = make_plan(manifest, asked, _free(target(), None, None))
    assert not any("make room" in told for told in unknown.warnings)


def test_what_fits_nowhere_is_an_blocker_only_if_every_disk_is_known() -> None:
    shards = (shard("docs", 0, size=8 * GB), shard("docs", 1, size=2 * GB))
    manifest, asked = group(shards=shards), RestoreRequest(backup=Epoch(4))
    for free, words in (
        ((4 * GB, 4 * GB), "10.00 GB are needed and 8.54 GB free on all peers"),
        ((6 * GB, 6 * GB), "a shard of 8.00 GB fits on no peer"),
        ((8 * GB, 3 * GB), ""),
        ((8 * GB - FREE_STEP, 2 * GB), ""),
        ((0, None), ""),
    ):
        plan = make_plan(manifest, asked, _free(target(), *free))
        assert bool(plan.blockers) == bool(words), (free, plan.blockers)
        assert all(words in told for told in plan.blockers)


def test_the_time_is_that_of_the_fullest_peer_at_the_measured_rate() -> None:
    """Two of the four shards may meet there; write-ahead logs are not read."""
    entry = collection(shards=4)
    assert _plan(entry).estimate is None
    assert _usual_s(_plan(entry, on=target(rate=_always(0.5 * MB)))) == 4.2


def test_the_range_is_from_even_peers_at_the_fastest_rate_to_the_fullest_at_the_slowest() -> None:
    """One restore alone says little: the next may take twice or half as long."""
    measured = Rate(usual=0.5 * MB, slowest=0.25 * MB, fastest=MB, restores=3)
    found = _plan(collection(shards=4), on=target(rate=measured)).estimate
    assert found is not None
    each = 4 * MB / len(target().peers)
    assert (found.least_s, found.most_s) == pytest.approx((each / MB + 0.2, 8.2))
    alone = _plan(collection(shards=4), on=target(rate=_always(0.5 * MB))).estimate
    assert alone is not None
    assert (alone.least_s, alone.most_s) == pytest.approx((each / MB + 0.2, 8.2))
    assert (alone.restores, alone.slowest_bytes_per_s) == (1, 0.5 * MB)


def test_the_time_to_create_collections_and_keys_counts() -> None:
    """Many small collections take their time, and none to read."""
    fast = target(rate=_always(1e15))
    many = _plan(*(collection(f"c{n}") for n in range(240)), on=fast)
    assert _usual_s(many) == pytest.approx(48)
    keys = tuple((f"k{n}", (n + 1,)) for n in range(100))
    assert _usual_s(_plan(_keyed(*keys), on=fast)) == pytest.approx(80.2)


def _always(rate: float) -> Rate:
    """Of a single restore."""
    return Rate(usual=rate, slowest=rate, fastest=rate, restores=1)


def _usual_s(plan: PlacementPlan) -> float:
    assert plan.estimate is not None
    return plan.estimate.usual_s


def test_the_rate_is_that_of_the_slowest_agents_of_earlier_restores() -> None:
    """Large restores weigh more; what an agent did not see itself is not told."""
    told = [
        AgentRestoreReport(
            epoch=Epoch(5), agent=AgentName("a"), shards=(), recovered_bytes=size, recover_s=seconds
        )
        for size, seconds in ((100, 1.0), (90, 3.0), (0, 0.0))
    ]
    assert slowest(told) == (90, 3.0)
    assert slowest([]) == (0, 0.0)
    report = RestoreReport(
        epoch=Epoch(5), operation=OperationId("r"), backup=Epoch(4), collections=(), shards=()
    )
    large = replace(report, recovered_bytes=910, recover_s=7.0)
    small = replace(report, recovered_bytes=90, recover_s=3.0)
    tiny = replace(report, recovered_bytes=9, recover_s=30.0)
    assert rate_of([large, small, report]) == Rate(100.0, slowest=100.0, fastest=130.0, restores=1)
    both = rate_of([large, replace(small, recovered_bytes=91, recover_s=1.0), tiny])
    assert both is not None
    assert (both.slowest, both.fastest, both.restores) == (pytest.approx(1010 / 38), 130.0, 2)
    assert rate_of([report]) is None
    assert rate_of([]) is None


# The digest


def test_the_digest_changes_with_what_the_restore_would_do_and_where() -> None:
    plan = _plan()
    assert _plan(on=_free(target(rate=_always(5.0)), 10**12, 10**12)).digest == plan.digest
    assert _plan(on=target(collections=("else",))).digest == plan.digest
    moved = target()
    others = [
        _plan(on=target(collections=("docs",))),
        _plan(on=target(peers=3)),
        _plan(on=replace(moved, peers=(moved.peers[0], replace(moved.peers[1], agent=None)))),
        _plan(on=target(version="1.18.4")),
        _plan(replicas=2),
        _plan(renames=(("docs", "new"),)),
        _plan(collection(aliases=("live",))),
    ]
    assert len({plan.digest, *(other.digest for other in others)}) == len(others) + 1


def test_only_the_plan_that_was_agreed_to_is_carried_out() -> None:
    plan = _plan()
    assert check_agreed(plan, "") is plan
    assert check_agreed(plan, plan.digest) is plan
    with pytest.raises(Refused, match="does not hold any more"):
        check_agreed(_plan(on=target(peers=3)), plan.digest)


# What is said


def test_a_peer_without_an_agent_is_told_with_the_command_that_removes_it() -> None:
    there = target(peers=2)
    lonely = replace(there, peers=(there.peers[0], replace(there.peers[1], agent=None)))
    assert "`cleancut cluster forget-peer 2`" in _plan(on=lonely).blockers[0]


def test_metadata_is_left_out_where_there_is_no_cluster_to_keep_it() -> None:
    backup = group()
    backup = replace(backup, source=replace(backup.source, metadata={"team/x": 1}))
    alone = target(peers=1)
    alone = replace(alone, peers=(replace(alone.peers[0], peer_id=WITHOUT_CLUSTER),))

    def told(on: Target) -> list[str]:
        warnings = make_plan(backup, RestoreRequest(backup=Epoch(4)), on).warnings
        return [one for one in warnings if "metadata (team/x) is left out" in one]

    assert len(told(alone)) == 1
    assert not told(target(peers=1))


def test_clients_are_warned_only_of_what_they_can_see() -> None:
    def visible(plan: PlacementPlan) -> bool:
        return any("visible under their own names" in told for told in plan.warnings)

    assert visible(_plan())
    assert not visible(_plan(beside=True))


@pytest.mark.parametrize(
    ("version", "there", "words"),
    [
        ("1.16.1", "1.17.1", "RocksDB"),
        ("1.19.0", "1.20.0", "newer than the newest tested version"),
    ],
)
def test_versions_that_need_care_are_told_once(version: str, there: str, words: str) -> None:
    plan = make_plan(group(version=version), RestoreRequest(backup=Epoch(4)), target(version=there))
    assert not plan.blockers
    assert len([told for told in plan.warnings if words in told]) == 1
    assert not any(words in told for told in _plan().warnings)


@pytest.mark.parametrize(
    "request_",
    [
        {"only_shards": (0,)},
        {"only_shards": (0,), "collections": ("a", "docs")},
        {"only_shards": (0,), "collections": ("docs",), "beside": True},
        {"only_shards": (0,), "collections": ("docs",), "replicas": 2},
        {"peer": PeerId(1)},
        {"beside": True, "replace": True},
    ],
)
def test_a_request_that_contradicts_itself_is_invalid(request_: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        _plan(**request_)


def test_a_warning_of_many_collections_is_one_line() -> None:
    entries = [collection(f"c{number:02}", shards=1) for number in range(50)]
    found = [one for one in _plan(*entries).warnings if "peers empty" in one]
    assert len(found) == 1
    assert found[0].startswith("c00, c01, c02, c03, c04 and 45 more: 1 shards leave")


# Quotas


@pytest.mark.parametrize(
    ("quotas", "version", "asked", "warned", "words"),
    [
        ({"enabled": True, "max_disk_usage_percent": 80}, "1.19.0", True, False, ""),
        ({"enabled": True}, "1.19.0", False, True, ""),
        ({"enabled": False}, "1.19.0", False, False, ""),
        (None, "1.19.0", False, False, ""),
        (None, "1.19.0", True, False, "the backup holds no quotas"),
        ({"enabled": True}, "1.18.3", True, False, "Qdrant 1.18.3 has no quotas"),
    ],
)
def test_quotas_are_set_again_where_that_is_asked_for(
    quotas: dict[str, Any] | None, version: str, asked: bool, warned: bool, words: str
) -> None:
    manifest, there = group(), target(version=version)
    manifest = replace(manifest, source=replace(manifest.source, quotas=quotas))
    request = RestoreRequest(backup=Epoch(4), quotas=asked)
    plan = make_plan(manifest, request, there)
    assert any("--quotas does that" in one for one in plan.warnings) is warned
    assert [one for one in plan.blockers if "quotas" in one] == [
        one for one in plan.blockers if words and words in one
    ]
    assert bool(words) is any("quotas" in one for one in plan.blockers)
    if not plan.blockers:
        draft = draft_of(manifest, plan, Epoch(5), OperationId("r-1"), request=request)
        assert draft.quotas == (quotas if asked else None)

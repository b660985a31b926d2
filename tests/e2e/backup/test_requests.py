"""What callers rely on when they repeat themselves, look again, or lose a coordinator."""

from __future__ import annotations

import uuid
from typing import Any

from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused


def test_a_repeated_request_is_the_same_backup(world: World) -> None:
    """The same request id and content give the same operation, and one group."""
    request = str(uuid.uuid4())
    first = world.back_up("--request-id", request)
    again = world.back_up("--request-id", request)
    assert (again["id"], again["epoch"]) == (first["id"], first["epoch"])
    assert world.groups().count(first["id"]) == 1


def test_a_request_id_with_other_content_is_refused(world: World) -> None:
    """Nothing is made for it: the first caller's backup is not another caller's."""
    request = str(uuid.uuid4())
    world.back_up("--request-id", request)
    before = world.groups()
    reused = ("--request-id", request, "--collection", "articles")
    refused(world.cleancut("backup", "create", *reused), 2, "request")
    assert world.groups() == before


def test_a_dry_run_says_what_the_backup_does_then_and_changes_nothing(world: World) -> None:
    """Each shard is cut by the agent that the plan names, the parent is the newest backup, and
    shards without a change cost nothing; the store and the next epoch are as without the plan."""
    before = world.back_up("--full")
    files = sorted(path for path in world.store.rglob("*") if path.is_file())
    plan = world.ok("plan", "backup", "create", "--dry-run")
    full = world.ok("plan", "backup", "create", "--dry-run", "--full", "-c", "articles")
    assert (plan["blockers"], plan["expected_bytes"]) == ([], 0)
    assert {cut["parent_epoch"] for cut in plan["shards"]} == {before["epoch"]}
    assert full["collections"] == ["articles"]
    assert full["expected_bytes"] == full["size_bytes"] > 0
    refused(world.cleancut("backup", "create", "--dry-run", "-c", "nope"), 3, "'nope'")
    assert sorted(path for path in world.store.rglob("*") if path.is_file()) == files
    made = world.back_up()
    assert made["epoch"] == before["epoch"] + 1
    assert plan["collections"] == made["collections"]
    assert [_cut_of(cut) for cut in plan["shards"]] == [
        _cut_of(shard) for shard in made["evidence"]["shards"]
    ]
    world.change(0.2)
    changed = world.ok("plan", "backup", "create", "--dry-run")
    assert changed["expected_bytes"] is None


def _cut_of(shard: dict[str, Any]) -> tuple[str, int, int, str]:
    return shard["collection"], shard["shard_id"], shard["peer_id"], shard["agent"]


def test_the_store_alone_tells_what_the_coordinator_tells(world: World) -> None:
    """Evidence, sizes and collections are equal, by id, by its first digits and by number."""
    made = world.back_up()
    for name in (made["id"], made["id"][:9], str(made["epoch"])):
        offline = world.offline("backup", "show", name).value("backup")
        assert offline["evidence"] == made["evidence"]
        assert offline["bytes"] == made["bytes"]
        assert offline["collections"] == made["collections"]
        assert world.ok("backup", "backup", "show", name)["evidence"] == made["evidence"]
    refused(world.cleancut("backup", "show", "b-0000"), 3, "b-0000")


def test_evidence_is_complete_and_quiet_when_nobody_writes(world: World) -> None:
    """Every shard is there with both numbers, its peer and an exact count."""
    evidence = world.back_up()["evidence"]
    assert evidence["consistency"] == "point-in-time"
    assert evidence["skew_ms"] > 0
    shards = [shard for shard in evidence["shards"] if shard["collection"] == "articles"]
    assert [shard["shard_id"] for shard in shards] == list(range(world.shape.shards))
    assert sum(shard["points"] for shard in shards) == world.shape.points
    for shard in shards:
        assert shard["unchanged"]
        assert shard["ops_after"] == shard["ops_before"] + 1
        assert shard["peer_id"] > 0


def test_an_unchanged_cluster_costs_nothing_new(world: World) -> None:
    """The second backup of unchanged shards makes no pack."""
    world.back_up()
    packs = sorted(path for path in (world.store / "demo" / "packs").rglob("*") if path.is_file())
    second = world.back_up()
    assert second["bytes"]["new"] == 0
    after = sorted(path for path in (world.store / "demo" / "packs").rglob("*") if path.is_file())
    assert after == packs


def test_a_standby_takes_over_and_ends_what_was_begun(launch: Launch) -> None:
    """The leader dies right after it has taken a request, which the standby forwarded: the same
    operation still ends in one group, and the standby answers for it."""
    world = launch(peers=2)
    world.fill()
    before = world.back_up()
    leader = world.run(world.setup.leader())
    standby = next(one for one in world.setup.coordinators if one.name != leader.name)
    begun = world.ok("backup", "--coordinator", standby.address, "backup", "create", "--no-wait")
    said = standby.child.log.read_text()
    assert f'"forwarded_to":"{leader.address}"' in said
    world.run(leader.child.kill())
    world.run(world.setup.wait_leader(other_than=leader.name))
    ended = world.ok("backup", "backup", "watch", begun["id"], "--timeout", "60s")
    assert ended["state"] == "COMMITTED"
    assert ended["epoch"] > before["epoch"]
    assert sorted(world.groups()) == sorted([before["id"], begun["id"]])

"""Backups that are deleted, by hand and by retention; what only they need goes, nothing else."""

from __future__ import annotations

import os

import pytest

from cleancut.core.maintenance.garbage import GarbageList, UnderusedPacks
from cleancut.core.primitives.codec import encode
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

EAGER = """
gc-every = 0
garbage-grace = 0

[retention]
keep-last = 2
"""


@pytest.fixture
def world(launch: Launch) -> World:
    """Two peers, and a coordinator that keeps two groups, and nothing a second time."""
    one = launch(peers=2, coordinators=0)
    config = one.setup.base_dir / "coordinator.toml"
    config.write_text(EAGER)

    async def start() -> None:
        await one.setup.start_coordinator(config=config)
        await one.setup.wait_agents()

    one.run(start())
    one.fill()
    return one


def sizes(world: World, kind: str) -> dict[str, int]:
    """All objects of a kind in the store."""
    root = world.store / "demo"
    return {
        str(path.relative_to(root)): path.stat().st_size
        for path in (root / kind).rglob("*")
        if path.is_file()
    }


def change(world: World) -> None:
    """Every point is written again."""

    async def body() -> None:
        async with world.setup.peers[0].client() as qdrant:
            for name in await qdrant.collections():
                await qdrant.delete_collection(name)

    world.run(body())
    world.fill()


def collect(world: World, *arguments: str) -> dict[str, object]:
    done: dict[str, object] = world.ok("gc", "backup", "gc", "--yes", *arguments)
    return done


def test_a_deleted_backup_frees_what_only_it_needs(world: World) -> None:
    first = world.back_up()
    change(world)
    second = world.back_up()
    before = world.answers()
    assert world.cleancut("backup", "delete", first["id"]).exit_code == 2
    world.ok("backup", "backup", "delete", str(first["epoch"]), "--yes")
    assert world.groups() == [second["id"]]
    refused(world.cleancut("backup", "delete", str(first["epoch"]), "--yes"), 3, "deleted")
    killed_writer_left = world.store / "demo" / ".tmp-left"
    killed_writer_left.write_bytes(b"half")
    os.utime(killed_writer_left, (0.0, 0.0))
    packs = sizes(world, "packs")
    garbage = collect(world)
    assert garbage["deleted_objects"] == 0
    assert not killed_writer_left.exists()
    assert sizes(world, "packs") == packs
    deleted = collect(world)
    gone = packs.keys() - sizes(world, "packs").keys()
    assert gone
    assert all(f"/{first['epoch']:012d}/" in f"/{path}" for path in gone)
    assert deleted["deleted_objects"] == garbage["marked_objects"]
    assert deleted["deleted_bytes"] == garbage["marked_bytes"]
    assert sizes(world, "gc") == {}
    assert collect(world)["marked_objects"] == 0
    world.offline("backup", "verify", second["id"]).check()
    world.lose_all(2)
    world.ok("restore", "restore", "start", second["id"], "--yes")
    assert world.answers() == before


def test_retention_keeps_what_it_says_and_the_next_backup_is_whole(world: World) -> None:
    """Blocks that are marked for deletion are stored again, though the shard still holds them. A
    backup with a life of its own stays until its end, and no longer."""
    kept = world.back_up("--keep", "30d", "--label", "ticket=OPS-1", "--label", "team=search")
    assert kept["labels"] == {"team": "search", "ticket": "OPS-1"}
    over = world.back_up("--keep", "0.001s")
    made = [world.back_up() for _ in range(3)]
    listed = ("backups", "backup", "list", "--label", "team", "--label", "ticket=OPS-1")
    assert [one["id"] for one in world.ok(*listed)] == [kept["id"]]
    shown = world.offline("backup", "show", kept["id"]).value("backup")
    assert shown["labels"] == kept["labels"]
    assert shown["keep_until"][:10] > kept["cut_at"][:10]
    expected = world.ok("gc", "backup", "gc", "--dry-run")
    why = {one["id"]: one["why"] for one in (*expected["expired"], *expected["kept"])}
    assert [one["id"] for one in expected["expired"]] == [over["id"], made[0]["id"]]
    assert why[over["id"]].startswith("its own life ended at ")
    assert why[made[0]["id"]] == "no rule keeps it"
    assert why[kept["id"]] == f"its own life, until {kept['keep_until']}"
    assert len(world.groups()) == 5
    assert [one["epoch"] for one in collect(world)["expired"]] == [over["epoch"], made[0]["epoch"]]
    assert world.groups() == [made[2]["id"], made[1]["id"], kept["id"]]
    collect(world)
    fourth = world.back_up()
    for one in (made[1], made[2], fourth):
        world.offline("backup", "verify", one["id"]).check()


def test_what_is_held_stays_until_it_is_released(world: World) -> None:
    """For each reason, or until its time is over, whatever retention says or somebody asks for."""
    first = world.back_up()
    held = world.ok("backup", "backup", "hold", str(first["epoch"]), "--reason", "audit")
    assert held["holds"] == ["audit"]
    world.ok("backup", "backup", "hold", first["id"], "--reason", "audit")
    world.ok("backup", "backup", "hold", first["id"], "--reason", "legal, §7", "--for", "90d")
    others = [world.back_up()["id"] for _ in range(2)]
    assert collect(world)["expired"] == []
    shown = world.offline("backup", "show", first["id"]).value("backup")
    assert shown["holds"] == ["audit", "legal, §7"]
    refused(world.cleancut("backup", "delete", first["id"], "--yes"), 4, "audit; legal, ")
    refused(world.cleancut("backup", "release", first["id"], "--reason", "a/b"), 3, "a/b")
    refused(world.cleancut("backup", "hold", first["id"], "--reason", "a\nb"), 2, "reason")
    world.ok("backup", "backup", "release", first["id"], "--reason", "audit")
    assert collect(world)["expired"] == []
    world.ok("backup", "backup", "release", first["id"], "--reason", "legal, §7")
    assert [one["id"] for one in collect(world)["expired"]] == [first["id"]]
    assert world.groups() == others[::-1]
    refused(world.cleancut("backup", "hold", first["id"], "--reason", "late"), 3, "deleted")


def test_packs_that_are_hardly_needed_die_out(world: World) -> None:
    """Of what a gc run finds so little is needed, the next backup stores the rest anew, unless the
    shard has not changed; then the old packs go with the groups that need them."""
    first = world.back_up()
    listed = tuple(sorted(path.removeprefix("packs/") for path in sizes(world, "packs")))
    (world.store / "demo" / "sparse").mkdir()
    (world.store / "demo" / "sparse" / "000000000001-x.json").write_bytes(
        encode(UnderusedPacks(packs=listed))
    )
    assert world.back_up()["bytes"]["new"] == 0
    world.change(0.1)
    third = world.back_up()
    world.ok("backup", "backup", "delete", first["id"], "--yes")
    world.ok("backup", "backup", "delete", str(first["epoch"] + 1), "--yes")
    collect(world)
    collect(world)
    assert not {f"packs/{pack}" for pack in listed} & sizes(world, "packs").keys()
    assert sizes(world, "sparse") == {}
    world.offline("backup", "verify", third["id"], "--read-data", "100").check()


def test_what_is_marked_is_not_named_again(world: World) -> None:
    """Nothing has changed, but what the parent's recipes name is on a list: it is stored anew."""
    first = world.back_up()
    listed = [
        (path, size) for kind in ("packs", "pages") for path, size in sizes(world, kind).items()
    ]
    (world.store / "demo" / "gc").mkdir()
    garbage = world.store / "demo" / "gc" / "000000000001-x.json"
    garbage.write_bytes(encode(GarbageList(objects=tuple(listed))))
    second = world.back_up()
    assert second["bytes"]["new"] > 0
    for path, _ in listed:
        (world.store / "demo" / path).unlink()
    world.offline("backup", "verify", second["id"]).check()
    assert world.offline("backup", "verify", first["id"]).exit_code == 9

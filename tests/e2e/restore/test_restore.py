"""What a restore refuses, and restores of parts; `topologies` has the whole ones."""

from __future__ import annotations

from typing import Any

from cleancut_devcluster.demo.comparison import compare
from tests.e2e.conftest import Launch
from tests.e2e.contents import ODD, Contents, add_odd, client_of, read_contents
from tests.e2e.world import World, refused


def verdict(world: World, kept: Any) -> list[str]:
    """What differs, in words; nothing may."""
    return [
        f"{one.what}: {one.kept} {one.restored}"
        for one in compare(kept, world.answers())
        if not one.equal
    ]


def took_all(done: Any) -> bool:
    """True if the server has every setting that the backup holds, as its own answers show."""
    return not any("did not take" in one for one in done["warnings"])


def test_restore_of_a_single_qdrant(launch: Launch) -> None:
    """Without cluster mode the same commands do the same."""
    world = launch(peers=1, coordinators=1, standalone=True)
    world.fill()
    made = world.back_up()
    kept = world.answers()
    world.lose_all(1)
    done = world.ok("restore", "restore", "start", made["id"], "--yes")
    assert took_all(done)
    assert verdict(world, kept) == []
    assert remembered(world) == [(done["id"], "DONE")]
    shown = world.offline("backup", "show", made["id"]).value("backup")
    (attempt,) = shown["attempt_history"]
    assert attempt["phases"][0]["phase"] == "PREPARE"
    assert shown["freed_bytes"] > 0


def remembered(world: World) -> list[tuple[str, str]]:
    """The restores in the store's history, and how they ended, once there is any."""
    for _ in range(100):
        found = world.offline("restore", "list").value("restores")
        if found:
            return [(one["id"], one["state"]) for one in found]
    return []


def test_restore_of_one_collection_refuses_what_exists(launch: Launch) -> None:
    """A name in use is refused before anything is touched; the free one alone comes back."""
    world = launch(peers=2, coordinators=1)
    world.fill()
    world.run(make_odd(world))
    made, odd = world.back_up(), world.run(odd_of(world))
    refused(world.cleancut("restore", "start", made["id"], "--yes"), 4, "articles", "exist")
    kept = world.answers()
    world.run(drop(world, ODD))
    chosen = ("--collection", ODD)
    done = world.ok("restore", "restore", "start", made["id"], "--yes", *chosen)
    assert took_all(done)
    assert world.run(odd_of(world)) == odd
    assert verdict(world, kept) == []


def test_restore_needs_a_yes_and_a_backup(launch: Launch) -> None:
    """Usage, an unknown id, and a coordinator that is not there have codes of their own."""
    world = launch(peers=1, coordinators=1)
    assert world.cleancut("restore", "start", "1").exit_code == 2
    refused(world.cleancut("restore", "start", "b-none", "--yes"), 3, "b-none")
    refused(world.cleancut("backup", "show", "b-none"), 3, "b-none")
    refused(world.cleancut("backup", "create"), 4, "--allow-empty")
    assert world.groups() == []
    refused(world.bare("--coordinator", "127.0.0.1:1", "-o", "json", "status"), 7, "127.0.0.1:1")


async def make_odd(world: World) -> None:
    async with client_of(world.setup.peers[0].url) as client:
        await add_odd(client, world.shape.replicas)


async def odd_of(world: World) -> Contents:
    async with client_of(world.setup.peers[0].url) as client:
        return await read_contents(client, ODD)


async def drop(world: World, name: str) -> None:
    async with client_of(world.setup.peers[0].url) as client:
        await client.delete_collection(name)

"""`cleancut reshard` on running peers: up and down under writes, with replicas."""

from __future__ import annotations

from tests.e2e.conftest import Launch
from tests.e2e.reshard.arena import DOCS, open_arena
from tests.e2e.world import refused
from tests.support.versioned_writers import versioned_writers


def test_up_and_down_with_replicas_while_a_client_writes(launch: Launch) -> None:
    """2 to 3 to 2: every replica of every shard holds exactly what was acknowledged."""
    arena = open_arena(launch, points=600, shards=2, replicas=2, coordinators=1)

    async def body() -> list[str]:
        async with versioned_writers(arena.url, DOCS, 1) as arena.writers:
            up = await arena.reshard(3)
            down = await arena.reshard(2)
        assert (up["state"], up["shards"], down["state"], down["shards"]) == ("DONE", 3, "DONE", 2)
        assert all(step["done"] and step["points"] for step in (*up["steps"], *down["steps"]))
        return await arena.wrong(2)

    assert arena.world.run(body()) == []
    assert sum(one.calls for one in arena.writers) > 0
    refused(
        arena.world.cleancut("reshard", "plan", DOCS, "--shards", "3", "--shard-key", "eu"),
        4,
        "has no shard keys",
    )

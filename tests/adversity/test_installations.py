"""Two installations of cleancut on one Qdrant cluster: the second one is refused."""

from __future__ import annotations

import pytest

from cleancut_coordinator.leader.installation import MARK
from cleancut_devcluster.demo.data import COLLECTION
from tests.e2e.conftest import Launch
from tests.e2e.world import refused

OTHER = {"id": "ab" * 16, "name": "staging"}


@pytest.mark.adversity("two installations on one Qdrant cluster")
def test_a_second_installation_touches_nothing(launch: Launch) -> None:
    """Neither its backups nor its restores begin, status and doctor say why, and `adopt` makes the
    cluster its own. What marks it is in no backup."""
    world = launch(peers=1, coordinators=1)
    world.fill()
    made = world.back_up()

    async def mark(value: object) -> object:
        async with world.setup.peers[0].client() as qdrant:
            before = await qdrant.cluster_metadata_value(MARK)
            await qdrant.put_cluster_metadata(MARK, value)
            return before

    own = world.run(mark(OTHER))
    assert isinstance(own, dict)
    for command in (
        ("backup", "create"),
        ("restore", "start", made["id"], "--rename", f"{COLLECTION}=more", "--yes"),
    ):
        refused(world.cleancut(*command), 4, "another installation", "'staging' (abababab)")
    found = world.cleancut("doctor")
    assert "another installation" in found.out
    warnings = world.ok("status", "status")["warnings"]
    assert any("another installation" in text for text in warnings), warnings
    assert world.cleancut("adopt", "--yes").exit_code == 0
    world.back_up()
    assert world.run(mark(own)) == own

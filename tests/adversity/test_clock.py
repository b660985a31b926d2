"""A coordinator whose clock is far ahead deletes no backup."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Launch
from tests.support.jumpy_coordinator import AHEAD

MADE = 4
AHEAD_S = 400 * 86400.0
EAGER = """
gc-every = 0
garbage-grace = 0

[retention]
keep-last = 1
max-age-days = 30
"""


@pytest.mark.adversity("the coordinator's clock is 400 days ahead")
def test_retention_stops_while_the_clock_is_wrong(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing expires, by hand neither; doctor names the clock. A coordinator with the right clock
    goes on as configured."""
    world = launch(peers=1, coordinators=1)
    world.fill()
    for _ in range(MADE):
        world.back_up()
    before = world.groups()
    config = world.setup.base_dir / "coordinator.toml"
    config.write_text(EAGER)

    async def replace(module: str) -> None:
        for one in world.setup.coordinators:
            await one.child.stop()
        await world.setup.start_coordinator(config=config, module=module)
        await world.setup.wait_agents()

    monkeypatch.setenv(AHEAD, f"{AHEAD_S}")
    world.run(replace("tests.support.jumpy_coordinator"))
    for confirmed in ((), ("--yes",)):
        answer = world.cleancut("backup", "gc", *confirmed)
        assert answer.exit_code != 0
        assert "clock" in answer.err or not confirmed
    found = json.loads(world.cleancut("doctor").out)["findings"]
    assert "gc_stopped" in {one["kind"] for one in found}
    assert world.groups() == before
    monkeypatch.delenv(AHEAD)
    world.run(replace("cleancut_coordinator.main"))
    world.ok("gc", "backup", "gc", "--yes")
    assert world.groups() == before[:1] or len(world.groups()) == 1

"""Why an agent cannot take part reaches the person: in the error, in the status, by the doctor."""

from __future__ import annotations

import json
from pathlib import Path

from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.setup import Secured
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

FOUND_S = 60.0


def test_a_wrong_key_of_qdrant_is_not_a_missing_agent(launch: Launch, tmp_path: Path) -> None:
    """The agent's file of the API key is replaced by a wrong one, and by the right one again."""
    file, kept = tmp_path / "agent-key", tmp_path / "coordinator-key"
    for path in (file, kept):
        path.write_text("the-right-key")
    flag = "--qdrant-api-key-file"
    world = launch(
        peers=1,
        coordinators=1,
        secured=Secured("the-right-key", agent=(flag, str(file)), coordinator=(flag, str(kept))),
    )
    file.write_text("a-wrong-key")
    world.run(wait_for(lambda: problem(world), "the problem", FOUND_S, 0.5))
    answer = world.cleancut("backup", "create", "--allow-empty", "--attempts", "1")
    refused(answer, 4, "API key", "[DENIED]")
    assert "no agent is connected" not in answer.err
    findings = json.loads(world.cleancut("doctor").out)["findings"]
    (found,) = (one for one in findings if one["kind"] == "agent_without_qdrant")
    assert "API key" in found["what"]
    file.write_text("the-right-key")
    world.run(world.setup.wait_agents())
    world.back_up("--allow-empty")


async def problem(world: World) -> str | None:
    """What the status says of the agent's key; None while all is well."""
    warnings = (await world.setup.status())["warnings"]
    return next((one for one in warnings if "API key" in one), None)

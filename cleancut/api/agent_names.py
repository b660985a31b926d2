"""Names of agents, added to what is shown of peers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from cleancut.api.rebalances import Rebalance, RebalancePlan
from cleancut.api.reshards import Reshard, ReshardPlan, ReshardStep
from cleancut.core.maintenance.stories import AGENTS

Moves = TypeVar("Moves", Rebalance, RebalancePlan)
Steps = TypeVar("Steps", Reshard, ReshardPlan)


def with_agents(shown: Moves, agents: Mapping[int, str]) -> Moves:
    """`agents`: by peer; an unknown one stays as it is."""
    steps = tuple(
        replace(
            step,
            source_agent=agents.get(step.source_peer_id, step.source_agent),
            target_agent=agents.get(step.target_peer_id or 0, step.target_agent),
        )
        for step in shown.steps
    )
    peers = tuple(replace(peer, agent=agents.get(peer.peer_id, peer.agent)) for peer in shown.peers)
    return replace(shown, steps=steps, peers=peers)


def with_step_agents(shown: Steps, agents: Mapping[int, str]) -> Steps:
    """As `with_agents`."""
    steps = tuple(replace(step, agents=_agents_of(step, agents)) for step in shown.steps)
    return replace(shown, steps=steps)


def _agents_of(step: ReshardStep, agents: Mapping[int, str]) -> tuple[str, ...]:
    known = dict(zip(step.peer_ids, step.agents, strict=False)) | dict(agents)
    return tuple(known.get(peer, "") for peer in step.peer_ids)


def agents_in(facts: Mapping[str, Any]) -> dict[int, str]:
    """By peer, as the story of an operation has them."""
    found = facts.get(AGENTS)
    named = found.items() if isinstance(found, dict) else ()
    return {int(peer): str(name) for peer, name in named if str(peer).isdecimal()}

"""Names of agents, added to what is shown of peers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from msgspec.structs import replace

from cleancut.api.rebalances import Rebalance, RebalancePlan
from cleancut.api.reshards import Reshard, ReshardPlan

Moves = TypeVar("Moves", Rebalance, RebalancePlan)
Steps = TypeVar("Steps", Reshard, ReshardPlan)


def with_agents(shown: Moves, agents: Mapping[int, str]) -> Moves:
    """`agents`: by peer; an unknown one stays ""."""
    steps = tuple(
        replace(
            step,
            source_agent=agents.get(step.source_peer_id, ""),
            target_agent=agents.get(step.target_peer_id or 0, ""),
        )
        for step in shown.steps
    )
    peers = tuple(replace(peer, agent=agents.get(peer.peer_id, "")) for peer in shown.peers)
    return replace(shown, steps=steps, peers=peers)


def with_step_agents(shown: Steps, agents: Mapping[int, str]) -> Steps:
    """As `with_agents`."""
    steps = tuple(
        replace(step, agents=tuple(agents.get(peer, "") for peer in step.peer_ids))
        for step in shown.steps
    )
    return replace(shown, steps=steps)

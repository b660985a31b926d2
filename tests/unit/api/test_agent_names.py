"""Peers are shown by the names of their agents, and by their ids where those are not known."""

from __future__ import annotations

from cleancut.api.agent_names import agents_in, with_agents, with_step_agents
from cleancut.api.rebalances import BalancedPeer, BalanceStep, RebalancePlan
from cleancut.api.reshards import ReshardPlan, ReshardStep
from cleancut.core.cluster.peer_names import peer_and_id

AGENTS = {7: "qdrant-0", 8: "qdrant-1"}


def test_steps_and_peers_get_the_names_and_keep_the_ids() -> None:
    step = BalanceStep(
        action="move", collection="docs", shard_id=0, source_peer_id=7, target_peer_id=9
    )
    drop = BalanceStep(action="drop", collection="docs", shard_id=0, source_peer_id=8)
    plan = RebalancePlan(
        steps=(step, drop), peers=(BalancedPeer(peer_id=7), BalancedPeer(peer_id=9))
    )
    shown = with_agents(plan, AGENTS)
    assert [(one.source_agent, one.target_agent) for one in shown.steps] == [
        ("qdrant-0", ""),
        ("qdrant-1", ""),
    ]
    assert [(one.peer_id, one.agent) for one in shown.peers] == [(7, "qdrant-0"), (9, "")]
    reshard = ReshardPlan(
        collection="docs", steps=(ReshardStep(shards=2, shard_id=1, peer_ids=(7, 9)),)
    )
    assert with_step_agents(reshard, AGENTS).steps[0].agents == ("qdrant-0", "")


def test_what_a_story_knew_stays_for_peers_that_are_gone() -> None:
    then = agents_in({"agents": {"7": "old-0", "9": "old-1", "odd": "x"}})
    step = BalanceStep(
        action="move", collection="docs", shard_id=0, source_peer_id=7, target_peer_id=9
    )
    plan = RebalancePlan(steps=(step,), peers=(BalancedPeer(peer_id=9),))
    shown = with_agents(with_agents(plan, then), AGENTS)
    assert (shown.steps[0].source_agent, shown.steps[0].target_agent) == ("qdrant-0", "old-1")
    assert shown.peers[0].agent == "old-1"
    reshard = ReshardPlan(
        collection="docs", steps=(ReshardStep(shards=2, shard_id=1, peer_ids=(7, 9)),)
    )
    shown_steps = with_step_agents(with_step_agents(reshard, then), AGENTS).steps
    assert shown_steps[0].agents == ("qdrant-0", "old-1")
    assert agents_in({}) == agents_in({"agents": 3}) == {}


def test_where_the_id_is_typed_both_are_said() -> None:
    assert peer_and_id(7, AGENTS) == "qdrant-0 (peer 7)"
    assert peer_and_id(9, AGENTS) == "peer 9"

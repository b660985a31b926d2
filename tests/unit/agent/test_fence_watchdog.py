"""Fences that were left behind are lifted one by one: a stuck one keeps no other raised."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.fence import BUDGET_LIMIT_S, fenced_name, tag_of
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_agent.metrics import AgentMetrics
from tests.unit.agent.test_poison import KEYS, NAME, Rig

OWN, OTHER = "5b" * 16, "aa" * 16
STUCK, FREE, FOREIGN = (
    fenced_name(alias, Epoch(3), tag_of(of)) for alias, of in (("a", OWN), ("b", OWN), ("c", OTHER))
)


class Aliases:
    """The aliases of a peer, of which one cannot be renamed."""

    def __init__(self, *fences: str) -> None:
        self.known = dict.fromkeys(fences, "docs")

    async def aliases(self, _timeout_s: float = 0.0) -> dict[str, str]:
        return dict(self.known)

    async def collections(self, _timeout_s: float = 0.0) -> list[str]:
        return []

    async def change_aliases(self, actions: list[dict[str, Any]], _timeout_s: float) -> None:
        (action,) = actions
        names = action["rename_alias"]
        if names["old_alias_name"] == STUCK:
            raise Refused("write consistency is lost")
        self.known[names["new_alias_name"]] = self.known.pop(names["old_alias_name"])


class StoppedClock(SystemClock):
    """Shows what it was set to."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


def look(spill: Path, peer: Aliases, metrics: AgentMetrics, *, after_s: tuple[float, ...]) -> None:
    """What the watchdog does at these times, of an agent whose etcd knows of no open epoch."""
    rig, clock = Rig(spill), StoppedClock()
    context = replace(rig.context, qdrant=cast("Qdrant", peer), clock=clock)
    watchdog = FenceWatchdog(context, metrics=metrics, log=configure_logging("error", "test"))

    async def run() -> None:
        await rig.put(KEYS.id, OWN.encode())
        for clock.now_s in after_s:
            await watchdog._look()

    asyncio.run(run())


def test_those_of_another_installation_stay_for_the_longest_budget(tmp_path: Path) -> None:
    """Nothing here knows whether that one still needs them; after it, none can."""
    peer = Aliases(FREE, FOREIGN)
    look(tmp_path, peer, AgentMetrics("prod", NAME), after_s=(0.0, BUDGET_LIMIT_S - 1.0))
    assert peer.known == {"b": "docs", FOREIGN: "docs"}
    look(tmp_path, peer, AgentMetrics("prod", NAME), after_s=(0.0, BUDGET_LIMIT_S))
    assert peer.known == {"b": "docs", "c": "docs"}


def test_one_that_cannot_be_lifted_keeps_no_other(tmp_path: Path) -> None:
    """And it is counted as stuck, for the metric."""
    peer, metrics = Aliases(STUCK, FREE), AgentMetrics("prod", NAME)
    look(tmp_path, peer, metrics, after_s=(0.0,))
    assert peer.known == {STUCK: "docs", "b": "docs"}
    text = metrics.render()[0].decode()
    assert 'cleancut_agent_fences_stuck{agent="a1",cluster="prod"} 1.0' in text

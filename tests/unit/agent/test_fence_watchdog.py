"""Fences that were left behind are lifted one by one: a stuck one keeps no other raised."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.fence import fenced_name
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.log import configure_logging
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_agent.metrics import AgentMetrics
from tests.unit.agent.test_poison import NAME, Rig

STUCK, FREE = fenced_name("a", Epoch(3)), fenced_name("b", Epoch(3))


class Aliases:
    """The aliases of a peer, of which one cannot be renamed."""

    def __init__(self) -> None:
        self.known = {STUCK: "docs", FREE: "logs"}

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


def test_one_that_cannot_be_lifted_keeps_no_other(tmp_path: Path) -> None:
    """And it is counted as stuck, for the metric."""
    peer = Aliases()
    context = replace(Rig(tmp_path).context, qdrant=cast("Qdrant", peer))
    metrics = AgentMetrics("prod", NAME)
    watchdog = FenceWatchdog(context, metrics=metrics, log=configure_logging("error", "test"))
    asyncio.run(watchdog._look())
    assert peer.known == {STUCK: "docs", "b": "logs"}
    text = metrics.render()[0].decode()
    assert 'cleancut_agent_fences_stuck{agent="a1",cluster="prod"} 1.0' in text

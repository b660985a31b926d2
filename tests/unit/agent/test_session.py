"""What an agent says of itself: looked for each minute, and at once in a restarted peer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from cleancut.core.primitives.errors import Refused, Unavailable
from cleancut.core.protocol.etcd_records import Session
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import ClusterInfo
from cleancut_agent.session import open_session, refresh
from tests.unit.agent.test_poison import Rig


class Peer:
    """A peer that can be restarted between two looks. `looks`: how often its rights were tried."""

    url = "http://peer"

    def __init__(self) -> None:
        self.startup, self.looks, self.up = "first", 0, True
        self.several = False

    async def cluster(self, timeout_s: float = 0.0) -> ClusterInfo:
        return ClusterInfo(1, {1: "http://peer"}, 1, 1, 0, enabled=True, consensus="")

    async def version(self, timeout_s: float = 0.0) -> str:
        return "1.18.3"

    async def telemetry(self, level: int = 3, timeout_s: float = 0.0) -> Any:
        if not self.up:
            raise Unavailable("connection refused")
        return SimpleNamespace(startup=self.startup, recovery_mode=False, collections={})

    async def check_one_peer(self, timeout_s: float = 0.0) -> None:
        if self.several:
            raise Refused("several peers of Qdrant answer at http://peer")

    async def allows_urls(self, timeout_s: float = 0.0) -> bool:
        self.looks += 1
        return True

    async def check_upload_rights(self, timeout_s: float = 0.0) -> None:
        """It may."""


def test_a_peer_that_restarts_between_two_looks_is_looked_at_again(tmp_path: Path) -> None:
    """However short it was down; one that does not answer for a moment is not taken for one."""
    peer = Peer()
    context = replace(Rig(tmp_path).context, qdrant=cast("Qdrant", peer))

    async def looks() -> list[int]:
        seen = []
        async with open_session(context) as session:
            for startup, up in (("first", True), ("first", False), ("first", True), ("next", True)):
                peer.startup, peer.up = startup, up
                await refresh(context, session)
                seen.append(peer.looks)
        return seen

    assert asyncio.run(looks()) == [1, 1, 1, 2]


def test_an_agent_behind_a_load_balancer_takes_no_part(tmp_path: Path) -> None:
    """It could count another peer's replica in place of its own; its session says why."""
    peer = Peer()
    context = replace(Rig(tmp_path).context, qdrant=cast("Qdrant", peer))

    async def said() -> Session:
        peer.several = True
        async with open_session(context) as session:
            return session.said

    found = asyncio.run(said())
    assert found.peer_id is None
    assert "several peers" in found.problem

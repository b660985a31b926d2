"""A store that hangs is named within seconds by every agent, and keeps none from its session."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Denied, TimedOut
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.store import ObjectInfo
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.concerns import _store
from cleancut_agent.context import AgentContext
from cleancut_agent.local_peer import read_probe
from tests.unit.agent.test_poison import Rig

BOUND_S = 0.05


class HungStore(MemoryStore):
    """Answers no call."""

    async def stat(self, path: str) -> ObjectInfo | None:
        await asyncio.Event().wait()
        raise AssertionError(path)

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError(path)


@pytest.fixture
def context(tmp_path: Path) -> AgentContext:
    agent = Rig(tmp_path).context
    return dataclasses.replace(agent, store=HungStore(), store_bound_s=BOUND_S)


def test_the_session_says_that_the_store_hangs(context: AgentContext) -> None:
    found = asyncio.run(_store(context))
    assert found is not None
    assert found.kind == "store_refused"
    assert "does not answer within" in found.what


class ReadOnlyStore(MemoryStore):
    """Its credentials may read, and write nothing."""

    async def put(self, path: str, data: bytes) -> None:
        raise Denied("AccessDenied", "give it s3:PutObject")


def test_the_session_says_that_the_store_takes_no_object(context: AgentContext) -> None:
    """Found without a backup, since a restore or a backup would find it too late."""
    found = asyncio.run(_store(dataclasses.replace(context, store=ReadOnlyStore())))
    assert found is not None
    assert found.kind == "store_refused"
    assert "AccessDenied" in found.what
    assert asyncio.run(_store(dataclasses.replace(context, store=MemoryStore()))) is None


def test_a_look_at_the_store_ends_with_its_name(context: AgentContext) -> None:
    """So that the vote against says why, and the attempt ends at once."""
    with pytest.raises(TimedOut, match="the store does not answer"):
        asyncio.run(read_probe(context, Epoch(1)))

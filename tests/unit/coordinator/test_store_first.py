"""A coordinator is not ready, and does not lead, before it has read the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from cleancut.core.primitives.errors import CleancutError, Denied, Unavailable
from cleancut.ports.coordination import Lease
from cleancut.ports.store import ObjectInfo
from cleancut.runtime.health import Health
from cleancut.runtime.log import configure_logging
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.process import CoordinatorProcess, _wait_store
from tests.unit.coordinator.leader.test_state import context

LOG = configure_logging("critical", "test")


class Instant:
    """A clock whose sleeps take no time."""

    def monotonic_s(self) -> float:
        return 0.0

    def wall_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """At once."""


class Refusing(MemoryStore):
    """Answers so many listings with an error."""

    def __init__(self, error: CleancutError, times: int) -> None:
        super().__init__()
        self.error, self.left = error, times

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        if self.left:
            self.left -= 1
            raise self.error
        async for info in super().list(prefix):
            yield info


class Alive:
    def alive(self) -> bool:
        return True


def process_of(store: MemoryStore) -> CoordinatorProcess:
    at = replace(context(), store=store, clock=cast("Any", Instant()))
    return CoordinatorProcess(at, Health(), CoordinatorMetrics("prod"), LOG)


def test_a_store_that_is_away_is_waited_for() -> None:
    """Meanwhile the process says why it is not ready, and why no backup can begin."""
    store = Refusing(Unavailable("connection refused"), 3)
    process = process_of(store)
    asyncio.run(_wait_store(process, cast("Lease", Alive())))
    assert (store.left, process.has_read_store, process.trouble) == (0, True, "")


def test_a_refusal_of_the_store_ends_a_process_that_was_never_ready() -> None:
    """As a wrong credential does: a roll-out stops there, and the old ones go on."""
    process = process_of(Refusing(Denied("InvalidAccessKeyId"), 9))
    with pytest.raises(Denied, match="InvalidAccessKeyId"):
        asyncio.run(_wait_store(process, cast("Lease", Alive())))
    assert not process.health.was_ready

"""Fences that are left over: lifted, tried again, and given up in the end."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Unavailable
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.fence import Fence, Hook
from cleancut.ports.coordination import Put
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut_coordinator.leader.fences import GIVE_UP_S, FenceReleaser
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from tests.unit.coordinator.leader.test_state import context, lead

RAISED_S = 1_800_000_000.0
HOOKED = Fence(
    epoch=Epoch(7),
    budget_s=30.0,
    hooks=(Hook(collections=("docs",), pause="http://gone/p", resume="http://gone/r"),),
    raised_at=format_time(RAISED_S),
)


class HandClock(SystemClock):
    """Sleeping sets it forward at once; after `limit` sleeps the test is over."""

    def __init__(self, limit: int) -> None:
        self.now_s, self.left = RAISED_S, limit

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError
        self.now_s += seconds


@pytest.mark.parametrize("raised_at", [HOOKED.raised_at, "", "long ago"])
def test_a_hook_that_is_gone_is_given_up(raised_at: str) -> None:
    """After an hour of tries at growing distances, and sooner if nothing says since when."""
    calls: list[float] = []
    clock = HandClock(500)

    async def gone(*_: object) -> None:
        calls.append(clock.now_s)
        raise Unavailable("the hook was not reached")

    async def body() -> None:
        at = dataclasses.replace(context(), clock=clock, call_hook=gone)
        token = await lead(at)
        fence = replace(HOOKED, raised_at=raised_at)
        await at.etcd.txn([], [Put(at.keys.fence(Epoch(7)), encode(fence))])
        metrics, log = CoordinatorMetrics("prod"), configure_logging("error", "test")
        releaser = FenceReleaser(at, token, metrics=metrics, log=log)
        await releaser._until_lifted(fence)
        assert await at.etcd.get(at.keys.fence(Epoch(7))) is None

    asyncio.run(body())
    if raised_at == HOOKED.raised_at:
        assert clock.now_s - RAISED_S > GIVE_UP_S
        assert len(calls) < 250
    else:
        assert len(calls) == 5

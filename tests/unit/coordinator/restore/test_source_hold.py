"""Holds of restores from another cluster: renewed while they last, and ending by themselves."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.ids import ClusterName, Epoch, OperationId
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.core.restore.report import RestoreDraft
from cleancut.ports.coordination import Put
from cleancut.repository.catalog import put_staged
from cleancut.repository.garbage import read_holds
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.restore.source_hold import (
    HOLD_S,
    drop_hold,
    put_hold,
    renew_hold,
)
from tests.unit.coordinator.leader.test_state import context

HOUR_S, NOW_S = 3600.0, 1_800_000_000.0
OTHER = Paths(ClusterName("other"))
BACKUP, EPOCH = Epoch(7), Epoch(3)


class WallClock(SystemClock):
    shown_s = NOW_S

    def wall_s(self) -> float:
        return self.shown_s


class Rig:
    """A restore of another cluster's backup, in RECOVER."""

    def __init__(self) -> None:
        self.clock, self.store = WallClock(), MemoryStore()
        self.at: CoordinatorContext = dataclasses.replace(
            context(), clock=self.clock, store=self.store
        )
        self.draft = RestoreDraft(
            epoch=EPOCH,
            operation=OperationId("r-1"),
            backup=BACKUP,
            plan="",
            collections=(),
            planned=(),
            shards=(),
            metadata={},
            source="other",
        )

    async def begin(self, phase: Phase = Phase.RECOVER) -> None:
        sha256 = await put_staged(self.store, self.at.paths, EPOCH, self.draft)
        ctl = Ctl(kind=OperationKind.RESTORE, phase=phase, epoch=EPOCH, draft=sha256)
        await self.at.etcd.txn([], [Put(self.at.keys.ctl, encode(ctl))])

    def holds(self) -> list[str]:
        return sorted(path for path in self.store.objects if path.startswith(OTHER.holds))

    async def is_held(self) -> bool:
        _, held = await read_holds(self.store, OTHER, self.clock.shown_s)
        return held == {BACKUP}


def run(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        await body(Rig())

    asyncio.run(whole())


def test_a_restore_that_takes_a_week_keeps_its_hold() -> None:
    async def body(rig: Rig) -> None:
        await put_hold(rig.at, rig.draft)
        await rig.begin()
        for _ in range(7 * 24):
            rig.clock.shown_s += HOUR_S
            await renew_hold(rig.at)
            assert await rig.is_held()
            assert len(rig.holds()) <= 2
        await drop_hold(rig.at, rig.draft)
        assert rig.holds() == []

    run(body)


def test_without_its_restore_a_hold_ends() -> None:
    """After a crash nothing renews it."""

    async def body(rig: Rig) -> None:
        await put_hold(rig.at, rig.draft)
        await rig.begin()
        await renew_hold(rig.at)
        rig.clock.shown_s += HOLD_S + 2 * HOUR_S
        assert not await rig.is_held()

    run(body)


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.ABORT])
def test_what_is_over_is_not_held_again(phase: Phase) -> None:
    async def body(rig: Rig) -> None:
        await put_hold(rig.at, rig.draft)
        await rig.begin(phase)
        rig.clock.shown_s += 40 * HOUR_S
        await renew_hold(rig.at)
        assert len(rig.holds()) == 1

    run(body)


def test_a_late_attempt_renews_what_the_first_one_put() -> None:
    """The second attempt of an operation begins a day and a half later: its hold is new."""

    async def body(rig: Rig) -> None:
        await put_hold(rig.at, rig.draft)
        await put_hold(rig.at, rig.draft)
        assert len(rig.holds()) == 1
        rig.clock.shown_s += 40 * HOUR_S
        await put_hold(rig.at, rig.draft)
        newest = rig.holds()[-1]
        hold = decode(Hold, rig.store.objects[newest], newest)
        assert hold.operation == "r-1"
        rig.clock.shown_s += 20 * HOUR_S
        assert await rig.is_held()

    run(body)


def test_holds_of_others_are_left_alone() -> None:
    """Another operation whose name begins alike, and a label."""

    async def body(rig: Rig) -> None:
        others = [OTHER.hold(BACKUP, OperationId(name)) for name in ("r-10", "label.r-1", "r-1.x")]
        for path in others:
            await rig.store.put(path, b"{}")
        await put_hold(rig.at, rig.draft)
        await drop_hold(rig.at, rig.draft)
        assert rig.holds() == sorted(others)

    run(body)

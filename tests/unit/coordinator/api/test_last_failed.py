"""What doctor names as the newest failure of backups."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from cleancut.core.maintenance.retention import Policy
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import State
from cleancut.ports.coordination import Put
from cleancut_coordinator.api.backup_health import _last_failed
from tests.unit.coordinator.maintenance.test_gc_stops import KEYS, World
from tests.unit.core.protocol.test_outcomes import ended


def named(*operations: Operation) -> str:
    """The message that doctor would show, of operations that ended one after the other."""
    world = World(Policy(), days=1)

    async def body() -> str:
        for number, one in enumerate(operations):
            ident = OperationId(f"b-x{number}")
            known = replace(one, id=ident, ended_at=f"2026-11-30T10:00:0{number}.000Z")
            await world.etcd.txn([], [Put(KEYS.operation(ident), encode(known))])
        failure = await _last_failed(world.context)
        return failure.reason if failure is not None else ""

    return asyncio.run(body())


NIGHTLY = ended("NOT_FOUND", schedule="nightly")
GOOD = ended("", state=State.COMMITTED)


def test_a_schedule_that_names_a_dropped_collection_is_named() -> None:
    assert named(GOOD, NIGHTLY) == "NOT_FOUND"


def test_what_was_cancelled_or_mistyped_since_hides_no_failure() -> None:
    assert named(NIGHTLY, ended("CANCELLED"), ended("INVALID")) == "NOT_FOUND"
    assert named(GOOD, ended("CANCELLED"), ended("NOT_FOUND")) == ""
    assert named(NIGHTLY, GOOD) == ""

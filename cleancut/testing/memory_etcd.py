"""The `Coordination` port in memory: `EtcdModel` behind an asyncio face, for tests and the demo.

Several clients share one model; leases run out by the clock, with nothing running in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress

from cleancut.core.primitives.errors import Unavailable
from cleancut.etcd.lease import LeaseBlock
from cleancut.etcd.revisions import SeenRevisions
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Change, Guard, KeyValue, Lease, Listing, Op, TxnResult
from cleancut.testing.etcd_model import EtcdModel

CLOSED = "the etcd client is closed"
WAKE_S = 0.25
"""How late a watch may learn that a lease has run out."""


class MemoryEtcd:
    """One client of `model`; `cut_off` and `join` are its network."""

    def __init__(self, clock: Clock, model: EtcdModel | None = None) -> None:
        self.model = model or EtcdModel()
        self._clock = clock
        self._trouble = ""
        self.seen = SeenRevisions()
        self._changed = asyncio.Event()
        self._forget = self.model.on_change(self._wake)

    async def get(self, key: str) -> KeyValue | None:
        return (await self._reach()).get(key)

    async def list(self, prefix: str) -> Listing:
        return (await self._reach()).list(prefix)

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        return (await self._reach()).txn(guards, ops)

    async def watch(
        self, prefix: str, start_revision: int
    ) -> AsyncGenerator[tuple[Change, ...], None]:
        next_revision, turns = start_revision, self.seen.turns
        while True:
            changed = self._changed
            model = await self._reach()
            self.seen.check_watch(turns)
            next_revision = next_revision or model.revision + 1
            known = model.revision
            for changes in model.changes_since(prefix, next_revision):
                yield changes
            next_revision = max(next_revision, known + 1)
            with suppress(TimeoutError):
                async with asyncio.timeout(WAKE_S if model.leases else None):
                    await changed.wait()

    def lease(self, ttl_s: float) -> AbstractAsyncContextManager[Lease]:
        leases = _Leases(self._reach, self._clock, self.seen)
        return LeaseBlock(leases, self._clock, ttl_s)

    def cut_off(self) -> None:
        """Until `join`, calls and watches raise Unavailable; leases go on running out."""
        self._trouble = "etcd does not answer: cut off"
        self._wake()

    def join(self) -> None:
        self._trouble = ""

    async def close(self) -> None:
        """Repeatable. The model lives on, as etcd does."""
        if self._trouble != CLOSED:
            self._forget()
            self._trouble = CLOSED
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _reach(self) -> EtcdModel:
        """The model as it is now. Raises: Unavailable."""
        await asyncio.sleep(0)
        if self._trouble:
            raise Unavailable(self._trouble, "this etcd lives in memory; see who cut it off")
        self.seen.saw(self.seen.highest, self.model.cluster_id, self.model.revision)
        self.model.expire(self._clock.monotonic_s())
        return self.model


class _Leases:
    """The lease calls, on the model."""

    def __init__(
        self, reach: Callable[[], Awaitable[EtcdModel]], clock: Clock, seen: SeenRevisions
    ) -> None:
        self._reach = reach
        self._clock = clock
        self._seen, self._turns = seen, seen.turns

    async def grant(self, ttl_s: int) -> tuple[int, float]:
        model = await self._reach()
        self._turns = self._seen.turns
        return model.grant(ttl_s, self._clock.monotonic_s()), float(ttl_s)

    async def keep_alive(self, lease: int, timeout_s: float) -> float:
        model = await self._reach()
        self._seen.check_lease(self._turns)
        return model.keep_alive(lease, self._clock.monotonic_s())

    async def revoke(self, lease: int) -> None:
        (await self._reach()).revoke(lease)

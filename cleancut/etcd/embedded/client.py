"""Embedded client: the `Coordination` port on `EtcdModel`, and on its journal if it has one.

A write is in the journal, and durable, before anybody sees it: a process that is killed has lost
nothing that it acted upon. Leases run out by the clock, with nothing running in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress

from cleancut.core.primitives.errors import Unavailable
from cleancut.etcd.embedded.journal import Journal
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.etcd.lease import LeaseBlock
from cleancut.etcd.revisions import SeenRevisions
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Change, Guard, KeyValue, Lease, Listing, Op, TxnResult

WAKE_S = 0.25
"""How late a watch may learn that a lease has run out."""
HISTORY = 1000
"""Revisions that a watch may be behind; an older one lists again."""


class EmbeddedEtcd:
    """Methods as specified by `Coordination`. `check_reachable`: raises what each call is to raise.

    Several clients share one model as long as it has no journal.
    """

    def __init__(
        self,
        model: EtcdModel,
        clock: Clock,
        journal: Journal | None = None,
        *,
        check_reachable: Callable[[], None] = lambda: None,
    ) -> None:
        self._model, self._clock, self._journal = model, clock, journal
        self._check_reachable = check_reachable
        self._seen = SeenRevisions()
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._forget = model.on_change(self.wake)
        self._closed = False

    async def get(self, key: str) -> KeyValue | None:
        return (await self._reach()).get(key)

    async def list(self, prefix: str) -> Listing:
        return (await self._reach()).list(prefix)

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        """Raises also: TimedOut, if the journal may or may not hold the write."""
        model = await self._reach()
        if self._journal is None:
            return model.txn(guards, ops)
        async with self._writing:
            changes = model.plan(guards, ops)
            if changes is None:
                return TxnResult(False, model.revision)
            await self._commit(self._journal, changes)
            return TxnResult(True, model.revision)

    async def watch(
        self, prefix: str, start_revision: int
    ) -> AsyncGenerator[tuple[Change, ...], None]:
        next_revision, turns = start_revision, self._seen.turns
        while True:
            changed = self._changed
            model = await self._reach()
            self._seen.check_watch(turns)
            next_revision = next_revision or model.revision + 1
            known = model.revision
            for changes in model.changes_since(prefix, next_revision):
                yield changes
            next_revision = max(next_revision, known + 1)
            with suppress(TimeoutError):
                async with asyncio.timeout(WAKE_S if model.leases else None):
                    await changed.wait()

    def lease(self, ttl_s: float) -> AbstractAsyncContextManager[Lease]:
        leases = _Leases(self._reach, self._revoke, self._clock, self._seen)
        return LeaseBlock(leases, self._clock, ttl_s)

    async def start(self) -> None:
        """The journal is there, and leases of an earlier process are over. Raises: as `txn`."""
        if self._journal is not None:
            await self._journal.run(self._journal.rewrite, self._model.snapshot())
        await self._reach()

    async def close(self) -> None:
        """Repeatable. The model lives on, as etcd does."""
        if not self._closed:
            self._closed = True
            self._forget()
            self.wake()

    def wake(self) -> None:
        """Every watch looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _reach(self) -> EtcdModel:
        """The model as it is now. Raises: Unavailable."""
        await asyncio.sleep(0)
        self._check_reachable()
        if self._closed:
            raise Unavailable("the etcd client is closed", "nothing to do: the process is ending")
        self._seen.saw(self._seen.highest, self._model.cluster_id, self._model.revision)
        now_s = self._clock.monotonic_s()
        if self._journal is None:
            self._model.expire(now_s)
        elif self._model.expired(now_s) is not None:
            async with self._writing:
                while (lease := self._model.expired(self._clock.monotonic_s())) is not None:
                    await self._commit(self._journal, self._model.plan_revoke(lease))
                    del self._model.leases[lease]
        return self._model

    async def _revoke(self, lease: int) -> None:
        """Raises: LeaseLost."""
        model = await self._reach()
        if self._journal is None:
            model.revoke(lease)
            return
        async with self._writing:
            await self._commit(self._journal, model.plan_revoke(lease))
            del model.leases[lease]

    async def _commit(self, journal: Journal, changes: tuple[Change, ...]) -> None:
        """Durable, then visible; both or neither, also for a caller that is cancelled meanwhile.

        Raises: TimedOut, if it is not known whether it is durable; Unavailable, if it is not.
        """
        if not changes:
            return
        if journal.is_due():
            await journal.run(journal.rewrite, self._model.snapshot())
        try:
            await journal.run(journal.append, self._model.revision + 1, changes)
        finally:
            if journal.revision > self._model.revision:
                self._model.apply(changes)
                self._model.keep_history(HISTORY)


class _Leases:
    """The lease calls, on the model. A lease itself is not in the journal: it ends with the
    process."""

    def __init__(
        self,
        reach: Callable[[], Awaitable[EtcdModel]],
        revoke: Callable[[int], Awaitable[None]],
        clock: Clock,
        seen: SeenRevisions,
    ) -> None:
        self._reach, self._revoke, self._clock = reach, revoke, clock
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
        await self._revoke(lease)

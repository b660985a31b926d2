"""The `Coordination` port in memory: the embedded etcd without a journal, with a network to cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager

from cleancut.core.primitives.errors import Unavailable
from cleancut.etcd.embedded.client import EmbeddedEtcd
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Change, Guard, KeyValue, Lease, Listing, Op, TxnResult


class MemoryEtcd:
    """One client of `model`, which several may share; `cut_off` and `join` are its network."""

    def __init__(self, clock: Clock, model: EtcdModel | None = None) -> None:
        self.model = model or EtcdModel()
        self._trouble = ""
        self._etcd = EmbeddedEtcd(self.model, clock, check_reachable=self._check)

    async def get(self, key: str) -> KeyValue | None:
        return await self._etcd.get(key)

    async def list(self, prefix: str) -> Listing:
        return await self._etcd.list(prefix)

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        return await self._etcd.txn(guards, ops)

    def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[tuple[Change, ...], None]:
        return self._etcd.watch(prefix, start_revision)

    def lease(self, ttl_s: float) -> AbstractAsyncContextManager[Lease]:
        return self._etcd.lease(ttl_s)

    def cut_off(self) -> None:
        """Until `join`, calls and watches raise Unavailable; leases go on running out."""
        self._trouble = "etcd does not answer: cut off"
        self._etcd.wake()

    def join(self) -> None:
        self._trouble = ""

    async def close(self) -> None:
        """Repeatable. The model lives on, as etcd does."""
        await self._etcd.close()

    def _check(self) -> None:
        if self._trouble:
            raise Unavailable(self._trouble, "this etcd lives in memory; see what cut it off")

"""The `Coordination` port on a real etcd, over `calls`, `wire`, `watch` and `lease`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from cleancut.core.primitives.errors import CleancutError, TimedOut, Unavailable
from cleancut.etcd.calls import CALL_S, GRANT, KEEP_ALIVE, RANGE, REVOKE, STATUS, TXN, EtcdLink
from cleancut.etcd.channels import Channels
from cleancut.etcd.lease import REVOKE_S, LeaseBlock
from cleancut.etcd.login import Login
from cleancut.etcd.pb import etcd_pb2 as pb
from cleancut.etcd.watch import Watching
from cleancut.etcd.wire import (
    decode_kv,
    decode_listing,
    encode_key,
    first_put,
    range_request,
    read_back,
    txn_request,
)
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Change, Guard, KeyValue, Lease, Listing, Op, TxnResult
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.tls import Tls


@asynccontextmanager
async def open_etcd(
    endpoints: Sequence[str],
    *,
    tls: Tls | None = None,
    login: Login | None = None,
    clock: Clock | None = None,
    call_s: float = CALL_S,
) -> AsyncIterator[Etcd]:
    """A client of the etcd at `endpoints` (`host:port` each); nothing is sent before its first use.

    With a client certificate, etcd's user is the certificate's CN, unless `login` names another.
    Replaced files are read again.
    Unit: `call_s` bounds a call with all its tries, and a watch's search for an endpoint.
    Raises: Invalid (an endpoint, a file).
    """
    link = EtcdLink(Channels(endpoints, tls), clock or SystemClock(), call_s, login)
    etcd = Etcd(link)
    try:
        yield etcd
    finally:
        await etcd.close()


class Etcd:
    """Methods as specified by `Coordination`."""

    def __init__(self, link: EtcdLink) -> None:
        self._link = link

    async def get(self, key: str) -> KeyValue | None:
        answer = await self._link.repeat(RANGE, pb.RangeRequest(key=encode_key(key)))
        return decode_kv(answer.kvs[0]) if answer.kvs else None

    async def list(self, prefix: str) -> Listing:
        return decode_listing(await self._link.repeat(RANGE, range_request(prefix)))

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        """As the port says. A txn without guards, and a refused one without a Put, cannot be
        resolved after a lost answer: TimedOut. `revision` of an applied one is its writes'.

        Order: applied once if a guard names a key it writes; else perhaps twice in a row.
        """
        request, put = txn_request(guards, ops), first_put(ops)
        unsure: CleancutError | None = None
        last: CleancutError | None = None
        for pause_s, timeout_s in self._link.tries():
            await self._link.clock.sleep(pause_s)
            try:
                answer = await self._link.once(TXN, request, timeout_s)
            except Unavailable as error:
                last = error
                continue
            except TimedOut as error:
                last = unsure = error
                if not guards:
                    break
                continue
            if answer.succeeded or unsure is None:
                return TxnResult(answer.succeeded, answer.header.revision)
            if put is None:
                break
            found = read_back(answer)
            if found is not None and (found.value, found.lease) == (put.value, put.lease):
                return TxnResult(True, found.mod_revision)
            return TxnResult(False, answer.header.revision)
        if unsure is not None:
            raise TimedOut(f"a write's outcome is unknown: {unsure.message}", self._link.hint)
        raise Unavailable(f"etcd does not answer: {last and last.message}", self._link.hint)

    def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[tuple[Change, ...], None]:
        """Start revision 0: from now on. Nothing is lost while an endpoint with a majority lives;
        a frozen endpoint is noticed after 3-13 s."""
        return Watching(self._link, prefix, start_revision).changes()

    def lease(self, ttl_s: float) -> AbstractAsyncContextManager[Lease]:
        """Raises: Invalid below 5 s."""
        return LeaseBlock(_LeaseApi(self._link), self._link.clock, ttl_s)

    async def version(self) -> str:
        """The version of the current endpoint's server, such as `3.5.21`."""
        answer = await self._link.repeat(STATUS, pb.StatusRequest())
        return str(answer.version)

    async def close(self) -> None:
        await self._link.close()


class _LeaseApi:
    """The lease calls of etcd's API."""

    def __init__(self, link: EtcdLink) -> None:
        self._link = link
        self._turns = link.seen.turns

    async def grant(self, ttl_s: int) -> tuple[int, float]:
        """A grant whose answer was lost leaves a lease without keep-alives: it expires."""
        self._turns = self._link.seen.turns
        answer: Any = await self._link.repeat(GRANT, pb.LeaseGrantRequest(ttl=ttl_s))
        return answer.id, float(answer.ttl)

    async def keep_alive(self, lease: int, timeout_s: float) -> float:
        """Raises also: LeaseLost, if etcd went back meanwhile, even if it knows the lease again."""
        request = pb.LeaseKeepAliveRequest(id=lease)
        answer: Any = await self._link.once(KEEP_ALIVE, request, timeout_s)
        await self._link.check_revision(answer.header.revision)
        self._link.seen.check_lease(self._turns)
        return float(answer.ttl)

    async def revoke(self, lease: int) -> None:
        await self._link.once(REVOKE, pb.LeaseRevokeRequest(id=lease), REVOKE_S)

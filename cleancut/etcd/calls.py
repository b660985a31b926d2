"""Calls to one of several etcd endpoints: one try, repeated tries, foreign errors mapped.

Channels are in `channels`, logins in `login`. What a call means is decided elsewhere; an
error only says whether the call may have had an effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    LeaseLost,
    TimedOut,
    Unavailable,
)
from cleancut.etcd.channels import METADATA, Channels, Endpoint, Metadata
from cleancut.etcd.login import Login
from cleancut.etcd.pb import etcd_pb2 as pb
from cleancut.etcd.revisions import SeenRevisions
from cleancut.ports.clock import Clock

TRY_S = 2.0
"""One try: a call that a follower forwards to a dead leader hangs until this is over."""
CALL_S = 10.0
"""A call with all its tries; a change of etcd's leader takes 1-3 s."""
PAUSE_S = 0.1
MAX_PAUSE_S = 1.0

RANGE = ("/etcdserverpb.KV/Range", pb.RangeResponse)
TXN = ("/etcdserverpb.KV/Txn", pb.TxnResponse)
GRANT = ("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantResponse)
REVOKE = ("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeResponse)
# A stream in etcd's API; one request and one answer of it look like a unary call on the wire.
KEEP_ALIVE = ("/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse)
STATUS = ("/etcdserverpb.Maintenance/Status", pb.StatusResponse)
_LINEARIZABLE = (RANGE, TXN)
WATCH = "/etcdserverpb.Watch/Watch"

_OLD = "etcdserver: revision of auth store is old"
_NO_TOKEN = "invalid auth token"
_NOT_DONE = ("failed to connect to all addresses", "etcdserver: no leader", _OLD)
_DENIED = ("user name is empty", "authentication failed")
_CERTIFICATE_HINT = "check the client certificate and the rights of the etcd user named by its CN"
_PASSWORD_HINT = "check the password and the rights of the etcd user {}"
_HINT = "check that a majority of etcd's members runs and can be reached at {}"


class EtcdLink:
    """The channels, and which of them is used now.

    Order: built and closed on one running loop.
    """

    def __init__(
        self,
        channels: Channels,
        clock: Clock,
        call_s: float = CALL_S,
        login: Login | None = None,
    ) -> None:
        self.clock = clock
        self._call_s = call_s
        self._channels = channels
        self._login = login
        self._closed = False
        self.seen = SeenRevisions()
        self._read_before: Any = None

    @property
    def hint(self) -> str:
        return _HINT.format(", ".join(self._channels.addresses))

    def leave(self, endpoint: Endpoint) -> None:
        """The next endpoint becomes the current one, unless somebody has left `endpoint` before."""
        self._channels.leave(endpoint)

    async def current(self) -> Endpoint:
        """The endpoint to ask, with the certificates that there are now."""
        await self._channels.refresh()
        return self._channels.current

    async def metadata(self, endpoint: Endpoint, timeout_s: float) -> Metadata:
        """What goes with each call: who we are there, after a login if one is needed.

        Raises: Unavailable (nothing was sent), Denied.
        """
        if self._login is None:
            return METADATA
        try:
            return (*METADATA, *await self._login.metadata(endpoint, timeout_s))
        except TimeoutError as late:
            self.leave(endpoint)
            raise Unavailable(f"no login at etcd within {timeout_s:g} s", self.hint) from late
        except grpc.aio.AioRpcError as foreign:
            error = self.to_error(foreign.code(), foreign.details() or "", endpoint, fresh=True)
            if isinstance(error, TimedOut):
                error = Unavailable(f"no login at etcd: {error.message}", self.hint)
            raise error from foreign

    def tries(self) -> Iterator[tuple[float, float]]:
        """(pause before it, its time limit) of each try of a call, until its time is over.

        All endpoints are tried without a pause, then the pauses grow. Raises: Unavailable if closed
        before the first; a close in between ends them, since an earlier one may have had effect.
        """
        self._check_open()
        end_s = self.clock.monotonic_s() + self._call_s
        pause_s, count = PAUSE_S, 0
        while (left_s := end_s - self.clock.monotonic_s()) > 0 and not self._closed:
            if count and count % len(self._channels.addresses) == 0:
                yield pause_s, max(0.05, min(TRY_S, left_s - pause_s))
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            else:
                yield 0.0, min(TRY_S, left_s)
            count += 1

    async def once(self, method: tuple[str, Any], request: Any, timeout_s: float) -> Any:
        """The answer of one try on the current endpoint, which is left if it fails.

        Raises: Unavailable (had no effect), TimedOut (may have had one), Denied, Invalid,
            LeaseLost.
        """
        path, answer = method
        endpoint = await self.current()
        end_s = self.clock.monotonic_s() + timeout_s
        floor = self.seen.highest
        with self.mapped(endpoint):
            metadata = await self.metadata(endpoint, timeout_s)
            left_s = max(0.05, end_s - self.clock.monotonic_s())
            call = endpoint.channel.unary_unary(
                path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            found = await call(request, timeout=left_s, metadata=metadata)
        if method == RANGE and not (self._read_before and request.range_end):
            self._read_before = request  # one that is allowed, and small if possible
        if method in _LINEARIZABLE:
            self.seen.saw(floor, found.header.cluster_id, found.header.revision)
        return found

    async def check_revision(self, revision: int) -> None:
        """Asks etcd where it is, if an answer shows less than was seen: a member that lags behind
        shows less as well, and only a linearizable answer proves anything.

        Raises: Unavailable, TimedOut, Denied.
        """
        if revision < self.seen.highest and self._read_before is not None:
            await self.once(RANGE, self._read_before, TRY_S)

    async def repeat(self, method: tuple[str, Any], request: Any) -> Any:
        """The answer to a call that may be repeated at will.

        Limits: `call_s` in all. Raises: Unavailable, Denied, Invalid, LeaseLost.
        """
        last: CleancutError | None = None
        for pause_s, timeout_s in self.tries():
            await self.clock.sleep(pause_s)
            try:
                return await self.once(method, request, timeout_s)
            except (Unavailable, TimedOut) as error:
                last = error
        raise Unavailable(f"etcd does not answer: {last and last.message}", self.hint) from last

    @contextmanager
    def mapped(self, endpoint: Endpoint) -> Iterator[None]:
        """Errors of gRPC inside the block become ours, and `endpoint` is left where that helps.

        A no is taken for what it says only after a login inside the block: the one before may be
        over.
        """
        self._check_open()
        logins = endpoint.logins
        try:
            yield
        except grpc.aio.AioRpcError as foreign:
            code, details = foreign.code(), foreign.details() or ""
            error = self.to_error(code, details, endpoint, fresh=endpoint.logins > logins)
            raise error from foreign
        except asyncio.CancelledError:
            # Closing a channel cancels its calls, which must not look like a cancelled task.
            task = asyncio.current_task()
            if not (self._closed or endpoint.closed) or (task is not None and task.cancelling()):
                raise
            raise TimedOut("the etcd client was closed during a call", self.hint) from None

    def logged_out(self, details: str, endpoint: Endpoint, *, fresh: bool) -> bool:
        """Whether another login may help where etcd said no: it is made with the next call.

        `fresh`: the call was made right after a login.
        """
        if endpoint.token is None or (fresh and _NO_TOKEN not in details):
            return False
        endpoint.token = None
        return True

    def to_error(
        self, code: Any, details: str, endpoint: Endpoint, *, fresh: bool = False
    ) -> CleancutError:
        """Source: etcd api/v3rpc/rpctypes/error.go names codes and texts."""
        status, text = code.name, f"{endpoint.address}: {details[:300]}"
        refused = status in {"UNAUTHENTICATED", "PERMISSION_DENIED"} or any(
            known in details for known in _DENIED
        )
        if (refused or _OLD in details) and self.logged_out(details, endpoint, fresh=fresh):
            return Unavailable(f"etcd wants a new login: {text}", self.denied_hint)
        if any(known in details for known in _NOT_DONE):
            self.leave(endpoint)
            return Unavailable(f"etcd is not available: {text}", self.hint)
        if refused:
            return Denied(f"etcd refuses: {text}", self.denied_hint)
        if status == "NOT_FOUND" and "lease not found" in details:
            return LeaseLost("etcd no longer knows the lease", "it ran out; a new one is needed")
        if status == "INVALID_ARGUMENT":
            return Invalid(f"etcd refuses the request: {text}", "see the limits in etcd's settings")
        self.leave(endpoint)
        if status == "RESOURCE_EXHAUSTED":
            return Unavailable(
                f"etcd refuses writes: {text}", "see `etcdctl alarm list`; compact and defragment"
            )
        return TimedOut(f"etcd's answer was lost: {status} {text}", self.hint)

    @property
    def denied_hint(self) -> str:
        return _PASSWORD_HINT.format(self._login.user) if self._login else _CERTIFICATE_HINT

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the etcd client is closed", "this process is ending")

    async def close(self) -> None:
        """Repeatable; whatever is under way fails."""
        self._closed = True
        await self._channels.close()

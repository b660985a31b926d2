"""Calls to one of several etcd endpoints: channels, one try, repeated tries, foreign errors mapped.

One channel an endpoint, a sticky current one, the next one after a failure. What a call means is
decided elsewhere; here an error only says whether the call may have had an effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from cleancut.errors import CleancutError, Denied, Invalid, LeaseLost, TimedOut, Unavailable
from cleancut.io.etcdpb import etcd_pb2 as pb
from cleancut.io.ports import Clock

TRY_S = 2.0
"""One try: a call that a follower forwards to a dead leader hangs until this is over."""
CALL_S = 10.0
"""A call with all its tries; a change of etcd's leader takes 1-3 s."""
PAUSE_S = 0.1
MAX_PAUSE_S = 1.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024

METADATA = (("hasleader", "true"),)
"""An endpoint without a leader refuses, where it would otherwise stay silent for ever.

Source: etcd server/etcdserver/api/v3rpc/interceptor.go
"""

OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # This one, not keepalive_timeout_ms, makes a frozen endpoint fail: after 3-13 s.
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
)

RANGE = ("/etcdserverpb.KV/Range", pb.RangeResponse)
TXN = ("/etcdserverpb.KV/Txn", pb.TxnResponse)
GRANT = ("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantResponse)
REVOKE = ("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeResponse)
# A stream in etcd's API; one request and one answer of it look like a unary call on the wire.
KEEP_ALIVE = ("/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse)
STATUS = ("/etcdserverpb.Maintenance/Status", pb.StatusResponse)
WATCH = "/etcdserverpb.Watch/Watch"

_NOT_DONE = (
    "failed to connect to all addresses",
    "etcdserver: no leader",
    "etcdserver: revision of auth store is old",
)
_DENIED = ("user name is empty", "authentication failed")
_USER_HINT = "check the client certificate and the rights of the etcd user named by its CN"
_HINT = "check that a majority of etcd's members runs and can be reached at {}"


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files; `cert` and `key` come together, or neither."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    channel: Any


def parse_endpoints(endpoints: Sequence[str]) -> tuple[str, ...]:
    """Raises: Invalid, unless there are some and each is `host:port`."""
    for address in endpoints:
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isdecimal()) or "/" in address:
            raise Invalid(f"etcd endpoint {address!r} is not host:port", "name it as host:2379")
    if not endpoints:
        raise Invalid("no etcd endpoint is named", "name all members, as in a:2379,b:2379,c:2379")
    return tuple(endpoints)


class EtcdLink:
    """The channels, and which of them is used now.

    Order: built and closed on one running loop.
    """

    def __init__(
        self, endpoints: Sequence[str], tls: Tls | None, clock: Clock, call_s: float = CALL_S
    ) -> None:
        self.clock = clock
        self._call_s = call_s
        addresses = parse_endpoints(endpoints)
        credentials = None if tls is None else _credentials(tls)
        self._endpoints = tuple(Endpoint(a, _open_channel(a, credentials)) for a in addresses)
        self._current = 0
        self._closed = False

    @property
    def hint(self) -> str:
        return _HINT.format(", ".join(endpoint.address for endpoint in self._endpoints))

    @property
    def current(self) -> Endpoint:
        return self._endpoints[self._current]

    def leave(self, endpoint: Endpoint) -> None:
        """The next endpoint becomes the current one, unless somebody has left `endpoint` before."""
        if endpoint is self.current:
            self._current = (self._current + 1) % len(self._endpoints)

    def tries(self) -> Iterator[tuple[float, float]]:
        """(pause before it, its time limit) of each try of a call, until its time is over.

        All endpoints are tried without a pause, then the pauses grow. Raises: Unavailable if closed
        before the first; a close in between ends them, since an earlier one may have had effect.
        """
        self._check_open()
        end_s = self.clock.monotonic_s() + self._call_s
        pause_s, count = PAUSE_S, 0
        while (left_s := end_s - self.clock.monotonic_s()) > 0 and not self._closed:
            if count and count % len(self._endpoints) == 0:
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
        endpoint = self.current
        with self.mapped(endpoint):
            call = endpoint.channel.unary_unary(
                path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            return await call(request, timeout=timeout_s, metadata=METADATA)

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
        """Errors of gRPC inside the block become ours, and `endpoint` is left where that helps."""
        self._check_open()
        try:
            yield
        except grpc.aio.AioRpcError as foreign:
            error = self.to_error(foreign.code(), foreign.details() or "", endpoint)
            raise error from foreign
        except asyncio.CancelledError:
            # Closing a channel cancels its calls, which must not look like a cancelled task.
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise TimedOut("the etcd client was closed during a call", self.hint) from None

    def to_error(self, code: Any, details: str, endpoint: Endpoint) -> CleancutError:
        """Source: etcd api/v3rpc/rpctypes/error.go names codes and texts."""
        status, text = code.name, f"{endpoint.address}: {details[:300]}"
        if any(known in details for known in _NOT_DONE):
            self.leave(endpoint)
            return Unavailable(f"etcd is not available: {text}", self.hint)
        if status in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            return Denied(f"etcd refuses: {text}", _USER_HINT)
        if status == "NOT_FOUND" and "lease not found" in details:
            return LeaseLost("etcd no longer knows the lease", "it ran out; a new one is needed")
        if status == "INVALID_ARGUMENT":
            if any(known in details for known in _DENIED):
                return Denied(f"etcd refuses: {text}", _USER_HINT)
            return Invalid(f"etcd refuses the request: {text}", "see the limits in etcd's settings")
        self.leave(endpoint)
        if status == "RESOURCE_EXHAUSTED":
            return Unavailable(
                f"etcd refuses writes: {text}", "see `etcdctl alarm list`; compact and defragment"
            )
        return TimedOut(f"etcd's answer was lost: {status} {text}", self.hint)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the etcd client is closed", "this process is ending")

    async def close(self) -> None:
        """Repeatable; whatever is under way fails."""
        self._closed = True
        for endpoint in self._endpoints:
            await endpoint.channel.close()


def _credentials(tls: Tls) -> Any:
    if (tls.cert is None) != (tls.key is None):
        raise Invalid("etcd's client certificate and key come together", "name both, or neither")
    files: list[bytes | None] = []
    for path in (tls.ca, tls.key, tls.cert):
        try:
            files.append(None if path is None else path.read_bytes())
        except OSError as error:
            raise Invalid(f"cannot read {path}: {error.strerror}", "check the path") from error
    return grpc.ssl_channel_credentials(*files)


def _open_channel(address: str, credentials: Any) -> Any:
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)

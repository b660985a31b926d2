"""One channel an etcd endpoint, which one is used now, and new ones when certificates change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog

from cleancut.core.primitives.errors import CleancutError, Denied, Invalid
from cleancut.runtime.watched_files import WatchedFiles

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_REPLACED = 2
"""So many earlier sets of channels stay open: watches on them go on until their streams end."""

Metadata = tuple[tuple[str, str], ...]

METADATA: Metadata = (("hasleader", "true"),)
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


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files; `cert` and `key` come together, or neither."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.ca, self.key, self.cert) if path is not None)


@dataclass(slots=True, eq=False)
class Endpoint:
    """`token`: of the login at this member; None: none yet, "": etcd asks for none.
    `logins`: how often one was got."""

    address: str
    channel: Any
    closed: bool = False
    token: str | None = None
    logins: int = 0


def parse_endpoints(endpoints: Sequence[str]) -> tuple[str, ...]:
    """Raises: Invalid, unless there are some and each is `host:port`."""
    for address in endpoints:
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isdecimal()) or "/" in address:
            raise Invalid(f"etcd endpoint {address!r} is not host:port", "name it as host:2379")
    if not endpoints:
        raise Invalid("no etcd endpoint is named", "name all members, as in a:2379,b:2379,c:2379")
    return tuple(endpoints)


class Channels:
    """Order: built and closed on one running loop. Raises: Invalid, for what cannot be used."""

    def __init__(self, endpoints: Sequence[str], tls: Tls | None) -> None:
        self.addresses = parse_endpoints(endpoints)
        self._tls = tls
        if tls is not None and (tls.cert is None) != (tls.key is None):
            raise Invalid("etcd's client certificate and key come together", "name both or neither")
        self._files = WatchedFiles(tls.files if tls is not None else ())
        self._version = self._files.look()
        self._endpoints = self._opened()
        self._replaced: list[tuple[Endpoint, ...]] = []
        self._current = 0

    @property
    def current(self) -> Endpoint:
        return self._endpoints[self._current]

    def leave(self, endpoint: Endpoint) -> None:
        """The next endpoint becomes the current one, unless somebody has left `endpoint` before."""
        if endpoint is self.current:
            self._current = (self._current + 1) % len(self._endpoints)

    async def refresh(self) -> None:
        """The current endpoint has the certificates that the files hold now. While these cannot be
        read, the ones before stay."""
        version = self._files.look()
        if version == self._version:
            return
        self._version = version
        log = structlog.get_logger("etcd")
        try:
            opened = self._opened()
        except CleancutError as error:
            log.error("etcd certificates unread", cause=error.message, hint=error.hint)
            return
        log.info("etcd certificates read")
        self._replaced.append(self._endpoints)
        self._endpoints = opened
        while len(self._replaced) > MAX_REPLACED:
            await _close(self._replaced.pop(0))

    async def close(self) -> None:
        """Repeatable; whatever is under way fails."""
        for endpoints in (self._endpoints, *self._replaced):
            await _close(endpoints)

    def _opened(self) -> tuple[Endpoint, ...]:
        credentials = None if self._tls is None else self._credentials()
        return tuple(Endpoint(one, _open_channel(one, credentials)) for one in self.addresses)

    def _credentials(self) -> Any:
        try:
            ca, *own = self._files.read()
        except Denied as error:
            raise Invalid(error.message, "check the paths of etcd's certificates") from error
        return grpc.ssl_channel_credentials(ca, *own)


async def _close(endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        endpoint.closed = True
        await endpoint.channel.close()


def _open_channel(address: str, credentials: Any) -> Any:
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)

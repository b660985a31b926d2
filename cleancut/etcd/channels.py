"""Channels to the etcd endpoints: one each, the current one, replacements for new certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from cleancut.core.primitives.errors import CleancutError, Denied, Invalid
from cleancut.runtime.addresses import parse_address
from cleancut.runtime.tls import Tls
from cleancut.runtime.watched_files import WatchedFiles

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_REPLACED = 2
"""Earlier sets of channels that stay open, so that watches on them continue until they end."""

Metadata = tuple[tuple[str, str], ...]

METADATA: Metadata = (("hasleader", "true"),)
"""Makes an endpoint without a leader refuse a call instead of never answering it.

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
    ("grpc.enable_http_proxy", 0),  # http_proxy in the environment is for the store
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
)


@dataclass(slots=True, eq=False)
class Endpoint:
    """`token`: of the login at this member; None before the first, "" if etcd requires none.
    `logins`: the number of logins made."""

    address: str
    channel: Any
    closed: bool = False
    token: str | None = None
    logins: int = 0


class Channels:
    """Order: built and closed on one running loop. Raises: Invalid (an endpoint, a file)."""

    def __init__(self, endpoints: Sequence[str], tls: Tls | None) -> None:
        self.addresses = tuple(endpoints)
        if not self.addresses:
            raise Invalid("no etcd endpoint is set", "list all members: a:2379,b:2379,c:2379")
        for address in self.addresses:
            parse_address(address)
        if tls is not None and tls.ca is None:
            raise Invalid("an etcd client certificate is set without a CA", "set etcd's CA too")
        self._tls = tls
        self._files = WatchedFiles(tls.files if tls is not None else ())
        self._version = self._files.look()
        self._endpoints = self._opened()
        self._replaced: list[tuple[Endpoint, ...]] = []
        self._current = 0

    @property
    def current(self) -> Endpoint:
        return self._endpoints[self._current]

    def leave(self, endpoint: Endpoint) -> None:
        """Makes the next endpoint the current one, unless `endpoint` is no longer current."""
        if endpoint is self.current:
            self._current = (self._current + 1) % len(self._endpoints)

    async def refresh(self) -> None:
        """Reopens all channels if the certificate files have changed; unreadable files change
        nothing."""
        version = self._files.look()
        if version == self._version:
            return
        self._version = version
        log = structlog.get_logger("etcd")
        try:
            opened = self._opened()
        except CleancutError as error:
            log.error("cannot reload etcd certificates", cause=error.message, hint=error.hint)
            return
        log.info("etcd certificates reloaded")
        self._replaced.append(self._endpoints)
        self._endpoints = opened
        while len(self._replaced) > MAX_REPLACED:
            await _close(self._replaced.pop(0))

    async def close(self) -> None:
        """Repeatable; running calls fail."""
        for endpoints in (self._endpoints, *self._replaced):
            await _close(endpoints)

    def _opened(self) -> tuple[Endpoint, ...]:
        credentials = None if self._tls is None else self._credentials(self._tls)
        return tuple(Endpoint(one, _open_channel(one, credentials)) for one in self.addresses)

    def _credentials(self, tls: Tls) -> Any:
        try:
            pem = tls.read(self._files)
        except Denied as error:
            raise Invalid(error.message, "check the paths of etcd's certificates") from error
        return grpc.ssl_channel_credentials(pem.ca, pem.key, pem.cert)


async def _close(endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        endpoint.closed = True
        await endpoint.channel.close()


def _open_channel(address: str, credentials: Any) -> Any:
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)

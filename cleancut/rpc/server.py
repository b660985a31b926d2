"""The gRPC server of a coordinator: TLS, health, reflection, graceful shutdown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cleancut.core.primitives.errors import Unavailable
from cleancut.rpc.audit import Audit
from cleancut.rpc.authentication import Access
from cleancut.rpc.channel import check_plaintext
from cleancut.rpc.forwarding import Forwarding
from cleancut.rpc.interceptors import AuthInterceptor, ErrorInterceptor, ForwardInterceptor
from cleancut.rpc.request_limits import (
    MAX_CALLS,
    MAX_METADATA_BYTES,
    MAX_REQUEST_BYTES,
    MAX_STREAMS,
    MAX_WATCHES,
)
from cleancut.rpc.server_credentials import server_credentials
from cleancut.runtime.addresses import is_loopback, parse_address
from cleancut.runtime.tls import Tls

GRACE_S = 10.0
MIN_PING_INTERVAL_S = 20.0
"""Clients ping every 30 s; gRPC's default of 300 s ends their silent watches (too_many_pings)."""
OPTIONS = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A client whose certificate was revoked keeps its connection this long, plus the grace.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 3_600_000),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.so_reuseport", 0),  # a second coordinator on the same port must fail
)


@dataclass(frozen=True, slots=True)
class Listen:
    """Address and access of a server. Port 0 lets the system choose."""

    address: str
    tls: Tls | None = None
    allow_plaintext: bool = False
    grace_s: float = GRACE_S
    access: Access | None = None
    audit: Audit | None = None
    forwarding: Forwarding | None = None
    min_ping_interval_s: float = MIN_PING_INTERVAL_S
    watches: int = MAX_WATCHES

    def options(self) -> tuple[tuple[str, int], ...]:
        interval_ms = int(self.min_ping_interval_s * 1000)
        return (("grpc.http2.min_ping_interval_without_data_ms", interval_ms), *OPTIONS)

    def authenticator(self) -> AuthInterceptor:
        """Without `access`, every client that can connect is an admin."""
        access = self.access or Access()
        network = not is_loopback(self.address)
        return AuthInterceptor(
            replace(access, plaintext=self.tls is None, network=network),
            self.audit,
            self.forwarding,
            watches=self.watches,
        )


@asynccontextmanager
async def serve(
    listen: Listen, services: Sequence[str], register: Callable[[grpc.aio.Server], None]
) -> AsyncIterator[str]:
    """Serves `services` inside the block; yields the address with the actual port.

    `register` adds the servicers. On exit, health turns NOT_SERVING, watches end, and running
    calls have `grace_s` before they are cancelled.
    Raises: Invalid (plaintext on a network), Denied (TLS files), Unavailable (port in use).
    """
    check_plaintext(listen.address, listen.tls, allow_plaintext=listen.allow_plaintext)
    errors = ErrorInterceptor()
    forwarding = listen.forwarding
    forward = () if forwarding is None else (ForwardInterceptor(forwarding),)
    server = grpc.aio.server(
        interceptors=(errors, listen.authenticator(), *forward),
        options=listen.options(),
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    register(server)
    state = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    for name in services:
        await state.set(name, health_pb2.HealthCheckResponse.SERVING)
    names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    address = _bind(server, listen)
    await server.start()
    try:
        yield address
    finally:
        await state.enter_graceful_shutdown()
        errors.end_streams()
        await server.stop(listen.grace_s)


def _bind(server: grpc.aio.Server, listen: Listen) -> str:
    try:
        if listen.tls is None:
            port = server.add_insecure_port(listen.address)
        else:
            port = server.add_secure_port(listen.address, server_credentials(listen.tls))
    except RuntimeError as error:
        raise Unavailable(
            f"cannot listen on {listen.address}",
            "the port is in use, or this host lacks the address",
        ) from error
    host, _ = parse_address(listen.address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

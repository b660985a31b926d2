"""A gRPC server as every coordinator runs it: TLS, health, reflection, an end in good order."""

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
from cleancut.rpc.channel import Tls, check_plaintext
from cleancut.rpc.interceptors import AuthInterceptor, ErrorInterceptor
from cleancut.rpc.request_limits import (
    MAX_CALLS,
    MAX_METADATA_BYTES,
    MAX_REQUEST_BYTES,
    MAX_STREAMS,
)
from cleancut.rpc.server_credentials import server_credentials
from cleancut.runtime.addresses import is_loopback, split_address

GRACE_S = 10.0
_OPTIONS = (
    # Clients ping every 30 s; a server that is not told so answers GOAWAY too_many_pings.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # So long may somebody go on whose certificate was taken away, and finish what runs then.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 3_600_000),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.so_reuseport", 0),  # two coordinators on one port is a mistake, not a feature
)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen, and who may connect. Port 0 lets the system choose."""

    address: str
    tls: Tls | None = None
    allow_plaintext: bool = False
    grace_s: float = GRACE_S
    access: Access | None = None
    audit: Audit | None = None

    def gate(self) -> AuthInterceptor:
        """Without `access` whoever can connect is an admin."""
        access = self.access or Access()
        network = not is_loopback(self.address)
        return AuthInterceptor(
            replace(access, plaintext=self.tls is None, network=network), self.audit
        )


@asynccontextmanager
async def serve(
    listen: Listen, services: Sequence[str], register: Callable[[grpc.aio.Server], None]
) -> AsyncIterator[str]:
    """Serves `services` inside the block; gives the address with the real port.

    `register` adds the servicers. At the end: health says NOT_SERVING, watches end, and running
    calls get `grace_s` before they are cancelled.
    Raises: Invalid (plaintext on a network), Denied (TLS files), Unavailable (port is taken).
    """
    check_plaintext(listen.address, listen.tls, allow_plaintext=listen.allow_plaintext)
    border = ErrorInterceptor()
    server = grpc.aio.server(
        interceptors=(border, listen.gate()),
        options=_OPTIONS,
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
        border.end_streams()
        await server.stop(listen.grace_s)


def _bind(server: grpc.aio.Server, listen: Listen) -> str:
    try:
        if listen.tls is None:
            port = server.add_insecure_port(listen.address)
        else:
            port = server.add_secure_port(listen.address, server_credentials(listen.tls))
    except RuntimeError as error:
        raise Unavailable(
            f"cannot listen on {listen.address}", "another process has the port, or it is not ours"
        ) from error
    host, _ = split_address(listen.address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

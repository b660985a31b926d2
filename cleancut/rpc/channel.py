"""Channels of gRPC: TLS files in, authenticated connections out. Servers: `server_credentials`.

Plaintext is for loopback, or for a network somebody answers for (`allow_plaintext`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from cleancut.core.primitives.errors import Invalid
from cleancut.runtime.addresses import is_loopback, split_address
from cleancut.runtime.watched_files import WatchedFiles

_CLIENT_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: whom to trust, and who we are. A server without `ca` asks for no certificate, a
    client without `cert` shows none: tokens tell who asks then."""

    ca: Path | None
    cert: Path | None = None
    key: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.ca, self.cert, self.key) if path is not None)


def tls_of(ca: str | None, cert: str | None, key: str | None) -> Tls | None:
    """None if no file is named. Raises: Invalid for a certificate or a key alone."""
    if bool(cert) != bool(key):
        raise Invalid("a certificate and its key come together", "name both, or neither")
    if not (ca or cert):
        return None
    return Tls(*(Path(file) if file else None for file in (ca, cert, key)))


def check_plaintext(address: str, tls: Tls | None, *, allow_plaintext: bool) -> None:
    """Raises: Invalid if everybody on a network could command the cluster at `address`."""
    if tls is None and not allow_plaintext and not is_loopback(address):
        raise Invalid(
            f"{address} would accept commands from the network without TLS",
            "give --grpc-cert, --grpc-key and --grpc-ca or --tokens-file, or listen on 127.0.0.1",
        )


def open_channel(address: str, tls: Tls | None, server_name: str = "") -> grpc.aio.Channel:
    """A channel to `address`; it connects at the first call. `server_name`: who its certificate
    has to name, if not the address. Raises: Invalid, Denied."""
    split_address(address)
    if tls is None:
        return grpc.aio.insecure_channel(address, options=_CLIENT_OPTIONS)
    if tls.ca is None:
        raise Invalid("no CA to know the coordinators by", "give --ca with the certificate")
    ca, *own = WatchedFiles(tls.files).read()
    cert, key = own or (None, None)
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    named = (("grpc.ssl_target_name_override", server_name),) if server_name else ()
    return grpc.aio.secure_channel(address, credentials, options=(*_CLIENT_OPTIONS, *named))


def check_token_line(address: str, tls: Tls | None) -> None:
    """Raises: Invalid, if a token would go over a network in the clear."""
    if tls is None and not is_loopback(address):
        raise Invalid(
            f"the token would go in the clear to {address}",
            "give --ca, so that the coordinator is known and the line is closed",
        )

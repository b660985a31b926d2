"""Channels and credentials of gRPC: TLS files in, mutually authenticated connections out.

Plaintext is for loopback, or for a network somebody answers for (`allow_plaintext`).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from cleancut.errors import Denied, Invalid

_CLIENT_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: whom to trust, and who we are."""

    ca: Path
    cert: Path
    key: Path


def tls_of(ca: str | None, cert: str | None, key: str | None) -> Tls | None:
    """None if no file is named. Raises: Invalid if only some are."""
    if ca and cert and key:
        return Tls(Path(ca), Path(cert), Path(key))
    if ca or cert or key:
        raise Invalid("TLS needs all of CA, certificate and key", "give all three, or none")
    return None


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `H:P`; IPv6 hosts in brackets. Raises: Invalid."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Invalid(f"{address!r} is not an address", "write HOST:PORT, [HOST]:PORT for IPv6")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """True if only processes of the same host can connect there. Raises: Invalid."""
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_plaintext(address: str, tls: Tls | None, *, allow_plaintext: bool) -> None:
    """Raises: Invalid if everybody on a network could command the cluster at `address`."""
    if tls is None and not allow_plaintext and not is_loopback(address):
        raise Invalid(
            f"{address} would accept commands from the network without TLS",
            "give --grpc-ca, --grpc-cert and --grpc-key, or listen on 127.0.0.1",
        )


def open_channel(address: str, tls: Tls | None) -> grpc.aio.Channel:
    """A channel to `address`; it connects at the first call. Raises: Invalid, Denied."""
    split_address(address)
    if tls is None:
        return grpc.aio.insecure_channel(address, options=_CLIENT_OPTIONS)
    credentials = grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.cert))
    return grpc.aio.secure_channel(address, credentials, options=_CLIENT_OPTIONS)


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials that let in only clients with a certificate of `tls.ca`. Raises: Denied."""
    pair = (_read(tls.key), _read(tls.cert))
    return grpc.ssl_server_credentials([pair], _read(tls.ca), require_client_auth=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Denied(
            f"cannot read {path}: {error.strerror}", "check the path and who may read it"
        ) from error

"""Client channels of gRPC, with TLS or, on loopback or an explicitly trusted network, without."""

from __future__ import annotations

import grpc
import grpc.aio

from cleancut.core.primitives.errors import Invalid
from cleancut.runtime.addresses import is_loopback, parse_address
from cleancut.runtime.tls import Tls
from cleancut.runtime.watched_files import WatchedFiles

OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_http_proxy", 0),  # http_proxy in the environment is for the store
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def check_plaintext(address: str, tls: Tls | None, *, allow_plaintext: bool) -> None:
    """Raises: Invalid, if `address` is on a network without TLS or `allow_plaintext`."""
    if tls is None and not allow_plaintext and not is_loopback(address):
        raise Invalid(
            f"the API at {address} would be open to the network without TLS",
            "set --grpc-cert, --grpc-key and --grpc-ca or --tokens-file, or listen on 127.0.0.1",
        )


def open_channel(address: str, tls: Tls | None, server_name: str = "") -> grpc.aio.Channel:
    """A channel to `address`, which connects at the first call. `server_name`: the name that the
    server's certificate must hold, if it is not the address. Raises: Invalid, Denied."""
    parse_address(address)
    if tls is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    if tls.ca is None:
        raise Invalid("a client certificate is set without a CA", "add --ca")
    pem = tls.read(WatchedFiles(tls.files))
    credentials = grpc.ssl_channel_credentials(pem.ca, pem.key, pem.cert)
    override = (("grpc.ssl_target_name_override", server_name),) if server_name else ()
    return grpc.aio.secure_channel(address, credentials, options=(*OPTIONS, *override))


def check_token_line(address: str, tls: Tls | None) -> None:
    """Raises: Invalid, if a token would cross a network in plaintext."""
    if tls is None and not is_loopback(address):
        raise Invalid(
            f"the token would be sent to {address} in plaintext",
            "set --ca, so that the connection is encrypted and the coordinator verified",
        )

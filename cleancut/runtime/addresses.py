"""Network addresses as `HOST:PORT`, and the test for those that never leave the host."""

from __future__ import annotations

import ipaddress

from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.numbers import whole_number


def parse_address(text: str) -> tuple[str, int]:
    """Host and port; an IPv6 host is written in brackets and returned without them.

    An empty host is an error: it would mean "all interfaces" to a server and nothing to a client.
    Raises: Invalid.
    """
    host, _, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not host or any(sign in host for sign in "/[],") or (":" in host) != bracketed:
        raise _invalid(text)
    port = whole_number(digits)
    if port is None or port > 65535:
        raise _invalid(text)
    return host, port


def parse_addresses(text: str) -> tuple[str, ...]:
    """The addresses of a comma-separated list. Raises: Invalid, also for an empty list."""
    addresses = tuple(part.strip() for part in text.split(",") if part.strip())
    if not addresses:
        raise Invalid("the list of addresses is empty", "write HOST:PORT, separated by commas")
    for address in addresses:
        parse_address(address)
    return addresses


def _invalid(text: str) -> Invalid:
    hint = "write HOST:PORT, [HOST]:PORT for IPv6, 0.0.0.0:PORT for all interfaces of a server"
    if "://" in text:
        return Invalid(f"invalid address {text!r}: it is a URL", f"{hint}; without a scheme")
    if text and ":" not in text:
        return Invalid(f"invalid address {text!r}: the port is missing", hint)
    return Invalid(f"invalid address {text!r}", hint)


def is_ip(address: str) -> bool:
    """True if the host is an IP address, not a name. Raises: Invalid."""
    try:
        ipaddress.ip_address(parse_address(address)[0])
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """True if only processes of the same host can connect to it. Raises: Invalid."""
    return is_loopback_host(parse_address(address)[0])


def is_loopback_host(host: str) -> bool:
    """As `is_loopback`, for a host without a port."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

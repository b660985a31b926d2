"""Addresses as people write them, and which of them no network can hear."""

from __future__ import annotations

import ipaddress

from cleancut.core.primitives.errors import Invalid


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `H:P`; IPv6 hosts in brackets. Raises: Invalid."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Invalid(f"{address!r} is not an address", "write HOST:PORT, [HOST]:PORT for IPv6")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_ip(address: str) -> bool:
    """True if the host is a number and no name. Raises: Invalid."""
    try:
        ipaddress.ip_address(split_address(address)[0])
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """True if only processes of the same host can connect there. Raises: Invalid."""
    return is_loopback_host(split_address(address)[0])


def is_loopback_host(host: str) -> bool:
    """As `is_loopback`, of a host alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

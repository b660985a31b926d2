"""Free ports, for servers that take theirs as an argument."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

_RANGE = range(10_240, 32_768)
"""Below those that systems give to connections, which would take one before its server starts."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago, all different, chosen at random: so others who
    look at the same time hardly find the same."""
    ports: list[int] = []
    with ExitStack() as stack:
        for port in random.sample(_RANGE, len(_RANGE)):
            with suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                break
    return ports

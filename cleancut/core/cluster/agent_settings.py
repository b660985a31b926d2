"""Limits of agents on the network and the local disk, adjustable while they run. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid

MIB = 1024 * 1024
MAX_UPLOADS = 16
LEAST_RATE = 64 * 1024
"""Bytes a second: an object of 8 MiB must get through before an upload counts as stalled."""


class UploadSettings(Record, frozen=True):
    """`settings` in etcd, for each agent alike.

    `upload_bytes_per_s`, `read_bytes_per_s` (of segment files) 0: no limit. `uploads`: at a time.
    `spill_bytes`: may wait for the store in the spill directory; `spill_floor_bytes`: stay free on
    that disk.
    """

    upload_bytes_per_s: int = 0
    uploads: int = 4
    spill_bytes: int = 4096 * MIB
    spill_floor_bytes: int = 512 * MIB
    nonce: str = ""
    read_bytes_per_s: int = 0


def check_settings(settings: UploadSettings) -> UploadSettings:
    """`settings`, if they are valid. Raises: Invalid."""
    rates = {"upload": settings.upload_bytes_per_s, "read": settings.read_bytes_per_s}
    for name, rate in rates.items():
        if rate < 0 or 0 < rate < LEAST_RATE:
            raise Invalid(
                f"{name} rate {rate} bytes/s is too low",
                f"use {LEAST_RATE // 1024} KiB or more, or 0 for unlimited",
            )
    if not 1 <= settings.uploads <= MAX_UPLOADS:
        raise Invalid(f"invalid number of uploads: {settings.uploads}", f"use 1 to {MAX_UPLOADS}")
    if settings.spill_bytes < 0 or settings.spill_floor_bytes < 0:
        raise Invalid("the spill limit or floor is negative", "use 0 to keep everything in memory")
    return settings


def check_spill_limit(spill_bytes: int, bounds: Mapping[str, int]) -> None:
    """Raises: Invalid, if an agent may not spill that much. `bounds`: those of agents, by name."""
    for name, bound in sorted(bounds.items(), key=lambda one: one[1])[:1]:
        if spill_bytes > bound:
            raise Invalid(
                f"the spill limit of {spill_bytes / MIB:.0f} MiB exceeds what agent {name} may"
                f" spill: {bound / MIB:.0f} MiB",
                "its --spill-max follows from the size of its spill volume: enlarge that first"
                " (agent.spillSize of the chart), or choose a lower limit",
            )


class RateLimiter(msgspec.Struct):
    """Limits the average rate of bytes: a caller waits until earlier bytes are paid for.

    `owed`: bytes not paid for at `seen_s`.
    """

    owed: float = 0.0
    seen_s: float = 0.0

    def wait_s(self, now_s: float, rate: int) -> float:
        """Seconds until the next may be sent; 0: now. `rate` 0: unlimited."""
        self.owed = max(0.0, self.owed - rate * max(0.0, now_s - self.seen_s)) if rate else 0.0
        self.seen_s = now_s
        return self.owed / rate if rate else 0.0

    def went(self, size_bytes: int) -> None:
        """Counts bytes as sent. Order: after `wait_s` allowed them."""
        self.owed += size_bytes

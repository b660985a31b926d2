"""Port of a clock."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time for liveness; safety never depends on it."""

    def monotonic_s(self) -> float:
        """Seconds that go on in suspend (CLOCK_BOOTTIME); comparable in this process only."""
        ...

    def wall_s(self) -> float:
        """Seconds since 1970, UTC; for people only."""
        ...

    async def sleep(self, seconds: float) -> None: ...

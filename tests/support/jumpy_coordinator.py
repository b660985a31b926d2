"""The coordinator as it is, with a clock that is ahead: `$CLEANCUT_TEST_AHEAD` holds seconds."""

from __future__ import annotations

import os

import cleancut_coordinator.main
from cleancut.runtime.clock import SystemClock

AHEAD = "CLEANCUT_TEST_AHEAD"


class JumpyClock(SystemClock):
    def wall_s(self) -> float:
        return super().wall_s() + float(os.environ.get(AHEAD, "0"))


if __name__ == "__main__":
    cleancut_coordinator.main.SystemClock = JumpyClock  # type: ignore[misc]
    cleancut_coordinator.main.main()

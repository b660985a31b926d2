"""The agent as it is, with a clock that jumps: `$CLEANCUT_TEST_JUMP` names a file of seconds."""

from __future__ import annotations

import os
from pathlib import Path

import cleancut_agent.main
from cleancut.runtime.clock import SystemClock

JUMP = "CLEANCUT_TEST_JUMP"


class JumpyClock(SystemClock):
    """Both clocks are ahead by what the file says; 0 without one."""

    def monotonic_s(self) -> float:
        return super().monotonic_s() + _ahead_s()

    def wall_s(self) -> float:
        return super().wall_s() + _ahead_s()


def _ahead_s() -> float:
    try:
        return float(Path(os.environ[JUMP]).read_text() or 0)
    except (OSError, ValueError):
        return 0.0


if __name__ == "__main__":
    cleancut_agent.main.SystemClock = JumpyClock  # type: ignore[misc]
    cleancut_agent.main.main()

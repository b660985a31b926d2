"""How many files an agent holds open."""

from __future__ import annotations

import resource
import subprocess
import sys

from cleancut_agent.capture.handles import Handles, handles_of_process

_RAISED = """
import resource
from cleancut_agent.capture.handles import handles_of_process, raise_file_limit
soft, hard = {limits}
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_file_limit(), handles_of_process().free)
"""


def raised(soft: int, hard: int) -> list[int]:
    """The limit and the free handles of a process that begins with these limits."""
    done = subprocess.run(
        [sys.executable, "-c", _RAISED.format(limits=(soft, hard))],
        capture_output=True,
        check=True,
        text=True,
    )
    return [int(number) for number in done.stdout.split()]


def test_the_limit_of_open_files_is_raised_to_what_the_process_may_ask_for() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert raised(256, 1000) == [1000, 250]
    if hard == resource.RLIM_INFINITY or hard >= 1 << 17:
        assert raised(1024, 1 << 17) == [65536, 16384]


def test_handles_are_taken_one_by_one() -> None:
    handles = Handles(1)
    assert handles.take()
    assert not handles.take()
    handles.give()
    assert handles.take()
    assert handles_of_process().free > 0

"""The demo itself, small: its figures, its exit code, and that it leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cleancut_devcluster.launch.qdrant import Kind

SMALL = ("--points", "6000", "--dims", "128", "--writers", "2")
RUN_S = 150


@contextmanager
def started(kind: Kind, base_dir: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process, which is gone after the block."""
    command = [sys.executable, "-m", "cleancut.cli.main", "demo", "--qdrant", kind, *more]
    with subprocess.Popen(
        [*command, *SMALL, "--base-dir", str(base_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], word: str) -> None:
    """Returns once a line of stderr has `word`; it fails if the demo ends before."""
    assert process.stderr is not None
    assert any(word in line for line in process.stderr)


def left_running(base_dir: Path) -> list[str]:
    """Command lines of processes that name the set-up's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(base_dir) in line:
                found.append(line)
    return found


def test_demo_shows_that_all_is_equal(kind: Kind, tmp_path: Path) -> None:
    """Exit code 0 only with a quiet second backup, no lost point and equal answers."""
    base_dir = tmp_path / "demo"
    with started(kind, base_dir, "-o", "json") as process:
        out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, err[-3000:]
    told = json.loads(out)
    demo = told["demo"]
    assert told["schema"] == 1
    assert told["equal"] is True
    assert demo["backup_2"]["consistency"] == "point-in-time"
    assert demo["backup_2"]["unchanged_shards"] == demo["backup_2"]["shards"] == 6
    assert demo["chains"]["points"] > 0
    assert demo["chains"]["lost"] == 0
    assert demo["takeover_s"] > 0
    assert len(demo["comparisons"]) >= 10
    assert all(one["equal"] for one in demo["comparisons"])
    assert left_running(base_dir) == []


def test_demo_ends_in_order_when_it_is_interrupted(kind: Kind, tmp_path: Path) -> None:
    """As by Ctrl-C in the middle: everything is stopped, and the exit code says so."""
    base_dir = tmp_path / "demo"
    with started(kind, base_dir) as process:
        read_until(process, "Loading")
        assert left_running(base_dir)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
    assert left_running(base_dir) == []


def test_nothing_outlives_a_demo_that_is_killed(kind: Kind, tmp_path: Path) -> None:
    """SIGKILL leaves no time to clean up: the system ends what it had started."""
    base_dir = tmp_path / "demo"
    with started(kind, base_dir) as process:
        read_until(process, "Loading")
        process.kill()
        process.wait(10)
        end_s = time.monotonic() + 30
        while left_running(base_dir):
            assert time.monotonic() < end_s, left_running(base_dir)

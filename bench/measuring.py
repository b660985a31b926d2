"""Runs programs as processes, and measures what they use."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleancut.core.primitives.errors import CleancutError
from cleancut.runtime.concurrency import until_signal

MIB = 1024 * 1024
RUN_S = 300.0


@dataclass
class Run:
    """One program, one backup. `took_s` is what counts; `process_s` is the whole process.
    `tree_bytes`: the most that it and its children held together, without mapped files."""

    took_s: float
    process_s: float
    cpu_s: float
    peak_bytes: int
    held_bytes: int = 0
    tree_bytes: int = 0
    detail: dict[str, Any] = field(default_factory=dict)


def run_bench(
    work: Coroutine[Any, Any, None], measured: Callable[[], list[dict[str, Any]]] = list
) -> int:
    """The exit code of a benchmark. Order: the rows of `measured` are printed however it ends."""
    try:
        asyncio.run(until_signal(work))
    except CleancutError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        if rows := measured():
            show(rows, list(rows[0]))
    return 0


def measure(command: list[str], environment: dict[str, str], directory: Path) -> Run:
    """Raises: AssertionError with the program's output, unless it succeeds within 300 s."""
    with (directory / "output").open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=output, stderr=output, cwd=directory
        )
        peak_bytes = tree_bytes = 0
        while True:
            peak_bytes = max(peak_bytes, peak_of(process.pid))
            tree_bytes = max(tree_bytes, tree_of(process.pid))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            took_s = time.perf_counter() - started
            if pid:
                break
            if took_s > RUN_S:
                process.kill()
            time.sleep(0.005)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = (directory / "output").read_text(errors="replace")[-2000:]
    assert process.returncode == 0, f"{command[:3]} failed: {text}"
    return Run(took_s, took_s, usage.ru_utime + usage.ru_stime, peak_bytes, tree_bytes=tree_bytes)


def peak_of(pid: int) -> int:
    """Its peak RSS so far (wait4's figure would count the parent's before exec)."""
    return _status(pid, "VmHWM")


def tree_of(pid: int) -> int:
    """What it and its children hold, without files that are mapped."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(_status(one, "RssAnon") for one in (pid, *map(int, children)))


def _status(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(ln.split()[1]) * 1024 for ln in lines if ln.startswith(field)), 0)


def cpu_s(pid: int) -> float:
    """Of a running process and all its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(rows: list[dict[str, Any]], head: list[str]) -> None:
    """Prints what stands under `head` of each row, in columns."""
    cells = [head, *([str(row[key]) for key in head] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))

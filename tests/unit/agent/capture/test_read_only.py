"""Segment files of a process that may only read, on a mount that is read-only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.segment_dirs import BIG_BYTES, Mapped, made, needs_proving_disk

QUIET, WRITTEN = "s1/chunk_0.mmap", "s1/chunk_1.mmap"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Has the directory `segments` mounted read-only, and no rights."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting needs root and unshare")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no mount namespace")
    command = ["unshare", "-m", sys.executable, "-m", "tests.support.read_only_reader"]
    with subprocess.Popen(
        [*command, str(tmp_path / "segments")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        if process.stdin:
            process.stdin.close()
    assert process.returncode == 0


def test_a_store_is_noticed_without_the_right_to_write(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    needs_proving_disk(tmp_path)
    for path in (QUIET, WRITTEN):
        made(tmp_path / "segments", path)
    mapped = Mapped(tmp_path / "segments" / WRITTEN)
    mapped.store()
    process: subprocess.Popen[str] = request.getfixturevalue("reader")
    assert process.stdin
    assert process.stdout
    assert json.loads(process.stdout.readline()) == [2, [QUIET, WRITTEN], True]
    mapped.store(data=b"\xfe")
    process.stdin.write("\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline()) == [
        [WRITTEN],
        {QUIET: BIG_BYTES, WRITTEN: BIG_BYTES},
    ]
    mapped.close()

"""Captures from the disk under writers of atomic groups: a sample of the search for torn ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut_devcluster.launch.qdrant import real_binary
from tests.chaos.torn_captures import parse, search
from tests.support.segment_dirs import needs_proving_disk


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.skipif(real_binary() is None, reason="needs a real Qdrant")
@pytest.mark.parametrize("more", [["--plain", "--settled-ms", "50"], []])
def test_no_capture_is_torn(more: list[str], tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    needs_proving_disk(tmp_path)
    options = parse(["--captures", "20", "--points", "40000", *more])
    figures = asyncio.run(search(options, tmp_path))
    assert figures.faults == []
    assert figures.with_direct

"""The clusters that the suite runs on: the stand-in always, a real server where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleancut_devcluster.launch.qdrant import Kind, launch_peers, real_binary
from tests.contract.qdrant.world import World

PEERS = 3
NO_REAL_SERVER = "no real Qdrant server: set QDRANT_BIN, or put qdrant on PATH"


@pytest.fixture(
    scope="session", params=["standin", pytest.param("real", marks=pytest.mark.real_qdrant)]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of peer; the real one is skipped where there is no server."""
    if request.param == "real" and real_binary() is None:
        pytest.skip(NO_REAL_SERVER)
    chosen: Kind = request.param
    return chosen


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The event loop that the peers of the session live on."""
    with asyncio.Runner() as one:
        yield one


@pytest.fixture(scope="session")
def world(
    kind: Kind, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Three peers; tests share them, and leave them running and whole."""
    yield from _started(kind, runner, tmp_path_factory.mktemp(kind))


@pytest.fixture
def fresh(kind: Kind, runner: asyncio.Runner, tmp_path: Path) -> Iterator[World]:
    """Three peers of its own, for a test that kills some: two of them still are a majority."""
    yield from _started(kind, runner, tmp_path)


def _started(kind: Kind, runner: asyncio.Runner, directory: Path) -> Iterator[World]:
    peers = launch_peers(PEERS, directory, kind)
    started = World(runner, runner.run(peers.__aenter__()))
    try:
        yield started
    finally:
        runner.run(started.close())
        runner.run(peers.__aexit__(None, None, None))

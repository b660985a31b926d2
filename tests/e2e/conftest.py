"""Whole set-ups of real processes: on the stand-in always, on a real server where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cleancut_devcluster.launch.qdrant import Kind, PeerProcess, launch_peers, real_binary
from tests.e2e.world import Launcher, World
from tests.support.s3_server import S3Server

NO_REAL_SERVER = "no real Qdrant server: set QDRANT_BIN, or put qdrant on PATH"
Launch = Callable[..., World]


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
    """The event loop that all processes of the session live on."""
    with asyncio.Runner() as one:
        yield one


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server; each file of tests makes buckets of its own."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def pair(
    kind: Kind, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[PeerProcess]]:
    """A cluster of two peers, for all tests of a file."""
    block = launch_peers(2, tmp_path_factory.mktemp("peers"), kind)
    yield runner.run(block.__aenter__())
    runner.run(block.__aexit__(None, None, None))


@pytest.fixture
def launch(kind: Kind, runner: asyncio.Runner, tmp_path: Path) -> Iterator[Launch]:
    """Starts set-ups that end with the test."""
    with ExitStack() as stack:
        yield Launcher(stack, runner, kind, tmp_path)


@pytest.fixture(scope="module")
def launch_module(
    kind: Kind, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    """Starts set-ups that end with the test's file."""
    with ExitStack() as stack:
        yield Launcher(stack, runner, kind, tmp_path_factory.mktemp("setups"))


@pytest.fixture(scope="module")
def world(launch_module: Launch) -> World:
    """Three peers and two coordinators with small data; tests leave them running and whole."""
    one = launch_module()
    one.fill()
    return one

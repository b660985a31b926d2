"""What is struck: one cluster for as many cells as leave it whole, and the table at the end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from cleancut_devcluster.launch.qdrant import Kind
from tests.chaos.arena import SEED, Arena, Result, open_arena
from tests.chaos.backups import FaultResult
from tests.chaos.killer import Outside
from tests.e2e.conftest import kind, runner
from tests.e2e.world import Launcher
from tests.support.etcd_cluster import EtcdCluster
from tests.support.s3_server import S3Server

__all__ = ["kind", "runner"]
FAULTS = pytest.StashKey[list[FaultResult]]()
RESULTS = pytest.StashKey[list[Result]]()


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    """Three members of etcd, and a store whose credentials all processes inherit."""
    with (
        EtcdCluster(3) as members,
        S3Server() as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in store.environment().items():
            patch.setenv(name, value)
        yield Outside(members, store)


@pytest.fixture(scope="module")
def arenas(
    kind: Kind,
    runner: asyncio.Runner,
    outside: Outside,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Arena]]:
    """The arena; another one after a cell that left it broken."""
    number, stack, arena = itertools.count(1), ExitStack(), None

    def current() -> Arena:
        nonlocal arena
        if arena is None or arena.broken:
            stack.close()
            launch = Launcher(stack, runner, kind, tmp_path_factory.mktemp("arena"))
            arena = open_arena(launch, outside, f"arena-{kind}-{next(number)}")
        return arena

    with stack:
        yield current


@pytest.fixture
def results(request: pytest.FixtureRequest) -> list[Result]:
    """What the table at the end shows."""
    return request.config.stash.setdefault(RESULTS, [])


@pytest.fixture
def fault_results(request: pytest.FixtureRequest) -> list[FaultResult]:
    """What the other table shows."""
    return request.config.stash.setdefault(FAULTS, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The matrices as far as they were run, with what was left to chance."""
    faults = config.stash.get(FAULTS, [])
    if faults:
        terminalreporter.section(f"fault matrix, {len(faults)} cells")
    for fault in faults:
        told = f"{fault.cell!s:40} -> {fault.verdict} after {fault.took_s:.1f} s, attempt"
        told += f" {fault.attempts}, fenced {fault.fenced_s:.2f} s ({fault.struck})"
        terminalreporter.write_line(f"{told} {fault.failure}".rstrip())
    results = config.stash.get(RESULTS, [])
    if not results:
        return
    terminalreporter.section(f"kill matrix, {len(results)} cells, seed {SEED}")
    for one in sorted(results, key=lambda one: str(one.cell)):
        hit = f"{one.struck} hit in {one.hit}" if one.hit else one.struck
        line = f"{one.cell!s:26} -> {one.verdict} after {one.took_s:.1f} s"
        line += f" ({hit}; {one.chosen})"
        terminalreporter.write_line(f"{line} {one.failure}".rstrip())

"""Whatever fails in whichever phase of a fenced backup under writes: it ends committed, complete
and of one instant, or aborted without a trace; no fence outlives its budget by over a second."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from cleancut.core.protocol.states import Phase
from cleancut_devcluster.demo.data import Data
from cleancut_devcluster.launch.qdrant import Kind
from tests.chaos.backups import SHAPE, BackupArena, FaultCell, FaultResult, set_stage
from tests.chaos.faults import Fault
from tests.chaos.jumpy_agent import JUMP
from tests.chaos.killer import Outside
from tests.chaos.matrix import record
from tests.e2e.world import Launcher, World

PHASES = (Phase.PREPARE, Phase.FENCE, Phase.CUT, Phase.SEAL, Phase.UPLOAD, Phase.COMMIT)
CELLS = [FaultCell(fault, phase) for phase in PHASES for fault in Fault]
SAMPLE = [
    FaultCell(Fault.LEADER_KILLED, Phase.FENCE),
    FaultCell(Fault.STORE_ERRORS, Phase.UPLOAD),
]
"""The cells that every run of all tests has."""


def fill(world: World) -> None:
    async def body() -> None:
        async with Data(world.setup.peers[0].url, SHAPE) as data:
            await data.create()
            await data.load()

    world.run(body())


def open_arena(launch: Launcher, stack: ExitStack, outside: Outside, name: str) -> BackupArena:
    """Three peers with replicated shards, three agents, two coordinators."""
    url = outside.store.url(outside.store.make_bucket(name))
    etcd = ",".join(outside.members.endpoints)
    world = launch(peers=3, coordinators=0, store=url, etcd=etcd, cluster=name)
    fill(world)
    block = set_stage(world, outside, launch.root / "jump")
    stage = launch.runner.run(block.__aenter__())
    stack.callback(lambda: launch.runner.run(block.__aexit__(None, None, None)))
    return BackupArena(world, outside, stage)


@pytest.fixture(scope="module")
def backup_arenas(
    kind: Kind,
    runner: asyncio.Runner,
    outside: Outside,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], BackupArena]]:
    """The arena; another one after a cell that left it broken."""
    number, stack, arena = itertools.count(1), ExitStack(), None

    def current() -> BackupArena:
        nonlocal arena
        if arena is None or arena.broken:
            stack.close()
            outside.members.repair()
            root = tmp_path_factory.mktemp("arena")
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setenv(JUMP, str(root / "jump"))
            launch = Launcher(stack, runner, kind, root)
            arena = open_arena(launch, stack, outside, f"faults-{kind}-{next(number)}")
        return arena

    with stack:
        yield current


def marks(cell: FaultCell) -> list[pytest.MarkDecorator]:
    return [pytest.mark.chaos, *([pytest.mark.sample] if cell in SAMPLE else [])]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "cell", [pytest.param(cell, id=str(cell), marks=marks(cell)) for cell in CELLS]
)
def test_a_backup_is_whole_or_not_there(
    backup_arenas: Callable[[], BackupArena],
    cell: FaultCell,
    kind: Kind,
    fault_results: list[FaultResult],
) -> None:
    """Committed: verified from the store alone, fenced, no hole in any chain of its shards.
    Aborted: not in the catalog, a reason, and the next backup succeeds. No fence is left."""
    arena = backup_arenas()
    if cell.fault is Fault.AGENT_DISK and arena.stage.disk is None:
        pytest.skip("a small disk needs the right to mount one")
    result = arena.run_cell(cell)
    fault_results.append(result)
    record(result, kind)
    assert result.wrong == []
    assert result.hit is not None, f"missed: {result}"

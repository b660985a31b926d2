"""A whole cluster under causal writers, in which fenced backups are struck."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cleancut.core.primitives.errors import CleancutError, TimedOut
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, Operation
from cleancut.core.protocol.fence import leftover_fences
from cleancut.core.protocol.states import Phase, State
from cleancut.etcd.client import Etcd, open_etcd
from cleancut_devcluster.demo.chains import read_chains
from cleancut_devcluster.demo.data import ALIAS, COLLECTION, Data, Shape
from cleancut_devcluster.demo.writers import Chain, find_holes, wait_written, writing
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.qdrant import PeerProcess
from cleancut_devcluster.launch.setup import Coordinator, Setup
from tests.chaos.faults import Fault, Stage, Wires
from tests.chaos.killer import Blow, Killer, Outside, Trace, read_ctl, traced, wait_over
from tests.e2e.world import World
from tests.support.tcp_links import Link, open_links

SHAPE = Shape(points=600, dims=8, shards=3, replicas=2, segments=1)
WRITERS, PAUSE_S = 2, 0.02
BUDGET_S = 5.0
CREATE = (
    *("--fence", f"alias={ALIAS}", "--fence-budget", f"{BUDGET_S:g}s"),
    *("--attempts", "8", "--no-wait"),
)
LIFTED_WITHIN_S = BUDGET_S + 1.0
POLL_S = 0.05
ASK_S = 0.5
SILENT_S = 1.5
ENDS_S, RUN_S = 240.0, 400.0
DOWN_S = (0.5, 3.0, 8.0)
SEED = 5
DISK_KIB = 1024


@dataclass(frozen=True, slots=True)
class FaultCell:
    """`phase` of a backup in which `fault` begins."""

    fault: Fault
    phase: Phase

    def __str__(self) -> str:
        return f"{self.fault} in {self.phase}"


@dataclass(slots=True)
class FaultResult:
    """How one cell ended. `hit`: the phase in which the fault really began; None: it missed.
    `fenced_s`: the longest time that any peer showed the fence."""

    cell: FaultCell
    struck: str = ""
    hit: Phase | None = None
    state: State = State.PENDING
    attempts: int = 0
    took_s: float = 0.0
    fenced_s: float = 0.0
    failure: str = ""
    wrong: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.wrong:
            return "WRONG: " + "; ".join(self.wrong)
        if self.hit is None:
            return "missed"
        return "committed" if self.state is State.COMMITTED else "aborted"


@dataclass(slots=True)
class Watcher:
    """For how long each peer shows a fence, by what it answers itself."""

    longest_s: float = 0.0

    async def watch(self, peer: PeerProcess) -> None:
        """Never returns. A peer that has not answered for a while shows nothing: what it shows when
        it is back, before it has heard of what happened meanwhile, counts from then."""
        since: dict[str, float] = {}
        answered_s = time.monotonic()
        async with peer.client() as qdrant:
            while True:
                with suppress(CleancutError):
                    names = {one.name for one in leftover_fences(await qdrant.aliases(ASK_S))}
                    now_s = time.monotonic()
                    if now_s - answered_s > SILENT_S:
                        since = {}
                    answered_s = now_s
                    since = {name: since.get(name, now_s) for name in names}
                    self.longest_s = max(
                        self.longest_s, *(now_s - began_s for began_s in since.values()), 0.0
                    )
                await asyncio.sleep(POLL_S)


@dataclass(slots=True)
class BackupArena:
    """Cells run one after the other; `broken` after one that did not leave it whole."""

    world: World
    outside: Outside
    stage: Stage
    broken: bool = False
    chains: int = 0

    @property
    def keys(self) -> Keys:
        return Keys(ClusterName(self.world.setup.cluster))

    def run_cell(self, cell: FaultCell) -> FaultResult:
        """The cell's result; one that came too late is tried again."""
        self.broken = True  # until the very end has been seen
        chosen = random.Random(f"{SEED} {cell}")
        choice, down_s = chosen.randrange(60), chosen.choice(DOWN_S)
        for _ in range(5):
            result = self.world.runner.run(self._strike(cell, choice, down_s))
            if result.hit is not None or result.wrong:
                break
        self.world.run(self.world.setup.wait_agents())
        self.broken = bool(result.wrong)
        return result

    async def _strike(self, cell: FaultCell, choice: int, down_s: float) -> FaultResult:
        result, watcher = FaultResult(cell), Watcher()
        setup = self.world.setup
        self.chains += WRITERS
        async with (
            asyncio.timeout(RUN_S),
            open_etcd(self.outside.members.endpoints) as etcd,
            traced(etcd, self.keys) as trace,
            Data(setup.peers[0].url, SHAPE, collection=ALIAS) as data,
        ):
            self.stage.killer = Killer(setup, etcd, self.outside, self.keys)
            blow = await self.stage.aim(cell.fault, choice)
            result.struck = blow.name
            async with (
                watching(watcher, setup.peers),
                writing(data, WRITERS, patient=True, pause_s=PAUSE_S, first=self.chains) as chains,
            ):
                await wait_written(chains, 3)
                done = await self._one_backup(etcd, trace, blow, result=result, down_s=down_s)
                await wait_written(chains, 1 + max(len(c.acknowledged_s) for c in chains), ENDS_S)
            result.state, result.attempts = done.state, done.attempts
            result.fenced_s = watcher.longest_s
            ended = done.state is not State.COMMITTED and done.failure is not None
            result.failure = done.failure.message if ended and done.failure else ""
            if result.hit is not None:
                result.wrong += await self._judge(etcd, done, chains)
            if result.fenced_s > LIFTED_WITHIN_S:
                result.wrong.append(f"fenced for {result.fenced_s:.1f} s")
        return result

    async def _one_backup(
        self, etcd: Etcd, trace: Trace, blow: Blow, *, result: FaultResult, down_s: float
    ) -> Operation:
        cell = result.cell
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start(trace))
            async with asyncio.timeout(ENDS_S):
                await trace.reach(cell.phase)
            before = trace.ctl
            blow.strike()
            struck_s = time.monotonic()
            after = before if cell.fault.of_etcd else await read_ctl(etcd, self.keys)
            if before.phase == after.phase == cell.phase:
                result.hit = cell.phase
            await self._recover(etcd, before, blow, down_s)
        done = await wait_over(etcd, self.keys, before.operation, ENDS_S)
        result.took_s = time.monotonic() - struck_s
        return done

    async def _start(self, trace: Trace) -> None:
        """The answer may be lost with who gives it; what was started is seen in etcd."""
        with suppress(TimedOut):
            answer = await self.world.setup.cleancut("backup", "create", *CREATE, timeout_s=60.0)
            if not trace.phases:
                answer.check()

    async def _recover(self, etcd: Etcd, ctl: Ctl, blow: Blow, down_s: float) -> None:
        if blow.until_noticed is not None:
            await blow.until_noticed()
        else:
            with suppress(TimedOut):
                await wait_over(etcd, self.keys, ctl.operation, down_s)
        await blow.repair()

    # The verdict

    async def _judge(self, etcd: Etcd, done: Operation, chains: list[Chain]) -> list[str]:
        """What is half done, torn, or left over."""
        wrong = await self._left_over(etcd)
        if done.state is State.COMMITTED:
            return wrong + await self._judge_group(done, chains)
        if done.state is not State.ABORTED:
            return [*wrong, f"it ended {done.state}"]
        if done.failure is None:
            wrong.append("it was aborted and does not say why")
        groups = (await self.world.setup.catalog("backup", "list")).value("backups")
        if done.id in {group["id"] for group in groups}:
            wrong.append("it was aborted and is in the catalog")
        await self.world.setup.wait_agents()
        again = await self.world.setup.cleancut("backup", "create")
        if again.exit_code:
            wrong.append(f"the next backup fails: {again.err[-300:]}")
        return wrong

    async def _judge_group(self, done: Operation, chains: list[Chain]) -> list[str]:
        setup, name = self.world.setup, str(done.epoch)
        wrong = []
        verdict = await setup.catalog("backup", "verify", name)
        if verdict.exit_code:
            wrong.append(f"its group is not as it was committed: {verdict.err[-300:]}")
        evidence = verdict.value("verify")["evidence"]
        if not evidence["fenced"]:
            wrong.append(f"it is {evidence['consistency']}, and not fenced")
        holes = find_holes(chains, await read_chains(setup, name, SHAPE.shards), None)
        if holes.holes:
            wrong.append(f"{holes.holes} holes in the chains")
        return wrong

    async def _left_over(self, etcd: Etcd) -> list[str]:
        """Fences that stay, on any peer or in etcd, although they had time to go."""
        last: list[str] = []

        async def clean() -> bool | None:
            fences = await etcd.list(self.keys.fences)
            last[:] = [f"left over: {item.key}" for item in fences.items]
            for peer in self.world.setup.peers:
                async with peer.client() as qdrant:
                    found = await qdrant.aliases()
                if found != {ALIAS: COLLECTION}:
                    last.append(f"{peer.name} has aliases {found}")
            return None if last else True

        try:
            await wait_for(clean, "fences to be gone", 30.0)
        except TimedOut as error:
            return last or [str(error)]
        return []


@asynccontextmanager
async def watching(watcher: Watcher, peers: list[PeerProcess]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watcher.watch(peer)) for peer in peers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


# Setting the stage


def small_disk(directory: Path) -> Path | None:
    """A file system of its own at `directory`, for who may mount one; else None."""
    directory.mkdir(parents=True)
    size = f"size={DISK_KIB}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(directory)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        return None
    return directory if done.returncode == 0 else None


@contextmanager
def connected(setup: Setup, wires: Wires) -> Iterator[None]:
    """What is started in the block reaches etcd by these wires."""
    direct = setup.etcd_endpoint
    setup.etcd_endpoint = ",".join(link.address for link in wires.etcd)
    try:
        yield
    finally:
        setup.etcd_endpoint = direct


@asynccontextmanager
async def set_stage(world: World, outside: Outside, jump: Path) -> AsyncIterator[Stage]:
    """All is wired: one agent by links of its own, with a small disk and its own clock; the others
    share a link to the store; each coordinator has its own."""
    setup = world.setup
    async with AsyncExitStack() as stack:

        async def links(targets: list[str]) -> list[Link]:
            return await stack.enter_async_context(open_links(targets))

        store = outside.store.endpoint.removeprefix("http://")
        members = outside.members.endpoints
        shared = Wires(store=await links([store]))
        config = setup.base_dir / "coordinator.toml"
        config.write_text("standstill-bound = 0.001\n")  # so that each backup needs its fence
        by_name: dict[str, Wires] = {}

        def url(wires: Wires) -> str:
            return setup.store_url.replace(store, wires.store[0].address)

        async def start_coordinator() -> Coordinator:
            wires = Wires(etcd=await links(members), store=await links([store]))
            with connected(setup, wires):
                made = await setup.start_coordinator(url(wires), config)
            by_name[made.name] = wires
            return made

        for old in setup.agents:
            await old.stop()
        setup.agents.clear()
        disk = small_disk(setup.base_dir / "spill" / f"agent-{len(setup.peers) + 1}")
        if disk is not None:
            stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
        peer = setup.peers[-1].url.removeprefix("http://")
        mine = Wires(await links(members), await links([store]), await links([peer]))
        with connected(setup, mine):
            at = f"http://{mine.qdrant[0].address}"
            agent = await setup.start_agent(at, url(mine), module="tests.chaos.jumpy_agent")
        for other in setup.peers[:-1]:
            await setup.start_agent(other.url, url(shared))
        for _ in range(2):
            await start_coordinator()
        await setup.wait_agents()
        killer = Killer(setup, None, outside, Keys(ClusterName(setup.cluster)))  # type: ignore[arg-type]
        yield Stage(
            setup=setup,
            outside=outside,
            killer=killer,
            agent=agent,
            agent_wires=mine,
            shared=shared,
            wires=by_name,
            start=start_coordinator,
            jump=jump,
            disk=disk,
        )

"""The steps of the demo, on a set-up that runs: what is done, said and measured, in order."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from cleancut_devcluster.demo.chains import read_chains
from cleancut_devcluster.demo.comparison import compare, read_answers
from cleancut_devcluster.demo.data import Data, Shape
from cleancut_devcluster.demo.phase_times import read_phases
from cleancut_devcluster.demo.report import BackupFigures, Figures, figures_of, mib
from cleancut_devcluster.demo.writers import find_holes, wait_written, writing
from cleancut_devcluster.launch.setup import Setup

CHANGED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    qdrant: str = "auto"
    keep: bool = False
    output: str = "table"
    base_dir: Path | None = None
    peers: int = 3
    peers_after: int = 2
    writers: int = 4
    shape: Shape = field(default_factory=Shape)


class Demo:
    """One run; `figures` fill as it goes."""

    def __init__(self, setup: Setup, options: Options, console: Console, began_s: float) -> None:
        self.setup, self.options, self.console = setup, options, console
        self.began_s = began_s
        self.figures = Figures(
            qdrant=setup.qdrant,
            points=options.shape.points,
            dims=options.shape.dims,
            peers_before=options.peers,
            peers_after=options.peers_after,
        )

    def say(self, text: str) -> None:
        """A line for people, with the seconds since the start."""
        text = f"{time.monotonic() - self.began_s:5.1f} s  {text}"
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    async def run(self) -> None:
        """All steps, in order. Raises: the error of any of them."""
        async with self.setup.peers[0].client() as qdrant:
            self.figures.version = await qdrant.version()
        kind = "a real server" if self.setup.qdrant == "real" else "the stand-in"
        self.say(f"  Qdrant is {kind}, {self.figures.version}")
        async with Data(self.setup.peers[0].url, self.options.shape) as data:
            await self.load(data)
            await self.back_up_under_load(data)
            await self.back_up_a_change(data)
            self.say("Reading what the live cluster answers, to be compared later")
            kept = await read_answers(data)
        await self.lose_leader()
        await self.lose_everything()
        await self.restore()
        async with Data(self.setup.peers[0].url, self.options.shape) as data:
            self.figures.comparisons = compare(kept, await read_answers(data))

    async def load(self, data: Data) -> None:
        shape = self.options.shape
        self.say(f"Loading {shape.points:,} points of {shape.dims} dimensions")
        await data.create()
        await data.load()
        indexed = await data.wait_optimized()
        self.say(f"  segments are built, {indexed:,} vectors are in an HNSW")

    async def back_up_under_load(self, data: Data) -> None:
        self.say(f"Backup 1, while {self.options.writers} writers add points, one after the other")
        async with writing(data, self.options.writers) as chains:
            await wait_written(chains, 20)
            self.figures.backup_1, told = await self.back_up()
            await wait_written(chains, max(len(one.acknowledged_s) for one in chains) + 5)
        self.say("  opening its shards without any Qdrant: is a point missing before a later one?")
        found = await read_chains(self.setup, told["id"], self.options.shape.shards)
        cut_at = told.get("cut_at")
        cut_at_s = datetime.fromisoformat(cut_at).timestamp() if cut_at else None
        self.figures.chains = find_holes(chains, found, cut_at_s)
        holes = self.figures.chains
        self.say(
            f"  {holes.points} points of the writers, {holes.holes} missing before later ones, "
            f"{holes.lost} that were acknowledged before the backup and are not in it"
        )

    async def back_up_a_change(self, data: Data) -> None:
        self.figures.changed = await data.change(CHANGED_SHARE)
        self.say(
            f"Backup 2, after {self.figures.changed:,} points were changed; no writes meanwhile"
        )
        self.figures.backup_2, _ = await self.back_up()

    async def back_up(self) -> tuple[BackupFigures, dict[str, Any]]:
        began_s = time.monotonic()
        answer = await self.setup.cleancut("backup", "create", on_line=self._indented)
        told = answer.value("backup")
        took_s = time.monotonic() - began_s
        logs = [one.child.log for one in self.setup.coordinators]
        figures = figures_of(told, took_s, read_phases(logs, told["epoch"]))
        self.say(
            f"  {figures.consistency}: {figures.unchanged_shards} of {figures.shards} shards "
            f"unchanged, skew at most {figures.skew_ms} ms; "
            f"{mib(figures.bytes_protected)} protected, {mib(figures.bytes_new)} new, "
            f"{mib(figures.bytes_stored)} stored"
        )
        return figures, told

    def _indented(self, line: str) -> None:
        self.say(f"  {line}")

    async def lose_leader(self) -> None:
        leader = await self.setup.leader()
        self.say(f"Killing the leader, {leader.name} (SIGKILL)")
        await leader.child.kill()
        began_s = time.monotonic()
        standby = await self.setup.wait_leader(other_than=leader.name)
        self.figures.takeover_s = round(time.monotonic() - began_s, 1)
        self.say(f"  {standby.name} leads after {self.figures.takeover_s:.1f} s")

    async def lose_everything(self) -> None:
        self.say(f"Killing all {self.options.peers} peers and agents, wiping their disks")
        await self.setup.lose_all_peers()
        self.say(f"Starting {self.options.peers_after} new, empty peers with agents")
        await self.setup.start_new_peers(self.options.peers_after)
        await self.setup.wait_agents()

    async def restore(self) -> None:
        assert self.figures.backup_2 is not None
        name = self.figures.backup_2.id
        self.say(f"Restoring backup 2, {name}")
        began_s = time.monotonic()
        answer = await self.setup.cleancut(
            "restore", "start", name, "--yes", on_line=self._indented
        )
        answer.value("restore")
        self.figures.restore_s = round(time.monotonic() - began_s, 2)

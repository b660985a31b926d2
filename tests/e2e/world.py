"""A running set-up as tests see it: synchronous, on one event loop, small data in it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qdrant_client import models

from cleancut.api.command_errors import read_command_error
from cleancut_devcluster.demo.comparison import Answers, read_answers
from cleancut_devcluster.demo.data import Data, Shape
from cleancut_devcluster.launch.cli import Answer, run_cleancut
from cleancut_devcluster.launch.qdrant import Kind
from cleancut_devcluster.launch.setup import Setup, launch_setup

T = TypeVar("T")
BODY_S = 150.0
SMALL = Shape(points=1200, dims=16, shards=4)


@dataclass(slots=True)
class World:
    """One set-up and the loop that its processes were started on."""

    runner: asyncio.Runner
    setup: Setup
    shape: Shape = SMALL

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        """The result of `body`, within 150 s."""

        async def bounded() -> T:
            async with asyncio.timeout(BODY_S):
                return await body

        return self.runner.run(bounded())

    @property
    def store(self) -> Path:
        """The directory of the file store."""
        return Path(self.setup.store_url.removeprefix("file://"))

    def cleancut(self, *arguments: str) -> Answer:
        return self.run(self.setup.cleancut(*arguments))

    def offline(self, *arguments: str) -> Answer:
        return self.run(self.setup.catalog(*arguments))

    def bare(self, *arguments: str) -> Answer:
        """Without any shared flag."""
        return self.run(run_cleancut(*arguments))

    def ok(self, noun: str, *arguments: str) -> Any:
        """What stands under `noun` in the command's JSON; the command succeeded."""
        return self.cleancut(*arguments).value(noun)

    def back_up(self, *arguments: str) -> Any:
        return self.ok("backup", "backup", "create", *arguments)

    def groups(self) -> list[str]:
        """The operations whose groups the catalog shows, read from the store alone."""
        return [one["id"] for one in self.offline("backup", "list").value("backups")]

    def fill(self, *, vector_index: bool = True) -> None:
        """A small collection with indexes and an alias. Without a `vector_index` Qdrant leaves its
        segments alone; the stand-in reads nothing while it builds one."""

        async def body() -> None:
            async with Data(self.setup.peers[0].url, self.shape) as data:
                await data.create()
                if not vector_index:
                    never = models.OptimizersConfigDiff(indexing_threshold=0)
                    await data.client.update_collection(data.collection, optimizers_config=never)
                await data.load()

        self.run(body())

    def change(self, share: float) -> None:
        """Writes so many of the points anew, spread over all."""

        async def body() -> None:
            async with Data(self.setup.peers[0].url, self.shape) as data:
                await data.change(share)

        self.run(body())

    def answers(self) -> Answers:
        async def body() -> Answers:
            async with Data(self.setup.peers[0].url, self.shape) as data:
                return await read_answers(data)

        return self.run(body())

    def collections(self) -> list[str]:
        """The names that the first living peer lists."""

        async def body() -> list[str]:
            peer = next(one for one in self.setup.peers if one.running)
            async with peer.client() as qdrant:
                return sorted(await qdrant.collections())

        return self.run(body())

    def lose_all(self, peers: int) -> None:
        """All disks are lost and `peers` new ones are there. Agents end in order here, so that no
        lease has to run out first."""

        async def body() -> None:
            for agent in self.setup.agents:
                await agent.stop()
            await self.setup.lose_all_peers()
            await self.setup.start_new_peers(peers)
            await self.setup.wait_agents()

        self.run(body())


@dataclass(slots=True)
class Launcher:
    """Each set-up has a directory of its own, which outlives it for whoever reads logs."""

    stack: ExitStack
    runner: asyncio.Runner
    kind: Kind
    root: Path
    started: int = 0

    def __call__(self, **options: Any) -> World:
        self.started += 1
        where = self.root / f"setup-{self.started}"
        where.mkdir()
        block = launch_setup(qdrant=self.kind, base_dir=where, **options)
        setup = self.runner.run(block.__aenter__())
        self.stack.callback(lambda: self.runner.run(block.__aexit__(None, None, None)))
        return World(self.runner, setup)


def refused(answer: Answer, exit_code: int, *words: str) -> None:
    """The command failed with this code, one clear error that holds `words`, and a hint."""
    assert answer.exit_code == exit_code, (answer.exit_code, answer.err)
    error = read_command_error(answer.err)
    assert error is not None, answer.err
    assert all((error.message, error.hint, error.reason)), answer.err
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.err, (word, answer.err)

"""A `cleancut solo` as a process, with its command line, for tests."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleancut_devcluster.launch.cli import Answer, run_cleancut
from cleancut_devcluster.launch.process import Child, start_child, wait_for, wait_logged


@dataclass(slots=True)
class Solo:
    """One node's solo in `directory`; it may be killed and started again."""

    directory: Path
    qdrant_url: str
    more: tuple[str, ...] = ()
    child: Child | None = None
    address: str = ""
    starts: int = field(default=0)

    @property
    def store(self) -> str:
        return f"file://{self.directory / 'store'}"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def log(self) -> Path:
        """Of the newest start."""
        return self.directory / f"solo-{self.starts}.log"

    def marks(self) -> list[Path]:
        """The marks by which the store knows each epoch that began."""
        return list((self.directory / "store").rglob("marks/*/opened.json"))

    def argv(self) -> list[str]:
        """The program as the command line runs it."""
        own = ["--qdrant-url", self.qdrant_url, "--store", self.store, "--state", str(self.state)]
        ports = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        return [sys.executable, "-m", "cleancut.cli.main", "solo", *own, *ports, *self.more]

    async def start(self) -> None:
        """It leads, and its agent has a session."""
        (self.directory / "store").mkdir(parents=True, exist_ok=True)
        self.starts += 1
        self.child = await start_child("solo", self.argv(), self.log)
        self.address = await wait_logged(self.child, "listening", "grpc")
        await wait_logged(self.child, "leading", "token")
        await wait_logged(self.child, "session opened", "token")

    async def end(self) -> tuple[int, str]:
        """The exit code and the output of a start that is refused."""
        self.starts += 1
        child = await start_child("solo", self.argv(), self.log)

        async def code() -> int | None:
            return child.process.returncode

        try:
            return await wait_for(code, "the end of solo", 30.0), child.tail()
        finally:
            await child.kill()

    async def kill(self) -> None:
        assert self.child is not None
        await self.child.kill()

    async def stop(self) -> None:
        if self.child is not None:
            await self.child.stop()

    async def cleancut(self, *arguments: str) -> Answer:
        """`cleancut --coordinator .. -o json ARGUMENTS`."""
        return await run_cleancut("--coordinator", self.address, "-o", "json", *arguments)

    async def back_up(self) -> dict[str, Any]:
        value: dict[str, Any] = (await self.cleancut("backup", "create")).value("backup")
        return value

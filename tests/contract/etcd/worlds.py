"""What the coordination suite runs in: a real etcd of three members, the embedded one with its
journal, or the one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from cleancut.core.primitives.errors import Unavailable
from cleancut.etcd.client import open_etcd
from cleancut.etcd.embedded.client import EmbeddedEtcd
from cleancut.etcd.embedded.journal import Journal, new_journal
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Change, Coordination
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_etcd import MemoryEtcd
from tests.support.etcd_cluster import EtcdCluster
from tests.support.jumping_loop import LoopClock, run_jumping

Body = Callable[[Coordination], Awaitable[None]]
BODY_S = 40.0


class World(Protocol):
    """`root` is a prefix that no other test uses; the rest acts behind the client's back."""

    root: str

    @property
    def clock(self) -> Clock: ...

    def open(self) -> AbstractAsyncContextManager[Coordination]: ...

    def compact(self, revision: int) -> None: ...

    def revoke(self, lease: int) -> None: ...

    def silence(self) -> None: ...

    def unsilence(self) -> None: ...

    def run(self, main: Coroutine[Any, Any, None]) -> None: ...


class RealWorld:
    def __init__(self, cluster: EtcdCluster, root: str) -> None:
        self.cluster = cluster
        self.root = root
        self.clock = SystemClock()

    def open(self) -> AbstractAsyncContextManager[Coordination]:
        return open_etcd(self.cluster.endpoints)

    def compact(self, revision: int) -> None:
        self.cluster.compact(revision)

    def revoke(self, lease: int) -> None:
        self.cluster.post(self.cluster.members[0], "lease/revoke", ID=str(lease))

    def silence(self) -> None:
        for member in self.cluster.members:
            self.cluster.freeze(member)

    def unsilence(self) -> None:
        for member in self.cluster.members:
            self.cluster.thaw(member)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)


class EmbeddedWorld:
    """Its journal is on the disk, so its time is real."""

    def __init__(self, directory: Path, root: str) -> None:
        self.root, self.clock = root, SystemClock()
        self._directory, self._silent = directory, False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Coordination]:
        self._model = EtcdModel()
        journal = Journal(self._directory / "journal", new_journal())
        etcd = EmbeddedEtcd(self._model, self.clock, journal, check_reachable=self._check)
        await etcd.start()
        self._wake = etcd.wake
        yield etcd
        await etcd.close()
        journal.close()

    def _check(self) -> None:
        if self._silent:
            raise Unavailable("etcd does not answer: cut off")

    def compact(self, revision: int) -> None:
        self._model.compact(revision)

    def revoke(self, lease: int) -> None:
        self._model.leases[lease].expires_s = self.clock.monotonic_s()

    def silence(self) -> None:
        self._silent = True
        self._wake()

    def unsilence(self) -> None:
        self._silent = False

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)


class MemoryWorld:
    """Its time is the loop's, which jumps."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.clock = LoopClock()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Coordination]:
        self.etcd = MemoryEtcd(self.clock)
        yield self.etcd
        await self.etcd.close()

    def compact(self, revision: int) -> None:
        self.etcd.model.compact(revision)

    def revoke(self, lease: int) -> None:
        self.etcd.model.revoke(lease)

    def silence(self) -> None:
        self.etcd.cut_off()

    def unsilence(self) -> None:
        self.etcd.join()

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        run_jumping(main)


def run(world: World, body: Body) -> None:
    """Runs `body` with a client of `world`, within 40 s of its time."""

    async def main() -> None:
        async with asyncio.timeout(BODY_S), world.open() as etcd:
            await body(etcd)

    world.run(main())


@asynccontextmanager
async def watching(
    etcd: Coordination, prefix: str, start_revision: int
) -> AsyncIterator[AsyncGenerator[tuple[Change, ...], None]]:
    """A watch that is closed at the block's end."""
    watch = etcd.watch(prefix, start_revision)
    assert isinstance(watch, AsyncGenerator)
    async with aclosing(watch):
        yield watch


async def wait_until(condition: Callable[[], Awaitable[bool]], limit_s: float = 10.0) -> None:
    """Returns once `condition` holds. Raises: TimeoutError."""
    async with asyncio.timeout(limit_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)

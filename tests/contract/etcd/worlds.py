"""What the coordination suite runs in: a real etcd of three members, or the one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Protocol

from cleancut.etcd.client import open_etcd
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

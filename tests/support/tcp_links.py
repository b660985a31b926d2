"""TCP links that can be cut, stalled, slowed, or made to answer 503 while they are in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from enum import StrEnum

SLOW_S = 0.05
CLOSED_S = 5.0
CHUNK_BYTES = 1 << 16
_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Mode(StrEnum):
    PASS = "pass"
    CUT = "cut"
    STALL = "stall"
    SLOW = "slow"
    ERRORS = "errors"


class Link:
    """One way to one server; `address` is where it begins."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._mode = Mode.PASS
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.address = ""

    def set(self, mode: Mode) -> None:
        """From now on, also for the connections that are open."""
        self._mode = mode
        if mode is Mode.STALL:
            self._flows.clear()
        else:
            self._flows.set()
        if mode in (Mode.CUT, Mode.ERRORS):
            for writer in self._open:
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(ConnectionError):
                if self._mode is Mode.ERRORS:
                    await reader.read(CHUNK_BYTES)
                    writer.write(_REFUSAL)
                    await writer.drain()
                elif self._mode is not Mode.CUT:
                    await self._connect(reader, writer)
        finally:
            await _closed(writer)
            self._serving.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._target)
        except OSError:
            return
        pair = {writer, up_writer}
        self._open |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer))
                group.create_task(self._pump(up_reader, writer))
        finally:
            self._open -= pair
            await _closed(up_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes bytes on until either side ends, and then ends both."""
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                if self._mode is Mode.SLOW:
                    await asyncio.sleep(SLOW_S)
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        with suppress(ConnectionError, RuntimeError):
            if writer.can_write_eof():
                writer.write_eof()

    async def close(self) -> None:
        """No connection is left, not even one that was just being made."""
        self.set(Mode.CUT)
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(set(self._serving), timeout=CLOSED_S)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def open_links(targets: Iterable[str]) -> AsyncIterator[list[Link]]:
    """A link to each of `targets` (host:port), for the length of the block."""
    async with AsyncExitStack() as stack:
        links = []
        for target in targets:
            link = Link(target)
            server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
            stack.push_async_callback(link.close)
            stack.callback(server.close)
            link.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            links.append(link)
        yield links

"""A TCP proxy that loses answers or requests when told to, then cuts its connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.contract.etcd.worlds import wait_until


class Proxy:
    """Bytes pass until `lose_answers` or `lose_requests`; `cut` ends both, and all connections."""

    def __init__(self, host: str, port: int) -> None:
        self.endpoint = ""
        self.lost_bytes = 0
        self._target = (host, port)
        self._answers_pass = True
        self._requests_pass = True
        self._open: set[asyncio.StreamWriter] = set()

    def lose_answers(self) -> None:
        self._answers_pass = False

    def lose_requests(self) -> None:
        self._requests_pass = False

    def cut(self) -> None:
        """New connections pass everything again."""
        for writer in self._open:
            writer.transport.abort()
        self._answers_pass = self._requests_pass = True

    async def idle(self) -> bool:
        """No connection is left, nor a task that serves one."""
        return not self._open

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        pair = {writer, up_writer}
        self._open |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer, request=True))
                group.create_task(self._pump(up_reader, writer, request=False))
        finally:
            self._open -= pair

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bool
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._requests_pass if request else self._answers_pass:
                    writer.write(data)
                    await writer.drain()
                else:
                    self.lost_bytes += len(data)
        writer.transport.abort()


@asynccontextmanager
async def open_proxy(target: str) -> AsyncIterator[Proxy]:
    """A proxy before the `host:port` `target`, on a port of its own."""
    host, _, port = target.rpartition(":")
    proxy = Proxy(host, int(port))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.endpoint = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
        await wait_until(proxy.idle)

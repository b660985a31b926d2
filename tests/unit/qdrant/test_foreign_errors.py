"""What is not an answer of Qdrant is said in one line, not as a foreign exception prints itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import CleancutError, Denied
from cleancut.qdrant.client import Qdrant


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"",
    ],
    ids=["no status", "no length", "cut", "no gzip", "nothing"],
)
def test_another_server_than_qdrant_is_one_line(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async def read(qdrant: Qdrant, *, stream: bool) -> None:
        if not stream:
            await qdrant.collections(5.0)
            return
        async with qdrant.stream_shard("c", 0) as chunks:
            assert [chunk async for chunk in chunks]

    async def ask(*, stream: bool) -> str:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server, Qdrant(f"http://{host}:{port}") as qdrant:
            with pytest.raises(CleancutError) as failed:
                await read(qdrant, stream=stream)
        return str(failed.value)

    for stream in (False, True):
        words = asyncio.run(ask(stream=stream))
        assert "\n" not in words
        assert not any(part in words for part in ("RequestInfo", "<", "URL(", "message=")), words
        assert len(words) < 400


def test_an_empty_file_of_authorities_trusts_none(tmp_path: Path) -> None:
    """Python would trust all authorities of the machine instead."""
    file = tmp_path / "ca.pem"
    file.write_text("\n")

    async def ask() -> None:
        async with Qdrant("https://127.0.0.1:1", ca_file=file) as qdrant:
            await qdrant.collections(5.0)

    with pytest.raises(Denied, match="CA cannot be read"):
        asyncio.run(ask())

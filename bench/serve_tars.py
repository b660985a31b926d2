"""Serves the tars of a restore, as a process of its own: from files, or as an agent does.

Usage: python -m bench.serve_tars files DIRECTORY | store STORE-URL TASKS.json
Prints one line of JSON, the URL of each tar by name, and serves until its input ends.
TASKS.json: `{name: {"recipe", "tar_sha256", "size_bytes"}}`.
Files go by sendfile: nothing is cheaper.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.capture_once import PATHS
from cleancut.core.primitives.ids import Digest, PeerId, Sha256, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.health import serve
from cleancut.store.open import open_store
from cleancut_agent.restore.tar_server import TarServer

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def files(directory: str) -> AsyncIterator[dict[str, str]]:
    app = web.Application()
    app.router.add_static("/", directory)
    async with serve(app, LOOPBACK, 0) as port:
        yield {name: f"http://{LOOPBACK}:{port}/{name}" for name in _tars(directory)}


@asynccontextmanager
async def stored(url: str, tasks: str) -> AsyncIterator[dict[str, str]]:
    async with AsyncExitStack() as stack:
        store = open_store(url, SystemClock())
        stack.push_async_callback(store.close)
        await store.stat(PATHS.format)  # an agent's connection is up long before
        tars = TarServer(store, PATHS)
        port = await stack.enter_async_context(serve(tars.app(), LOOPBACK, 0))
        urls = {}
        for number, (name, task) in enumerate(_tasks(tasks).items()):
            offer = await stack.enter_async_context(tars.offer(_task(number, task)))
            urls[name] = f"http://{LOOPBACK}:{port}{offer.path}"
        yield urls


def _tars(directory: str) -> list[str]:
    return sorted(tar.name for tar in Path(directory).glob("*.tar"))


def _tasks(file: str) -> dict[str, dict[str, Any]]:
    return dict(sorted(json.loads(Path(file).read_text()).items()))


def _task(number: int, found: dict[str, Any]) -> ShardTask:
    return ShardTask(
        collection="bench",
        shard_id=ShardId(number),
        peer_id=PeerId(1),
        recipe=Digest(found["recipe"]),
        tar_sha256=Sha256(found["tar_sha256"]),
        size_bytes=found["size_bytes"],
    )


async def main(kind: str, *where: str) -> None:
    serving = files(*where) if kind == "files" else stored(*where)
    async with serving as urls:
        print(json.dumps(urls), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""One peer as a process: `python -m cleancut_devcluster.peer.main --dir D --http H:P --root
ROOT`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from cleancut_devcluster.peer.api import collections, points, shards
from cleancut_devcluster.peer.api.http import MAX_BODY_BYTES, SERVER, Server, outermost
from cleancut_devcluster.peer.cluster import resharding, transfers
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.consensus.state import Collection, ShardTransfer
from cleancut_devcluster.peer.engine.errors import Problem
from cleancut_devcluster.peer.engine.shard import LocalShard

REFUSED_TO_START = 101
TAIL_S = 0.5
FLUSH_S = 5.0
RETRY_S = 0.3
OPTIMIZE_S = 1.0
OPTIMIZE_IDLE_S = 2.0
TRANSFER_S = 0.1
REPAIR_S = 1.0

log = logging.getLogger("devcluster")


def main() -> None:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(asyncio.run(_serve(options)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="this peer's own directory")
    parser.add_argument("--http", required=True, help="HOST:PORT to listen on")
    parser.add_argument("--uri", default="", help="address for other peers; empty: that of --http")
    parser.add_argument("--root", type=Path, help="directory that all peers of a cluster share")
    parser.add_argument("--standalone", action="store_true", help="without cluster mode")
    parser.add_argument(
        "--no-url-recovery", action="store_true", help="snapshots are not fetched from URLs"
    )
    parser.add_argument("--recovery-mode", default="", help="load no shard, for this reason")
    parser.add_argument("--no-resharding", action="store_true", help="as Qdrant is configured")
    parser.add_argument("--api-key-file", type=Path)
    parser.add_argument("--read-only-api-key-file", type=Path)
    parser.add_argument(
        "--wal-segment-bytes", type=int, default=0, help="of shards' logs; 0: as configured"
    )
    options = parser.parse_args()
    if options.root is None and not options.standalone:
        parser.error("--root is needed, unless --standalone is given")
    return options


class _Stopped(Exception):
    """Ends the peer's tasks."""


async def _serve(options: argparse.Namespace) -> int:
    node = Node(
        options.dir,
        options.dir if options.standalone else options.root,
        api_key=_secret(options.api_key_file),
        standalone=options.standalone,
        segment_bytes=options.wal_segment_bytes,
        recovery_mode=options.recovery_mode,
        allows_resharding=not options.no_resharding,
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    exit_code = 0
    try:
        async with asyncio.TaskGroup() as group:
            exit_code = await _run(node, options, group, stopping)
            raise _Stopped
    except* _Stopped:
        await node.close()
    return exit_code


async def _run(
    node: Node, options: argparse.Namespace, group: asyncio.TaskGroup, stopping: asyncio.Event
) -> int:
    """Serves until `stopping`; the exit code. Open streams are waited for, as a server does."""
    host, _, port = options.http.rpartition(":")
    server = Server(
        node,
        group.create_task,
        _secret(options.api_key_file),
        _secret(options.read_only_api_key_file),
        url_recovery=not options.no_url_recovery,
    )
    runner = web.AppRunner(_application(server), access_log=None, shutdown_timeout=10)
    await runner.setup()
    try:
        await node.join(options.uri or f"http://{host}:{port}/")
        await resharding.cancel_streams(node)
        await web.TCPSite(runner, host, int(port)).start()
        log.info("peer %s serves http://%s:%s", node.peer_id, host, port)
        for loop in _background(node, group):
            group.create_task(loop)
        await stopping.wait()
    except Problem as problem:
        log.error("cannot start: %s", problem.text)
        return REFUSED_TO_START
    finally:
        await runner.cleanup()
    return 0


def _application(server: Server) -> web.Application:
    app = web.Application(middlewares=[outermost], client_max_size=MAX_BODY_BYTES)
    app[SERVER] = server
    app.add_routes(collections.routes() + points.routes() + shards.routes())
    return app


def _secret(path: Path | None) -> str | None:
    return None if path is None else path.read_text().strip()


def _background(node: Node, group: asyncio.TaskGroup) -> list[Coroutine[Any, Any, None]]:
    driven: set[tuple[str, ShardTransfer]] = set()
    return [
        _every(TAIL_S, node.consensus.catch_up),
        _every(FLUSH_S, lambda: _flush(node)),
        _every(RETRY_S, lambda: _retry(node)),
        _every(OPTIMIZE_S, lambda: _optimize_idle(node)),
        _every(REPAIR_S, lambda: transfers.repair(node)),
        _every(TRANSFER_S, lambda: _start_transfers(node, group, driven)),
    ]


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Problem as problem:
            log.warning("%s", problem.text)
        await asyncio.sleep(seconds)


async def _flush(node: Node) -> None:
    for shard in list(node.shards.values()):
        shard.flush()
        await asyncio.sleep(0)


async def _retry(node: Node) -> None:
    for shard in list(node.shards.values()):
        await shard.retry()


async def _start_transfers(
    node: Node, group: asyncio.TaskGroup, driven: set[tuple[str, ShardTransfer]]
) -> None:
    for collection, move in list(transfers.driven_here(node)):
        if (collection.uuid, move) not in driven:
            driven.add((collection.uuid, move))
            group.create_task(_drive(node, collection, move, driven))


async def _drive(
    node: Node, collection: Collection, move: ShardTransfer, driven: set[tuple[str, ShardTransfer]]
) -> None:
    try:
        await transfers.drive(node, collection, move)
    except Problem as problem:
        log.warning("transfer of shard %s: %s", move.shard_id, problem.text)
    finally:
        driven.discard((collection.uuid, move))


async def _optimize_idle(node: Node) -> None:
    """Builds the index of shards past their indexing threshold once writes have stopped."""
    for shard in list(node.shards.values()):
        idle = time.monotonic() - shard.last_write_s > OPTIMIZE_IDLE_S
        if not (shard.unoptimized and idle) or shard.streaming.locked() or shard.order.locked():
            continue
        async with shard.maintenance:
            if await _wants_optimizing(shard):
                await shard.optimize()
            shard.unoptimized = False


async def _wants_optimizing(shard: LocalShard) -> bool:
    engine = await shard.engine()
    info = engine.info()
    return shard.unindexed_kb(info.points_count - info.indexed_vectors_count) > shard.threshold_kb


if __name__ == "__main__":
    main()

"""Program cleancut-agent: one next to each Qdrant peer. Wiring only."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from cleancut import __version__
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import parse_agent, parse_cluster
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.daemon_settings import (
    ENV_PREFIX,
    Shared,
    Size,
    common_options,
    config_option,
    fail,
    loaded,
    read_stores,
    shared_of,
    warn_of_etcd,
)
from cleancut.data.requirements import why_no_data
from cleancut.ports.coordination import Coordination
from cleancut.ports.store import Store
from cleancut.qdrant.http import check_url
from cleancut.repository.packs.uploads import UploadLimits, clear_spill
from cleancut.runtime.addresses import parse_address
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.concurrency import until_signal
from cleancut.runtime.health import Health, health_app, serve
from cleancut.runtime.log import Logger, configure_logging
from cleancut.store.metered import InstrumentedStore
from cleancut.store.open import open_store
from cleancut_agent.backup.captures import spill_of
from cleancut_agent.backup.journal import own_directory
from cleancut_agent.capture.disk_reads import DiskReads
from cleancut_agent.capture.handles import raise_file_limit
from cleancut_agent.capture.local_capture import LocalCapture
from cleancut_agent.context import AgentContext
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_agent.local_peer import free_bytes, storage_free_bytes
from cleancut_agent.metrics import SPILL, STORAGE, AgentMetrics
from cleancut_agent.process import AgentProcess, serve_agent
from cleancut_agent.restore.tar_server import TarServer
from cleancut_agent.sidecar import SidecarCommand, parsed, readable, stays
from cleancut_agent.supervisor import keep_running
from cleancut_agent.wal.local_storage import LocalWalStorage
from cleancut_agent.wal.segment_hold import held_segments

TABLES = {"store": "[store.NAME]"}
"""Tables of the settings file: further stores, which backups can be restored from."""
_HASHERS = 2
_END_S = 9.0
"""A call to a store cannot be cancelled, and the pod of a database shall not wait for one."""


def _default_name() -> str:
    return os.environ.get("POD_NAME") or socket.gethostname().lower()


@click.command(cls=SidecarCommand, context_settings={"auto_envvar_prefix": ENV_PREFIX})
@config_option(TABLES)
@common_options
@click.option("--qdrant-url", required=True, metavar="URL", help="The local peer, on loopback.")
@click.option("--spill-dir", type=click.Path(path_type=Path), required=True, help="Local disk.")
@click.option(
    "--spill-max",
    type=Size(),
    metavar="SIZE",
    help="What may be spilled there at most; `cleancut cluster settings` cannot exceed it.",
)
@click.option(
    "--qdrant-storage",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The local peer's storage, if seen from here: the logs of its shards are then read,"
    " segments are captured from the disk, and restores mind its free space.",
)
@click.option("--name", default=_default_name, help="Unique in the cluster.  [default: hostname]")
@click.option(
    "--stay",
    is_flag=True,
    help="Never end because something is missing or wrong: log it, and try again. Unknown flags are"
    " left out with a warning. For a sidecar.",
)
def cli(**flags: Any) -> None:
    """Runs beside one Qdrant peer: cuts its shards and stores them, or pulls them back."""
    try:
        asyncio.run(until_signal(_work(click.get_current_context()), _END_S))
    except CleancutError as error:
        sys.exit(fail(error))


async def _work(context: click.Context) -> None:
    """Runs the agent with the flags of this context."""
    flags = context.params
    log = configure_logging(flags["log_level"], "agent", flags["log_format"])
    log.info("settings loaded", **loaded(context))
    if context.args:
        log.warning("unknown flags left out", flags=context.args, version=__version__)
    raise_file_limit()
    await _run(shared_of(flags), {**flags, "stores": read_stores(context)}, log)


async def _stay(arguments: Sequence[str]) -> None:
    """Reads the command line and works, again and again until that ends without an error."""
    log = configure_logging("info", "agent")

    async def work() -> None:
        with parsed(cli, arguments) as context:
            await _work(context)

    def idle() -> AbstractAsyncContextManager[int]:
        """Alive, not ready, and without a session."""
        flags = readable(cli, arguments)
        metrics = AgentMetrics(flags["cluster"] or "", flags["name"] or _default_name())
        return serve(health_app(Health(), metrics.render), *parse_address(flags["http"]))

    await keep_running(work, idle, log)


async def _run(shared: Shared, flags: dict[str, Any], log: Logger) -> None:
    shared.check()  # before anything is waited for
    check_url(flags["qdrant_url"])
    async with AsyncExitStack() as stack:
        stack.enter_context(own_directory(flags["spill_dir"]))
        etcd = await stack.enter_async_context(shared.open_etcd(SystemClock()))
        await warn_of_etcd(shared, etcd, log)
        process = await stack.enter_async_context(open_agent(shared, flags, etcd, log))
        app = health_app(process.health, process.metrics.render)
        http = await stack.enter_async_context(serve(app, *parse_address(shared.http)))
        log.info("listening", http_port=http, name=process.context.name)
        await serve_agent(process)


@asynccontextmanager
async def open_agent(
    shared: Shared, flags: dict[str, Any], etcd: Coordination, log: Logger
) -> AsyncIterator[AgentProcess]:
    """The agent with all that it uses, for the length of the block; `serve_agent` runs it.

    Order: once the spill directory is locked, which is cleared here.
    """
    clock = SystemClock()
    cluster, name = parse_cluster(shared.cluster), parse_agent(flags["name"])
    hold = held_segments()
    async with AsyncExitStack() as stack:
        clear_spill(spill_of(flags["spill_dir"]))
        metrics = AgentMetrics(cluster, name)
        opened = open_store(shared.store, clock, shared.key_source)
        store = InstrumentedStore(opened, metrics.count_request)
        stack.push_async_callback(store.close)
        qdrant = await stack.enter_async_context(shared.open_qdrant(flags["qdrant_url"]))
        paths = Paths(cluster)
        limits = UploadLimits(spill_max_bytes=flags["spill_max"])
        stores: dict[str, Store] = {}
        for each, rule in flags["stores"].items():
            stores[each] = open_store(rule.url, clock, shared.key_source_of(rule))
            stack.push_async_callback(stores[each].close)
        tars = TarServer(store, paths, stores)
        loopback = await stack.enter_async_context(serve(tars.app(), "127.0.0.1", 0))
        storage: Path | None = flags["qdrant_storage"]
        context = AgentContext(
            name=name,
            keys=Keys(cluster),
            paths=paths,
            etcd=etcd,
            store=store,
            qdrant=qdrant,
            clock=clock,
            spill_dir=flags["spill_dir"],
            loopback=f"http://127.0.0.1:{loopback}",
            qdrant_storage=storage,
            wal=LocalWalStorage(storage, hold) if storage else None,
            capture=_local_capture(storage, flags["spill_dir"], limits) if storage else None,
            limits=limits,
            stores=tuple(sorted(stores)),
            engine=why_no_data(),
            release_segments=hold.release if hold else lambda: None,
        )
        metrics.ask(
            lambda: free_by_volume(context),
            lambda: context.limits.settings.spill_floor_bytes,
        )
        metrics.certificates.watch(shared.certificates)
        if context.capture is not None:
            context.capture.count_unproven = metrics.captures.count_unproven
        context.skipped.report = partial(_report_skipped, metrics, log)
        pool = stack.enter_context(ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash"))
        watchdog = FenceWatchdog(context, metrics=metrics, log=log)
        yield AgentProcess(context, tars, watchdog, pool, Health(), metrics, log)


def _local_capture(storage: Path, directory: Path, limits: UploadLimits) -> LocalCapture:
    reads = DiskReads(lambda: limits.settings.read_bytes_per_s)
    return LocalCapture(storage, directory, reads)


def _report_skipped(metrics: AgentMetrics, log: Logger, key: str, cause: str) -> None:
    metrics.count_skipped()
    log.warning("record in etcd skipped", key=key, cause=cause)


def free_by_volume(context: AgentContext) -> dict[str, int]:
    """What is free where this agent can look."""
    try:
        free = {SPILL: free_bytes(context), STORAGE: storage_free_bytes(context)}
    except OSError:
        return {}
    return {volume: size_bytes for volume, size_bytes in free.items() if size_bytes >= 0}


def main() -> None:
    """Entry point of the program."""
    arguments = sys.argv[1:]
    if stays(arguments, os.environ):
        asyncio.run(until_signal(_stay(arguments), _END_S))
    else:
        cli()


if __name__ == "__main__":
    main()

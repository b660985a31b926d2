"""cleancut-coordinator: one leads, the others stand by. Wiring only."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cleancut.core.archive.plan import ArchiveSettings
from cleancut.core.auth.roles import Role
from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import GRACE_S
from cleancut.core.maintenance.notify_rules import Notify, unknown_schedules
from cleancut.core.maintenance.retention import MAX_EXPIRE_SHARE, Policy
from cleancut.core.maintenance.schedule import Schedules
from cleancut.core.maintenance.stores import StoreRule, check_targets
from cleancut.core.maintenance.stories import KEPT_S
from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.core.primitives.ids import parse_agent, parse_cluster
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Bounds
from cleancut.core.protocol.fence import BUDGET_LIMIT_S, BUDGET_S, FenceSettings
from cleancut.daemon_settings import (
    ENV_PREFIX,
    Duration,
    Shared,
    common_options,
    config_option,
    fail,
    loaded,
    read_archive,
    read_fences,
    read_notify,
    read_retention,
    read_schedules,
    read_stores,
    shared_of,
    warn_of_etcd,
)
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Coordination
from cleancut.qdrant.http import check_url
from cleancut.rpc.forwarding import Forwarding
from cleancut.rpc.server import Listen
from cleancut.runtime.addresses import parse_address
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.commands import Command
from cleancut.runtime.concurrency import until_signal
from cleancut.runtime.health import Health, health_app, serve
from cleancut.runtime.log import Logger, configure_logging
from cleancut.store.bounded import BoundedStore
from cleancut.store.metered import InstrumentedStore
from cleancut.store.open import open_store
from cleancut_coordinator.api.listen import is_open_to_all, open_api, read_roles
from cleancut_coordinator.api.servicers import serve_api
from cleancut_coordinator.api.services import coordinator_api
from cleancut_coordinator.context import CoordinatorContext, CopyStore, GcSettings
from cleancut_coordinator.leader.members import EtcdMembers
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.process import CoordinatorProcess, serve_coordinator
from cleancut_coordinator.ui.listen import DEFAULT as UI_DEFAULT
from cleancut_coordinator.ui.listen import open_page
from cleancut_coordinator.ui.open import open_status_page
from cleancut_coordinator.ui.source import ClusterSource

_STORE_S = 30.0
_API_STORE_S = 5.0
"""One call to the store: of the leader, and of a request, whose caller waits."""
_FILE = click.Path(dir_okay=False, path_type=Path)
TABLES = {
    "archive": "[archive]",
    "fence": "[[fence]]",
    "notify": "[notify.NAME]",
    "retention": "[retention]",
    "roles": "[roles]",
    "schedule": "[schedule.NAME]",
    "store": "[store.NAME]",
}
"""Tables of the settings file."""


def _default_name() -> str:
    return os.environ.get("POD_NAME") or f"{socket.gethostname().lower()}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings file says besides flags."""

    fences: FenceSettings
    gc: GcSettings
    schedules: Schedules
    roles: Mapping[str, Role]
    bounds: Bounds
    archive: ArchiveSettings
    stores: Mapping[str, StoreRule]
    notify: Notify


@click.command(cls=Command, context_settings={"auto_envvar_prefix": ENV_PREFIX})
@config_option(TABLES)
@common_options
@click.option(
    "--qdrant-url",
    required=True,
    metavar="URL[,URL]",
    help="Any peers, in order, no load balancer.",
)
@click.option("--grpc", default="127.0.0.1:7400", metavar="H:P", help="Where the API listens.")
@click.option("--grpc-ca", type=_FILE, help="CA of the clients' certificates.")
@click.option("--grpc-cert", type=_FILE, help="Certificate of the API.")
@click.option("--grpc-key", type=_FILE, help="Its private key.")
@click.option("--tokens-file", type=_FILE, help="Who may use which bearer token.")
@click.option(
    "--audit-log", type=click.Path(path_type=Path, dir_okay=False), help="File of JSON lines."
)
@click.option(
    "--ui",
    is_flag=False,
    flag_value=UI_DEFAULT,
    metavar="[H:P]",
    help=f"Serve the status page, by default at {UI_DEFAULT}.",
)
@click.option("--advertise", default="", metavar="H:P", help="The API as clients reach it.")
@click.option(
    "--fence-budget",
    type=Duration(0.1, BUDGET_LIMIT_S),
    default=BUDGET_S,
    show_default=True,
    metavar="DURATION",
    help="How long a backup may hold off writes.",
)
@click.option(
    "--cut-bound",
    type=Duration(1.0, 3600.0),
    default=Bounds().cut_s,
    show_default=True,
    metavar="DURATION",
    help="How long agents may take to cut their shards, besides --shard-bound.",
)
@click.option(
    "--standstill-bound",
    type=Duration(0.0, 600.0),
    default=Bounds().standstill_s,
    show_default=True,
    metavar="DURATION",
    help="How long a backup under writes looks for a moment without one; 0: not at all.",
)
@click.option(
    "--shard-bound",
    type=Duration(0.0, 10.0),
    default=Bounds().per_shard_s,
    show_default=True,
    metavar="DURATION",
    help="How much longer for each shard of the agent that has most.",
)
@click.option(
    "--gc-every",
    type=Duration(min=0.0),
    default=GcSettings().every_s,
    show_default=True,
    metavar="DURATION",
    help="How often retention and garbage are looked at; 0: only when asked to.",
)
@click.option(
    "--garbage-grace",
    type=Duration(min=0.0),
    default=GRACE_S,
    show_default=True,
    metavar="DURATION",
    help="How long what nothing names stays in the store at least.",
)
@click.option(
    "--history-for",
    type=Duration(min=0.0),
    default=KEPT_S,
    show_default="400d",
    metavar="DURATION",
    help="How long the history of restores, failed backups and the like stays in the store.",
)
@click.option(
    "--max-expire-share",
    type=click.FloatRange(0.0, 1.0),
    default=MAX_EXPIRE_SHARE,
    show_default="1/3",
    metavar="SHARE",
    help="Share of the backups that one gc run may expire unless it is confirmed.",
)
@click.option("--name", default=_default_name, help="Unique.  [default: hostname and pid]")
@click.option(
    "--check-config",
    is_flag=True,
    allow_from_autoenv=False,
    help="Check the settings, print OK or what is wrong, and end.",
)
def cli(**flags: Any) -> None:
    """Leads the agents through backups and restores, and serves the API."""
    log = configure_logging(flags["log_level"], "coordinator", flags["log_format"])
    try:
        file = click.get_current_context()
        shared, rules = shared_of(flags), rules_of(file, flags)
        if flags["check_config"]:
            check_settings(shared, flags, rules, log)
            click.echo(f"OK: {summary_of(rules)}")
            return
        log.info("settings loaded", **loaded(file), rules=summary_of(rules))
        asyncio.run(_run(shared, flags, rules, log))
    except CleancutError as error:
        sys.exit(fail(error))


def rules_of(file: click.Context, flags: dict[str, Any]) -> Rules:
    """Raises: Invalid, for what the file's tables may not hold."""
    fences = read_fences(file, flags["fence_budget"])
    schedules = read_schedules(file)
    own = {name: each.retention for name, each in schedules.items() if each.retention}
    share: float = flags["max_expire_share"]
    gc = GcSettings(
        retention=Policy(read_retention(file), own, frozenset(schedules), share),
        grace_s=flags["garbage_grace"],
        every_s=flags["gc_every"],
        stories_s=flags["history_for"],
    )
    cut_s: float = flags["cut_bound"]
    bounds = Bounds(
        cut_s=cut_s,
        seal_s=cut_s,
        per_shard_s=flags["shard_bound"],
        standstill_s=flags["standstill_bound"],
    )
    stores = read_stores(file)
    check_targets(schedules, stores)
    notify = read_notify(file)
    roles, archive = read_roles(file), read_archive(file)
    return Rules(fences, gc, schedules, roles, bounds, archive, stores, notify)


def check_settings(shared: Shared, flags: dict[str, Any], rules: Rules, log: Logger) -> None:
    """Checks what a start would refuse; nothing is contacted or written. Raises: CleancutError."""
    shared.check()
    parse_agent(flags["name"])
    parse_address(flags["grpc"])
    if flags["advertise"]:
        parse_address(flags["advertise"])
    for url in urls_of(flags["qdrant_url"]):
        check_url(url)
    listen = open_api(shared, {**flags, "audit_log": None}, rules.roles, log)
    if flags["ui"]:
        open_page(flags["ui"], listen)


def urls_of(text: str) -> list[str]:
    """The URLs of a comma-separated list. Raises: Invalid, for an empty one."""
    urls = [url.strip() for url in text.split(",") if url.strip()]
    if not urls:
        raise Invalid("--qdrant-url names no peer", "give the URL of at least one")
    return urls


def summary_of(rules: Rules) -> str:
    """What the file's tables hold, without secrets."""
    times = [f"{name} ({rule.do} at {rule.cron!r})" for name, rule in rules.schedules.items()]
    archived = ", ".join(rules.archive.collections) or "nothing"
    fenced = [rule.collection for rule in rules.fences.rules]
    keeps = "all backups are kept" if rules.gc.retention.keeps_all else "backups expire"
    return (
        f"schedules: {', '.join(times) or 'none'}; fences: {', '.join(fenced) or 'none'}; "
        f"archived: {archived}; retention: {keeps}; certificates with roles: {len(rules.roles)}; "
        f"stores of copies: {', '.join(rules.stores) or 'none'}; "
        f"notifications: {', '.join(rules.notify) or 'none'}"
        + "".join(f"; {one}" for one in unknown_schedules(rules.notify, rules.schedules))
    )


async def _run(shared: Shared, flags: dict[str, Any], rules: Rules, log: Logger) -> None:
    shared.check()  # before anything is waited for
    async with AsyncExitStack() as stack:
        etcd = await stack.enter_async_context(shared.open_etcd(SystemClock()))
        await warn_of_etcd(shared, etcd, log)
        opened = open_coordinator(shared, flags, rules, etcd=etcd, log=log)
        process = await stack.enter_async_context(opened)
        app = health_app(process.health, process.metrics.render)
        http = await stack.enter_async_context(serve(app, *parse_address(shared.http)))
        log.info("listening", http_port=http, grpc=process.listening, name=process.context.name)
        await until_signal(serve_coordinator(process))


@asynccontextmanager
async def open_coordinator(
    shared: Shared, flags: dict[str, Any], rules: Rules, *, etcd: Coordination, log: Logger
) -> AsyncIterator[CoordinatorProcess]:
    """The coordinator with all that it uses, for the length of the block, its API at work;
    `serve_coordinator` runs it."""
    clock = SystemClock()
    cluster, name = parse_cluster(shared.cluster), parse_agent(flags["name"])
    async with AsyncExitStack() as stack:
        metrics = CoordinatorMetrics(cluster, tuple(rules.notify))
        metrics.certificates.watch(_certificates(shared, flags))
        opened = open_store(shared.store, clock, shared.key_source)
        counted = InstrumentedStore(opened, metrics.count_request)
        stack.push_async_callback(counted.close)
        store = BoundedStore(counted, clock, url=shared.store, bound_s=_STORE_S)
        urls = urls_of(flags["qdrant_url"])
        peers = [await stack.enter_async_context(shared.open_qdrant(url)) for url in urls]
        listen = open_api(shared, flags, rules.roles, log)
        stores = {name: _open_copy(shared, rule, clock) for name, rule in rules.stores.items()}
        for one in stores.values():
            stack.push_async_callback(one.store.close)
        context = CoordinatorContext(
            name=name,
            store_url=shared.store,
            key_source=shared.key_source,
            keys=Keys(cluster),
            paths=Paths(cluster),
            etcd=etcd,
            store=store,
            peers=tuple(peers),
            clock=clock,
            fences=rules.fences,
            gc=rules.gc,
            file_schedules=rules.schedules,
            bounds=rules.bounds,
            archive=rules.archive,
            api_open=is_open_to_all(listen),
            alone=not shared.etcd,
            stores=stores,
            notify=rules.notify,
        )
        process = CoordinatorProcess(context, Health(), metrics, log)
        listen = _forwarding(process, listen, stack)
        asked = BoundedStore(counted, clock, url=shared.store, bound_s=_API_STORE_S)
        api = coordinator_api(
            dataclasses.replace(context, store=asked),
            process.leading,
            process.leader_address,
            lambda: process.trouble,
        )
        process.listening = await stack.enter_async_context(serve_api(api, listen))
        if flags["ui"]:
            page = open_page(flags["ui"], listen)
            reading = dataclasses.replace(context, store=asked)
            source = ClusterSource(reading, api, flags["audit_log"])
            opened_page = open_status_page(context, source, page, log)
            address = await stack.enter_async_context(opened_page)
            log.info("status page", address=address, tls=page.tls is not None)
        process.address = flags["advertise"] or process.listening
        yield process


def _certificates(shared: Shared, flags: dict[str, Any]) -> dict[str, Path]:
    """The files of certificates, by their flags."""
    served = {"grpc-ca": flags["grpc_ca"], "grpc-cert": flags["grpc_cert"]}
    return shared.certificates | {flag: path for flag, path in served.items() if path is not None}


def _forwarding(process: CoordinatorProcess, listen: Listen, stack: AsyncExitStack) -> Listen:
    """`listen`, with the process's end of forwarding, which ends with `stack`."""
    process.forwarding = Forwarding(
        process.context.name,
        EtcdMembers(process.context, process.token),
        tls=listen.tls,
        open=listen.access is None or listen.access.open,
    )
    stack.push_async_callback(process.forwarding.close)
    return dataclasses.replace(listen, forwarding=process.forwarding)


def _open_copy(shared: Shared, rule: StoreRule, clock: Clock) -> CopyStore:
    """The store, with the key of its own or that of the main store."""
    keys = shared.key_source_of(rule)
    opened = open_store(rule.url, clock, keys)
    return CopyStore(rule, BoundedStore(opened, clock, url=rule.url, bound_s=_STORE_S), keys)


def main() -> None:
    """Entry point of the program."""
    cli()


if __name__ == "__main__":
    main()

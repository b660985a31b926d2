"""cleancut solo: coordinator and agent of one Qdrant node in one process. Wiring only."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import parse_cluster
from cleancut.daemon_settings import (
    ENV_PREFIX,
    Shared,
    config_option,
    fail,
    loaded,
    read_stores,
    shared_of,
)
from cleancut.etcd.embedded.directory import OpenState, open_state
from cleancut.qdrant.http import check_url
from cleancut.runtime.addresses import parse_address
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.commands import Command
from cleancut.runtime.concurrency import until_signal
from cleancut.runtime.health import health_app, serve
from cleancut.runtime.log import Logger, configure_logging
from cleancut.runtime.prometheus import CONTENT_TYPE, merged
from cleancut_agent.backup.journal import own_directory
from cleancut_agent.capture.handles import raise_file_limit
from cleancut_agent.main import cli as agent_command
from cleancut_agent.main import open_agent
from cleancut_agent.process import AgentProcess, serve_agent
from cleancut_coordinator.main import (
    TABLES,
    Rules,
    check_settings,
    open_coordinator,
    rules_of,
    summary_of,
)
from cleancut_coordinator.main import cli as coordinator_command
from cleancut_coordinator.process import CoordinatorProcess, serve_coordinator
from cleancut_solo.one_node import OneNode
from cleancut_solo.state import default_state, report_state

NAME = "solo"
"""Of coordinator and agent alike."""
_END_S = 9.0
_OWN = {"config", "version", "cluster", "qdrant_url", "http"}
_OF_CLUSTERS = {"name", "advertise"}


@click.command(cls=Command, context_settings={"auto_envvar_prefix": ENV_PREFIX})
@config_option(TABLES)
@click.option("--qdrant-url", required=True, metavar="URL", help="The Qdrant node, on loopback.")
@click.option(
    "--cluster", default="default", show_default=True, help="Name of the backups in the store."
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="State of its own on a local disk.  [default: ~/.local/state/cleancut/CLUSTER]",
)
@click.option(
    "--http",
    default="127.0.0.1:7401",
    show_default=True,
    metavar="H:P",
    help="Health and metrics.",
)
def cli(**flags: Any) -> None:
    """Backs up and restores a Qdrant of one node, on a schedule too; nothing else is needed.

    Coordinator, agent and what they share are in this process: no etcd. `cleancut backup create`
    and the other commands work as with a cluster.
    """
    log = configure_logging(flags["log_level"], NAME, flags["log_format"])
    try:
        file = click.get_current_context()
        flags |= {"name": NAME, "advertise": "", "stores": read_stores(file)}
        shared, rules = shared_of(flags), rules_of(file, flags)
        flags["state"] = flags["state"] or default_state(parse_cluster(shared.cluster))
        flags["spill_dir"] = flags["state"] / "spill"
        check_url(flags["qdrant_url"])
        if flags["check_config"]:
            check_settings(shared, flags, rules, log)
            click.echo(f"OK: {summary_of(rules)}; state: {flags['state']}")
            return
        log.info("settings loaded", **loaded(file), rules=summary_of(rules))
        raise_file_limit()
        asyncio.run(until_signal(_run(shared, flags, rules, log), _END_S))
    except CleancutError as error:
        sys.exit(fail(error))


def _taken(command: click.Command, *, names: set[str] | None = None) -> list[click.Parameter]:
    """The flags of `command` that this program has as well; `names`: these alone."""
    return [
        each
        for each in command.params
        if str(each.name) not in _OWN | _OF_CLUSTERS
        and not str(each.name).startswith("etcd")
        and (names is None or each.name in names)
    ]


for _option in cli.params:
    if isinstance(_option, click.Option) and _option.name == "config":
        # In the environment, it names the command line's own file.
        _option.allow_from_autoenv = False
cli.params += _taken(coordinator_command) + _taken(
    agent_command, names={"qdrant_storage", "spill_max"}
)


@dataclass(frozen=True, slots=True)
class _Both:
    """The two processes as one: ready once both are, with the metrics of both."""

    coordinator: CoordinatorProcess
    agent: AgentProcess

    @property
    def ready(self) -> bool:
        return self.coordinator.health.ready and self.agent.health.ready

    @property
    def lacks(self) -> str:
        first = self.agent if self.coordinator.health.ready else self.coordinator
        return first.health.lacks

    def render(self) -> tuple[bytes, str]:
        pages = (self.coordinator.metrics.render(), self.agent.metrics.render())
        return merged(*(page for page, _ in pages)), CONTENT_TYPE


async def _run(shared: Shared, flags: dict[str, Any], rules: Rules, log: Logger) -> None:
    shared.check()  # before anything is waited for
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state(flags["state"], SystemClock()))
        _log_state(state, flags["state"], log)
        node = OneNode(
            await stack.enter_async_context(shared.open_qdrant(flags["qdrant_url"])), log
        )
        await node.check()
        stack.enter_context(own_directory(flags["spill_dir"]))
        opened = open_coordinator(shared, flags, rules, etcd=state.etcd, log=log)
        coordinator = await stack.enter_async_context(opened)
        agent = await stack.enter_async_context(open_agent(shared, flags, state.etcd, log))
        both = _Both(coordinator, agent)
        app = health_app(both, both.render)
        http = await stack.enter_async_context(serve(app, *parse_address(shared.http)))
        log.info("listening", http_port=http, grpc=coordinator.listening, name=NAME)
        await report_state(coordinator.context, log)
        async with asyncio.TaskGroup() as group:
            group.create_task(node.watch())
            group.create_task(serve_agent(agent))
            group.create_task(serve_coordinator(coordinator))


def _log_state(state: OpenState, directory: Path, log: Logger) -> None:
    log.info("state directory", directory=str(directory), is_new=state.is_new)
    if state.cut_bytes:
        log.warning("an unfinished write of a crash was dropped", size_bytes=state.cut_bytes)


def main() -> None:
    """Entry point of the program; `cleancut solo` runs it."""
    cli(prog_name="cleancut solo")


if __name__ == "__main__":
    main()

"""cleancut-operator: objects of Kubernetes become backups and restores. Wiring only."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from cleancut import __version__
from cleancut.client.client import Client
from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.daemon_settings import ENV_PREFIX, fail
from cleancut.runtime.addresses import parse_address, parse_addresses
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.commands import Command
from cleancut.runtime.health import Health, health_app, serve
from cleancut.runtime.log import LOG_OPTIONS, Logger, configure_logging
from cleancut.runtime.prometheus import CONTENT_TYPE
from cleancut.runtime.tls import tls_of
from cleancut_operator.kube import KubeApi, wait_served
from cleancut_operator.mirror import Mirror

CRDS_S = 120.0
"""How long the CRDs may take to be served."""
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=Command, context_settings={"auto_envvar_prefix": ENV_PREFIX})
@click.version_option(__version__)
@click.option(
    "--coordinator", required=True, metavar="H:P[,H:P]", help="The coordinators' addresses."
)
@click.option("--ca", type=_FILE, help="CA that signed the coordinators' certificates.")
@click.option("--cert", type=_FILE, help="Client certificate.")
@click.option("--key", type=_FILE, help="Its private key.")
@click.option("--token-file", type=_FILE, help="File that holds a token of the coordinators.")
@click.option("--namespace", metavar="NAME", help="Of the objects.  [default: the pod's]")
@click.option("--http", default="127.0.0.1:7403", show_default=True, metavar="H:P", help="Health.")
@LOG_OPTIONS[0]
@LOG_OPTIONS[1]
def cli(**flags: Any) -> None:
    """Makes backups and restores of the objects of Kubernetes that ask for them."""
    log = configure_logging(flags["log_level"], "operator", flags["log_format"])
    try:
        asyncio.run(_run(flags, log))
    except CleancutError as error:
        sys.exit(fail(error))


async def _run(flags: dict[str, Any], log: Logger) -> None:
    try:
        from cleancut_operator.watch import connection, tell, watch
    except ModuleNotFoundError as error:
        raise Invalid(f"{error.name} is missing", "pip install 'cleancut[operator]'") from error
    namespace = flags["namespace"] or connection().default_namespace
    if not namespace:
        raise Invalid("no namespace is known", "give --namespace")
    addresses = parse_addresses(flags["coordinator"])
    tls = tls_of(flags["ca"], flags["cert"], flags["key"])
    health = Health()
    health.lacks = "not watching"
    async with AsyncExitStack() as stack:
        client = Client(addresses, tls, token_file=flags["token_file"])
        await stack.enter_async_context(client)
        kube = await stack.enter_async_context(KubeApi(connection))
        app = health_app(health, lambda: (b"", CONTENT_TYPE))
        http = await stack.enter_async_context(serve(app, *parse_address(flags["http"])))
        log.info("listening", http_port=http, namespace=namespace)
        await wait_served(kube, CRDS_S)
        mirror = Mirror(client, kube, SystemClock(), tell=tell, log=log)
        await watch(mirror, namespace, health, flags["log_format"])
    log.info("ended")


def main() -> None:
    """Entry point of the program."""
    cli(prog_name="cleancut-operator")


if __name__ == "__main__":
    main()

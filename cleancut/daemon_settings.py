"""Settings of the programs: flag > environment (CLEANCUT_*) > file. Secrets only by file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from cleancut.core.maintenance.retention import Retention, check_retention
from cleancut.core.maintenance.schedule import ScheduleRule, check_schedule
from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.core.primitives.ids import parse_version
from cleancut.core.protocol.fence import FenceRule, FenceSettings, check_rule
from cleancut.etcd.client import Etcd, open_etcd
from cleancut.etcd.login import login_of
from cleancut.fencing.hooks import check_hook
from cleancut.ports.clock import Clock
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.http import check_key_line, check_url
from cleancut.runtime.addresses import is_loopback, parse_addresses
from cleancut.runtime.log import Logger
from cleancut.runtime.tls import tls_of
from cleancut.runtime.watched_files import WatchedFiles, WatchedSecret
from cleancut.store.key_source import KeySource

F = TypeVar("F", bound=Callable[..., Any])
ENV_PREFIX = "CLEANCUT"
_TABLES = "cleancut.tables"
OLDEST_ETCD = (3, 5, 13)
_FILE = click.Path(dir_okay=False, path_type=Path)
"""Existence is checked where the file is read: a secret may be mounted late."""

_COMMON = (
    click.option("--cluster", required=True, help="Name of the cluster that is backed up."),
    click.option("--etcd", required=True, metavar="H:P[,H:P]", help="Endpoints of etcd."),
    click.option("--etcd-ca", type=_FILE, help="CA that signed etcd's certificates."),
    click.option("--etcd-cert", type=_FILE, help="Client certificate for etcd."),
    click.option("--etcd-key", type=_FILE, help="Its private key."),
    click.option("--etcd-user", default="", metavar="NAME", help="User of etcd, with a password."),
    click.option("--etcd-password-file", type=_FILE, help="File that holds it."),
    click.option("--store", required=True, metavar="URL", help="file:///path or s3://bucket/pre."),
    click.option("--store-key-file", type=_FILE, help="File with the key that encrypts the store."),
    click.option(
        "--store-key-command", metavar="COMMAND", help="Prints it, whenever it is needed."
    ),
    click.option("--http", default="127.0.0.1:0", metavar="H:P", help="Health and metrics."),
    click.option("--qdrant-api-key-file", type=_FILE, help="File that holds Qdrant's API key."),
    click.option("--qdrant-ca", type=_FILE, help="CA that signed Qdrant's certificate."),
    click.option(
        "--insecure",
        multiple=True,
        type=click.Choice(["api", "etcd", "qdrant"]),
        help="Where commands and secrets may cross a network in the clear; repeatable.",
    ),
    click.option("--log-level", default="info", help="debug, info, warning or error."),
)


def common_options(function: F) -> F:
    """The flags that agent and coordinator share."""
    for option in reversed(_COMMON):
        function = option(function)
    return function


def load_file(context: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Makes a TOML file's keys the defaults of the flags of the same name."""
    if path is not None:
        try:
            settings = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise click.BadParameter(f"{path}: {error}") from error
        named = {key.replace("-", "_"): value for key, value in settings.items()}
        tables = {key: value for key, value in named.items() if _is_table(value)}
        flat = {key: value for key, value in named.items() if key not in tables}
        context.default_map = {**flat, **(context.default_map or {})}
        context.meta[_TABLES] = tables
    return path


def _is_table(value: Any) -> bool:
    entries = value if isinstance(value, list) else [value]
    return any(isinstance(entry, dict) for entry in entries)


def table_of(context: click.Context, name: str, default: Any = None) -> Any:
    """The file's table of this name, or `default`."""
    return context.meta.get(_TABLES, {}).get(name, default)


def read_fences(context: click.Context, budget_s: float) -> FenceSettings:
    """The file's `[[fence]]` tables. Raises: Invalid, for what they may not hold."""
    tables = table_of(context, "fence", [])
    try:
        rules = msgspec.convert(_underscored(tables), tuple[FenceRule, ...])
    except msgspec.ValidationError as error:
        raise Invalid(f"[[fence]] of the settings file: {error}") from error
    for rule in rules:
        check_rule(rule)
        if rule.pause:
            check_hook(rule.pause, rule.resume, rule.token_file)
    return FenceSettings(rules=rules, budget_s=budget_s)


def read_retention(context: click.Context) -> Retention:
    """The file's `[retention]` table. Raises: Invalid, for what it may not hold."""
    table = table_of(context, "retention", {})
    try:
        if not isinstance(table, dict):
            raise msgspec.ValidationError("it is written [retention], not [[retention]]")
        rules = msgspec.convert(_underscored(table), Retention)
    except msgspec.ValidationError as error:
        raise Invalid(f"[retention] of the settings file: {error}") from error
    check_retention(rules, "[retention]")
    return rules


def read_schedules(context: click.Context) -> dict[str, ScheduleRule]:
    """The file's `[schedule.NAME]` tables by name. Raises: Invalid, for what they may not hold."""
    tables = table_of(context, "schedule", {})
    if not isinstance(tables, dict):
        raise Invalid("[[schedule]] of the settings file: it is written [schedule.NAME]")
    schedules = {}
    for name, table in tables.items():
        try:
            schedules[name] = msgspec.convert(_underscored(table), ScheduleRule)
        except msgspec.ValidationError as error:
            raise Invalid(f"[schedule.{name}] of the settings file: {error}") from error
        check_schedule(name, schedules[name])
    return schedules


def _underscored(value: Any) -> Any:
    """TOML's keys may have dashes, as flags do."""
    match value:
        case dict():
            return {key.replace("-", "_"): _underscored(inner) for key, inner in value.items()}
        case list():
            return [_underscored(inner) for inner in value]
        case _:
            return value


config_option = click.option(
    "--config",
    type=_FILE,
    is_eager=True,
    expose_value=False,
    callback=load_file,
    help="TOML file of settings.",
)


@dataclass(frozen=True, slots=True)
class Shared:
    """The settings that agent and coordinator share, as given."""

    cluster: str
    etcd: str
    etcd_ca: Path | None
    etcd_cert: Path | None
    etcd_key: Path | None
    store: str
    store_key_file: Path | None
    store_key_command: str | None
    http: str
    etcd_user: str
    etcd_password_file: Path | None
    qdrant_api_key_file: Path | None
    qdrant_ca: Path | None
    insecure: tuple[str, ...]
    log_level: str

    @property
    def key_source(self) -> KeySource:
        return KeySource(self.store_key_file, self.store_key_command)

    def etcd_is_open(self) -> bool:
        """Whether traffic to etcd crosses a network in plaintext. Raises: Invalid."""
        addresses = parse_addresses(self.etcd)
        return self.etcd_ca is None and not all(is_loopback(one) for one in addresses)

    def open_etcd(self, clock: Clock) -> AbstractAsyncContextManager[Etcd]:
        """The etcd client, for the length of a block. Raises: Invalid, Unavailable."""
        login = login_of(self.etcd_user, self.etcd_password_file)
        if login is not None and self.etcd_is_open() and "etcd" not in self.insecure:
            raise Invalid(
                "the password would go to etcd in the clear",
                "give --etcd-ca, or say that this network may see it: --insecure etcd",
            )
        return open_etcd(
            parse_addresses(self.etcd),
            tls=tls_of(self.etcd_ca, self.etcd_cert, self.etcd_key),
            login=login,
            clock=clock,
        )

    def open_qdrant(self, url: str) -> Qdrant:
        """One peer. Raises: Denied (unreadable files), Invalid (no URL, or the key would go in the
        clear)."""
        check_url(url)
        file = self.qdrant_api_key_file
        if file is not None and "qdrant" not in self.insecure:
            check_key_line(url)
        api_key = None if file is None else WatchedSecret(file)
        if api_key is not None:
            api_key.get()
        if self.qdrant_ca is not None:
            WatchedFiles([self.qdrant_ca]).read()
        return Qdrant(url, api_key=api_key, ca_file=self.qdrant_ca)


async def warn_of_etcd(shared: Shared, etcd: Etcd, log: Logger) -> None:
    """Logs a warning if etcd is older than supported, reached in plaintext, or unreachable."""
    if shared.etcd_is_open():
        log.warning(
            "etcd is reached without TLS: every host that can reach it controls the backups"
        )
    try:
        version = await etcd.version()
    except CleancutError as error:
        log.warning("etcd does not answer", cause=error.message, hint=error.hint)
        return
    if parse_version(version) < OLDEST_ETCD:
        log.warning("etcd is too old to be trusted", version=version, supported=">= 3.5.13")


def shared_of(flags: dict[str, Any]) -> Shared:
    """The shared part of a program's parsed flags."""
    return Shared(**{field.name: flags[field.name] for field in fields(Shared)})


def fail(error: CleancutError) -> int:
    """Prints the error and its hint to stderr; returns its exit code."""
    click.echo(f"error: {error.message}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)
    click.echo(f"reason: {error.reason}", err=True)
    return error.exit_code

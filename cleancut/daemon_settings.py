"""Settings of the programs: flag > environment (CLEANCUT_*) > file. Secrets only by file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource

from cleancut import __version__
from cleancut.core.archive.plan import ArchiveSettings, check_archive
from cleancut.core.maintenance.notify_rules import NotifyRule, check_notify, full_url
from cleancut.core.maintenance.retention import Retention, check_retention
from cleancut.core.maintenance.schedule import ScheduleRule, check_schedule
from cleancut.core.maintenance.stores import StoreRule, check_store_rule
from cleancut.core.primitives.durations import parse_duration
from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.core.primitives.ids import parse_cluster, parse_version
from cleancut.core.primitives.sizes import parse_size
from cleancut.core.primitives.spelling import check_keys, meant, suggestion
from cleancut.core.protocol.fence import FenceRule, FenceSettings, check_rule
from cleancut.etcd.client import Etcd, open_etcd
from cleancut.etcd.login import login_of
from cleancut.fencing.hooks import check_hook
from cleancut.ports.clock import Clock
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.http import check_key_line, check_url
from cleancut.runtime.addresses import is_loopback, parse_address, parse_addresses
from cleancut.runtime.commands import wrong_types
from cleancut.runtime.log import LOG_OPTIONS, Logger
from cleancut.runtime.tls import tls_of
from cleancut.runtime.toml_files import read_toml
from cleancut.runtime.watched_files import WatchedFiles, WatchedSecret
from cleancut.runtime.webhook import check_webhook_url
from cleancut.store.key_source import KeySource
from cleancut.store.urls import parse_store_url

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound=msgspec.Struct)
Shapes = Mapping[str, str]
"""Names of tables, and how each is written, such as `[schedule.NAME]`."""
ENV_PREFIX = "CLEANCUT"
_TABLES, _PATH, _SETTINGS = "cleancut.tables", "cleancut.path", "cleancut.settings"
_NOT_IN_FILES = {"config", "check-config", "help", "version"}
_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "array": "a list",
    "bool": "true or false",
    "object": "a table",
    "null": "nothing",
}
_PLACE = re.compile(r" - at `\$\.([^`]*)`")
OLDEST_ETCD = (3, 5, 13)
STORE_HELP = "file:///path, s3://bucket/prefix, az://container/prefix or gs://bucket/prefix."
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
    click.option("--store", required=True, metavar="URL", help=STORE_HELP),
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
    *LOG_OPTIONS,
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
            settings = read_toml(path)
        except (OSError, ValueError) as error:
            raise click.BadParameter(f"{path}: {error}") from error
        tables = {key: value for key, value in settings.items() if _is_table(value)}
        flat = {key.replace("-", "_"): settings[key] for key in settings.keys() - tables.keys()}
        if isinstance(main := tables.get("store"), dict) and isinstance(main.get("url"), str):
            flat["store"] = main["url"]  # since TOML has no `store = ..` next to [store.NAME]
        context.default_map = {**flat, **(context.default_map or {})}
        context.meta[_TABLES], context.meta[_PATH] = tables, path
        context.meta[_SETTINGS] = settings
    return path


def _is_table(value: Any) -> bool:
    entries = value if isinstance(value, list) else [value]
    return any(isinstance(entry, dict) for entry in entries)


def check_top_level(settings: Mapping[str, Any], keys: Collection[str], tables: Shapes) -> None:
    """Checks the names of a file's tables and top-level keys. Raises: Invalid.

    `keys`: names of the flags that may be in the file. `tables`: the tables, as they are written.
    """
    faults, seen = [], set()
    for key, value in settings.items():
        name = key.replace("_", "-")
        if name in seen:
            faults.append(f"`{key}` is given twice, with a dash and with an underscore")
        seen.add(name)
        if name in keys and name in tables:
            continue
        if name in keys and _is_table(value):
            faults.append(f"`{_written(key, value)}` is a key, not a table: write `{name} = ...`")
        elif key in tables and value != [] and not _is_table(value):
            faults.append(f"`{key}` is a table: it is written `{tables[key]}`")
        elif name not in keys and key not in tables and _is_table(value):
            likely = meant(key, tables)
            hint = f": did you mean `{_like(tables[likely], value)}`?" if likely else ""
            faults.append(f"unknown table `{_written(key, value)}`{hint}")
        elif name not in keys and key not in tables:
            faults.append(f"unknown key `{key}`{suggestion(key, [*keys, *tables])}")
    if faults:
        raise Invalid("; ".join(faults))


def _written(key: str, value: Any) -> str:
    """The head of a table as it stands in the file."""
    if isinstance(value, list):
        return f"[[{key}]]"
    inner = [name for name, each in value.items() if isinstance(each, dict)]
    return f"[{key}.{inner[0]}]" if inner and len(inner) == len(value) else f"[{key}]"


def _like(shape: str, value: Any) -> str:
    """The head that was probably meant: `[schedule.nightly]` for `[schedul.nightly]`."""
    name = _written("", value).strip("[].")
    return shape.replace("NAME", name) if name else shape


def table_of(context: click.Context, name: str, default: Any = None) -> Any:
    """The file's table of this name, or `default`."""
    return context.meta.get(_TABLES, {}).get(name, default)


def read_fences(context: click.Context, budget_s: float) -> FenceSettings:
    """The file's `[[fence]]` tables. Raises: Invalid, for what they may not hold."""
    tables = table_of(context, "fence", [])
    if not isinstance(tables, list):
        raise Invalid("[fence] of the settings file: it is written [[fence]]")
    rules = tuple(_record(FenceRule, table, "[[fence]]") for table in tables)
    for rule in rules:
        check_rule(rule)
        if rule.pause:
            check_hook(rule.pause, rule.resume, rule.token_file)
    return FenceSettings(rules=rules, budget_s=budget_s)


def read_retention(context: click.Context) -> Retention:
    """The file's `[retention]` table. Raises: Invalid, for what it may not hold."""
    table = table_of(context, "retention", {})
    if not isinstance(table, dict):
        raise Invalid("[[retention]] of the settings file: it is written [retention]")
    rules = _record(Retention, table, "[retention]")
    check_retention(rules, "[retention]")
    return rules


def read_schedules(context: click.Context) -> dict[str, ScheduleRule]:
    """The file's `[schedule.NAME]` tables by name. Raises: Invalid, for what they may not hold."""
    tables = table_of(context, "schedule", {})
    if not isinstance(tables, dict):
        raise Invalid("[[schedule]] of the settings file: it is written [schedule.NAME]")
    schedules = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise Invalid(f"`{name}` in `[schedule]`: a schedule is written [schedule.NAME]")
        schedules[name] = read_schedule(name, table)
    return schedules


def read_schedule(name: str, table: Mapping[str, Any]) -> ScheduleRule:
    """One schedule, as a `[schedule.NAME]` table has it. Raises: Invalid."""
    schedule = _record(ScheduleRule, table, f"[schedule.{name}]")
    check_schedule(name, schedule)
    return schedule


def read_stores(context: click.Context) -> dict[str, StoreRule]:
    """The file's `[store.NAME]` tables by name. Raises: Invalid, for what they may not hold."""
    tables = table_of(context, "store", {})
    if not isinstance(tables, dict):
        raise Invalid("[[store]] of the settings file: it is written [store.NAME]")
    stores = {}
    for name, table in tables.items():
        if name == "url" and isinstance(table, str):
            continue
        if not isinstance(table, dict):
            raise Invalid(f"`{name}` in `[store]`: the store of copies is written [store.NAME]")
        stores[name] = _record(StoreRule, table, f"[store.{name}]")
        check_store_rule(name, stores[name])
        parse_store_url(stores[name].url)
    return stores


def read_notify(context: click.Context) -> dict[str, NotifyRule]:
    """The file's `[notify.NAME]` tables by name. Raises: Invalid, for what they may not hold."""
    tables = table_of(context, "notify", {})
    if not isinstance(tables, dict):
        raise Invalid("[[notify]] of the settings file: it is written [notify.NAME]")
    rules = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise Invalid(f"`{name}` in `[notify]`: a target is written [notify.NAME]")
        rules[name] = rule = _record(NotifyRule, table, f"[notify.{name}]")
        check_notify(name, rule)
        for url in (rule.url, *(full_url(rule.url, one) for one in rule.further())):
            if rule.url:
                _check_url_of(f"[notify.{name}]", url, insecure=rule.insecure)
    return rules


def _check_url_of(where: str, url: str, *, insecure: bool) -> None:
    try:
        check_webhook_url(url, insecure=insecure)
    except Invalid as error:
        raise Invalid(f"{where}: {error.message}", error.hint) from error


def read_archive(context: click.Context) -> ArchiveSettings:
    """The file's `[archive]` table. Raises: Invalid, for what it may not hold."""
    table = table_of(context, "archive", {})
    if not isinstance(table, dict):
        raise Invalid("[[archive]] of the settings file: it is written [archive]")
    return check_archive(_record(ArchiveSettings, table, "[archive]"))


def _record(kind: type[R], table: Any, where: str) -> R:
    """The table as a record. Raises: Invalid; `where`: the table's head."""
    if not isinstance(table, dict):
        raise Invalid(f"{where} of the settings file: {table!r} is not a table")
    values = _values(kind, table, where)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{where}: {_fault(kind, error)}") from error


def _fault(kind: type[msgspec.Struct], error: msgspec.ValidationError) -> str:
    """What is wrong in a table, in the file's words."""
    text, key = str(error), ""
    if at := _PLACE.search(text):
        key = at[1]
        text = f"`{key.replace('_', '-')}`: {text[: at.start()]}"
    for name, word in _TYPE_WORDS.items():
        text = text.replace(f"`{name}`", word)
    types = {each.encode_name: each.type for each in msgspec.structs.fields(kind)}
    if isinstance(allowed := types.get(key), type) and issubclass(allowed, Enum):
        text += f", use one of {', '.join(str(one.value) for one in allowed)}"
    return text


def _values(kind: type[msgspec.Struct], table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table's values by the record's names, durations in seconds. Raises: Invalid."""
    known = {each.encode_name: each for each in msgspec.structs.fields(kind)}
    check_keys(where, table, known)
    values = {}
    for key, value in table.items():
        each = known[key.replace("-", "_")]
        if isinstance(value, float) and not math.isfinite(value):
            raise Invalid(f"`{key}` in `{where}` is not a finite number: {value}")
        if each.name == "retention" and isinstance(value, dict):
            value = _values(Retention, value, f"[{where.strip('[]')}.{key}]")
        if each.name.endswith(("_s", "_bytes")) and isinstance(value, str):
            try:
                value = (parse_duration if each.name.endswith("_s") else parse_size)(value)
            except Invalid as error:
                raise Invalid(f"`{key}` in `{where}`: {error.message}") from error
        values[each.encode_name] = value
    return values


class Duration(click.FloatRange):
    """A flag's duration, in seconds or as 90s, 10m, 24h or 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            seconds = parse_duration(value) if isinstance(value, str) else value
        except Invalid as error:
            self.fail(error.message, param, ctx)
        if isinstance(seconds, bool):
            self.fail(f"{value!r} is not a duration: write 90s, 10m, 24h, 7d or 1h30m", param, ctx)
        return super().convert(seconds, param, ctx)


class Size(click.ParamType[int]):
    """A flag's size, in bytes or as 512MiB, 4GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(str(value))
        except Invalid as error:
            self.fail(error.message, param, ctx)


def config_option(tables: Shapes = MappingProxyType({})) -> Callable[[F], F]:
    """`--config` of a program whose file may hold `tables`; and `--version`."""

    def load(context: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
        load_file(context, param, path)
        flags = {str(each.name).replace("_", "-") for each in context.command.params}
        try:
            settings = context.meta.get(_SETTINGS, {})
            check_top_level(settings, flags - _NOT_IN_FILES, tables)
        except Invalid as error:
            raise click.BadParameter(f"{path}: {error.message}") from error
        flat = {
            key: one for key, one in settings.items() if key not in tables or not _is_table(one)
        }
        faults = wrong_types(flat, context.command.params)
        if faults:
            raise click.BadParameter(f"{path}: {'; '.join(faults)}")
        return path

    config = click.option(
        "--config",
        type=_FILE,
        is_eager=True,
        expose_value=False,
        callback=load,
        help="TOML file of settings.",
    )
    version = click.version_option(
        __version__, message="%(prog)s %(version)s", allow_from_autoenv=False
    )
    return lambda function: config(version(function))


def loaded(context: click.Context) -> dict[str, Any]:
    """Where the settings come from, for the log: the file, and the names of those that are set in
    it, in the environment and by flags."""
    names: dict[ParameterSource, list[str]] = {}
    for name in context.params:
        source = context.get_parameter_source(name) or ParameterSource.DEFAULT
        names.setdefault(source, []).append(name.replace("_", "-"))
    return {
        "file": str(context.meta.get(_PATH, "")),
        "tables": sorted(context.meta.get(_TABLES, {})),
        "from_file": sorted(names.get(ParameterSource.DEFAULT_MAP, [])),
        "from_environment": sorted(names.get(ParameterSource.ENVIRONMENT, [])),
        "from_flags": sorted(names.get(ParameterSource.COMMANDLINE, [])),
    }


@dataclass(frozen=True, slots=True)
class Shared:
    """The settings that all programs share, as given. `etcd` "": the embedded one, for which there
    are no flags."""

    cluster: str
    store: str
    store_key_file: Path | None
    store_key_command: str | None
    http: str
    qdrant_api_key_file: Path | None
    qdrant_ca: Path | None
    insecure: tuple[str, ...]
    log_level: str
    log_format: str
    etcd: str = ""
    etcd_ca: Path | None = None
    etcd_cert: Path | None = None
    etcd_key: Path | None = None
    etcd_user: str = ""
    etcd_password_file: Path | None = None

    @property
    def key_source(self) -> KeySource:
        return KeySource(self.store_key_file, self.store_key_command)

    def key_source_of(self, rule: StoreRule) -> KeySource:
        """Of a further store: a key of its own, or that of the main one."""
        if not rule.has_key:
            return self.key_source
        file = Path(rule.key_file) if rule.key_file else None
        return KeySource(file, rule.key_command or None, from_environment=False)

    @property
    def certificates(self) -> dict[str, Path]:
        """The files of certificates that are given, by their flags."""
        given = {"etcd-ca": self.etcd_ca, "etcd-cert": self.etcd_cert, "qdrant-ca": self.qdrant_ca}
        return {flag: path for flag, path in given.items() if path is not None}

    def check(self) -> None:
        """Checks names, addresses and the store's URL; nothing is contacted. Raises: Invalid."""
        parse_cluster(self.cluster)
        parse_store_url(self.store)
        if self.etcd:
            parse_addresses(self.etcd)
        parse_address(self.http)

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
    known = (field.name for field in fields(Shared) if field.name in flags)
    return Shared(**{name: flags[name] for name in known})


def fail(error: CleancutError) -> int:
    """Prints the error and its hint to stderr; returns its exit code."""
    click.echo(f"error: {error.message}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)
    click.echo(f"reason: {error.reason}", err=True)
    return error.exit_code

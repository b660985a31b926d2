"""Settings of one invocation: flag > environment (CLEANCUT_*) > file > default.

The shared flags are accepted before the noun and after the verb: both read well, and a later one
wins. Secrets are never flags: S3 credentials come from boto3's chain, keys and tokens from files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cleancut.cli.terminal import follow_output
from cleancut.core.primitives import durations, sizes
from cleancut.core.primitives.errors import Invalid
from cleancut.runtime.commands import Command, Group, wrong_types

if TYPE_CHECKING:
    from cleancut.client.client import Client
    from cleancut.runtime.tls import Tls
    from cleancut.store.key_source import KeySource

FORMATS = ("table", "wide", "json", "ndjson", "yaml", "name")
DEFAULT_COORDINATOR = "127.0.0.1:7400"


@dataclass(slots=True)
class Settings:
    """What the shared flags, the environment and the file say together."""

    coordinator: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    token_file: str | None = None
    output: str = "table"
    store: str | None = None
    cluster: str | None = None
    store_key_file: str | None = None
    store_key_command: str | None = None
    quiet: bool = False
    flags: set[str] = field(default_factory=set)
    """Those that were given on the command line itself: they beat environment and file."""
    needs_both: bool = False
    """Whether the command uses a store and a coordinator."""

    @property
    def addresses(self) -> list[str]:
        text = self.coordinator or DEFAULT_COORDINATOR
        return [_with_port(part.strip()) for part in text.split(",") if part.strip()]

    @property
    def tls(self) -> Tls | None:
        """Raises: Invalid, for files that identify neither server nor client."""
        from cleancut.runtime.tls import tls_of

        tls = tls_of(*(Path(file) if file else None for file in (self.ca, self.cert, self.key)))
        if tls is not None and (tls.ca is None or (tls.cert is None and not self.token_file)):
            raise Invalid(
                "TLS needs a CA, and a certificate or a token",
                "give --ca with --cert and --key, with --token-file, or with all of them",
            )
        return tls

    def client(self) -> Client:
        """A client of the coordinators with these credentials. Raises: Invalid."""
        from cleancut.client.client import Client

        token = Path(self.token_file) if self.token_file else None
        return Client(self.addresses, self.tls, token_file=token)

    @property
    def offline(self) -> bool:
        """True if the catalog is read from a store, without a coordinator: a flag decides before
        the environment and the file do.

        Raises: Invalid, if flags name both.
        """
        self.check_one_target()
        if "coordinator" in self.flags:
            return False
        return bool(self.store) and ("store" in self.flags or not self.coordinator)

    @property
    def ignores_coordinator(self) -> bool:
        """True if a flag names a store, and the environment or the file a coordinator."""
        named = bool(self.coordinator) and "coordinator" not in self.flags
        return named and "store" in self.flags and not self.quiet and not self.needs_both

    def check_one_target(self) -> None:
        """Raises: Invalid, if flags name a store and a coordinator, unless both are needed."""
        if self.needs_both:
            return
        if {"store", "coordinator"} <= self.flags:
            raise Invalid(
                "--store and --coordinator name two places; nothing was done",
                "give --coordinator to ask a coordinator, or --store to read the store alone",
            )

    def check_asks_coordinator(self) -> None:
        """Raises: Invalid, if a flag names a store, for a command that a coordinator carries
        out on its own store."""
        self.check_one_target()
        if "store" in self.flags and not self.needs_both:
            raise Invalid(
                "--store reads a store alone, this command asks a coordinator; nothing was done",
                "leave --store out, and name the coordinator with --coordinator",
            )

    @property
    def expected_cluster(self) -> str:
        """The cluster that a coordinator has to be of; "" if any. A coordinator that a flag names
        is not compared with a cluster in the environment."""
        by_flag = "cluster" in self.flags or "coordinator" not in self.flags
        return (self.cluster or "") if by_flag else ""

    @property
    def key_source(self) -> KeySource:
        from cleancut.store.key_source import KeySource

        file = self.store_key_file
        return KeySource(Path(file) if file else None, self.store_key_command)


def _with_port(address: str) -> str:
    """The address of a coordinator; one without a port has the usual one."""
    bare = address.endswith("]") or ":" not in address
    return f"{address}:{DEFAULT_COORDINATOR.rpartition(':')[2]}" if bare else address


def settings_of(context: click.Context) -> Settings:
    """The invocation's one `Settings`."""
    return context.ensure_object(Settings)


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    assert option.name is not None
    if value is not None:
        settings = settings_of(context)
        setattr(settings, option.name, value)
        if context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            settings.flags.add(option.name)
        if option.name == "output":
            follow_output(settings.output)


def shared_options(*, inner: bool) -> list[click.Parameter]:
    """The flags of the root; the `inner` ones, of each verb, are hidden except the usual ones."""
    texts = (
        ("--coordinator", "H:P[,H:P]", f"Coordinators' addresses (default {DEFAULT_COORDINATOR})."),
        ("--ca", "FILE", "CA that signed the coordinators' certificates."),
        ("--cert", "FILE", "Client certificate."),
        ("--key", "FILE", "Its private key."),
        ("--token-file", "FILE", "File that holds a token of the coordinators."),
        ("--store", "URL", "Read the catalog of this store, without a coordinator."),
        ("--cluster", "NAME", "The cluster whose catalog is read."),
        ("--store-key-file", "FILE", "The key of an encrypted store (or CLEANCUT_STORE_KEY)."),
        ("--store-key-command", "COMMAND", "Command that prints that key."),
    )
    options: list[click.Parameter] = [
        _option(flag, inner=inner, metavar=metavar, help=text) for flag, metavar, text in texts
    ]
    output = ("-o", "--output")
    kinds = click.Choice(FORMATS)
    options.append(_option(*output, inner=inner, shown=True, type=kinds, help="Format of stdout."))
    quiet = ("-q", "--quiet")
    options.append(
        _option(*quiet, inner=inner, is_flag=True, default=None, help="Show no progress.")
    )
    return options


def _option(*flags: str, inner: bool, shown: bool = False, **rest: Any) -> click.Option:
    name = flags[-1].removeprefix("--").replace("-", "_").upper()
    env = None if inner else f"CLEANCUT_{name}"
    return click.Option(
        flags,
        expose_value=False,
        callback=_remember,
        envvar=env,
        show_envvar=env is not None,
        hidden=inner and not shown,
        **rest,
    )


class Explained(click.Command):
    """A command whose help is plain text, and ends with examples and the address of its page."""

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx).replace("`", "'")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from cleancut.cli.examples import explained

        super().format_epilog(ctx, formatter)
        found = explained(ctx.command_path.partition(" ")[2])
        if found is not None:
            with formatter.section("Examples"):
                for line in found.lines:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
            formatter.write(f"\nDocumentation: {found.url}\n")


class Verb(Explained, Command):
    """A command that accepts the shared flags too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = {flag for param in self.params for flag in param.opts}
        shared = shared_options(inner=True)
        self.params.extend(p for p in shared if not own.intersection(p.opts))


class Noun(Explained, Group):
    """A group whose commands are `Verb`s."""

    command_class = Verb


def load_config(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    """Makes a file's keys the defaults of the shared flags (the file is optional at its usual
    place, required where named)."""
    chosen = path if path is not None else usual_path(os.environ)
    if chosen is None or (path is None and not os.path.isfile(chosen)):
        return  # isfile: a home directory that cannot be read has no file either
    from cleancut.runtime.toml_files import read_toml

    try:
        found = read_toml(chosen)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot read {chosen}: {error}") from error
    known = {param.name for param in shared_options(inner=False)}
    unknown = sorted(found.keys() - known)
    if unknown:
        from cleancut.core.primitives.spelling import suggestion

        hints = [f"{name}{suggestion(name, filter(None, known))}" for name in unknown]
        raise click.UsageError(f"{chosen} has unknown settings: {', '.join(hints)}")
    faults = wrong_types(found, context.command.params)
    if faults:
        raise click.UsageError(f"{chosen}: {'; '.join(faults)}")
    context.default_map = {**found, **(context.default_map or {})}


def usual_path(environment: Mapping[str, str]) -> Path | None:
    """None without a home directory, as for an arbitrary user id in a container."""
    home = environment.get("HOME")
    base = environment.get("XDG_CONFIG_HOME") or (home and f"{home}/.config")
    return Path(base) / "cleancut" / "config.toml" if base else None


def parse_size(text: str) -> int:
    """Bytes of 65536, 64KiB, 64k, 1.5MiB or 2G: units are of 1024. Raises: BadParameter."""
    try:
        return sizes.parse_size(str(text))
    except Invalid as error:
        raise click.BadParameter(error.message) from error


def parse_duration(text: str) -> float:
    """Seconds of 90, 90s, 10m, 24h, 7d or 1h30m. Raises: BadParameter."""
    try:
        return durations.parse_duration(str(text))
    except Invalid as error:
        raise click.BadParameter(error.message) from error


_LONGEST_TERM_S = 36500 * 86400.0


def parse_term(text: str) -> float:
    """As `parse_duration`, but not 0: how long something is kept or valid. Raises: BadParameter."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise click.BadParameter(f"{text!r} is too short: give more than 0, or leave the flag out")
    if seconds > _LONGEST_TERM_S:
        raise click.BadParameter(
            f"{text!r} is too long: give at most 36500d, or leave the flag out"
        )
    return seconds

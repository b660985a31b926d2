"""Commands of the programs: one error names all that is missing, `help` reads like --help, and
values of a settings file have the type of their flag."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


class Command(click.Command):
    """A command that names all missing arguments and flags at once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            raise click.UsageError(_text(ctx, _missing(self, ctx, given)), ctx) from error


class Group(click.Group):
    """A group in which `help COMMAND` shows what `COMMAND --help` shows."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == "help" and "help" not in self.commands:
            args = [*args[1:], "--help"]
        return super().resolve_command(ctx, args)


def _missing(command: click.Command, ctx: click.Context, given: list[str]) -> list[click.Parameter]:
    values, _, _ = command.make_parser(ctx).parse_args(given)
    required = [each for each in command.get_params(ctx) if each.required]
    return [one for one in required if one.value_is_missing(one.consume_value(ctx, values)[0])]


def _text(ctx: click.Context, missing: Sequence[click.Parameter]) -> str:
    arguments = [_shown(ctx, one) for one in missing if isinstance(one, click.Argument)]
    options = [one for one in missing if isinstance(one, click.Option)]
    parts = []
    if arguments:
        parts.append(_counted("argument", arguments))
    if options:
        parts.append(_counted("option", [_shown(ctx, one) for one in options]))
    variables = [name for one in options if (name := _variable(ctx, one))]
    elsewhere = f" (or {', '.join(variables)})" if variables else ""
    if ctx.auto_envvar_prefix and any(one.name == "config" for one in ctx.command.params):
        elsewhere += "; settings are flags, in the environment, or keys of the --config file"
    return f"missing {' and '.join(parts)}{elsewhere}"


def _counted(kind: str, names: list[str]) -> str:
    return f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _shown(ctx: click.Context, one: click.Parameter) -> str:
    name = max(one.opts, key=len) if isinstance(one, click.Option) else one.make_metavar(ctx)
    choices: Any = getattr(one.type, "choices", ())
    return f"{name} ({' | '.join(map(str, choices))})" if choices else name


def _variable(ctx: click.Context, one: click.Option) -> str:
    """Its environment variable, if it has one."""
    if one.envvar:
        return one.envvar if isinstance(one.envvar, str) else next(iter(one.envvar))
    prefix = ctx.auto_envvar_prefix if one.allow_from_autoenv else None
    return f"{prefix}_{str(one.name).upper()}" if prefix else ""


def wrong_types(settings: Mapping[str, Any], params: Iterable[click.Parameter]) -> list[str]:
    """What is wrong with the types of a file's values; each key is named like its flag."""
    known = {str(one.name): one for one in params if isinstance(one, click.Option)}
    faults = []
    for key, value in settings.items():
        option = known.get(key.replace("-", "_"))
        expected = _expected(option, value) if option is not None else ""
        if expected:
            faults.append(f"`{key}` is {value!r}: write {expected}")
    return faults


def _expected(option: click.Option, value: Any) -> str:
    """How the value is to be written; "" if it is of the right type."""
    if option.multiple:
        listed = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return "" if listed else 'a list of texts, as in ["a", "b"]'
    if option.is_flag:
        return "" if isinstance(value, bool) else "true or false"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    number = number and math.isfinite(value)
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        return "" if number or isinstance(value, str) else "a number"
    return "" if isinstance(value, str) else 'text in quotes, as in "a"'

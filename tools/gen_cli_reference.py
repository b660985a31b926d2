"""Generator of docs/reference/cli.md, from the command line's own definition."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from cleancut.cli.exit_codes import MEANINGS
from cleancut.cli.main import root

_HEAD = """# Command line

Written by `make docs` from the program itself; change it there.

Data goes to stdout, everything for people to stderr. The flags of `cleancut` itself are accepted
after the verb too. Settings: flag, then environment (`CLEANCUT_*`), then the TOML file.
A flag beats the environment: with `--store` a command reads the store, even if the environment
names a coordinator, and says so; both flags together are refused, except by commands that need
both. `--cluster` is needed only for a store that holds several clusters: `cluster list` names them.
With `-o json` an error is one line of JSON on stderr ([schema](schemas/error.json)).
"""


def reference() -> str:
    """The whole page."""
    parts = [_HEAD, _section(root, "cleancut", 2)]
    parts += [_section(command, path, 3) for path, command in leaves(root, "cleancut")]
    rows = [f"| {code.value} | {text} |" for code, text in MEANINGS.items()]
    parts.append("\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """All commands that do something, sorted, with the words that call them."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in sorted(command.commands):
        yield from leaves(command.commands[name], f"{path} {name}")


def _section(command: click.Command, path: str, depth: int) -> str:
    context = click.Context(
        command, info_name=path, terminal_width=100, help_option_names=["-h", "--help"]
    )
    return f"{'#' * depth} {path}\n\n```\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())

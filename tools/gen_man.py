"""Generator of man pages, one a program and one a command, from the command lines' definitions.

Usage: python -m tools.gen_man FOLDER
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import click

from cleancut import __version__
from cleancut.cli.exit_codes import MEANINGS
from cleancut.cli.main import root
from cleancut_agent.main import cli as agent
from cleancut_coordinator.main import cli as coordinator
from tools.gen_cli_reference import leaves


def pages() -> dict[str, str]:
    """Every page by its file's name, such as `cleancut-backup-create.1`."""
    programs = [("cleancut-agent", agent), ("cleancut-coordinator", coordinator)]
    commands = [("cleancut", root), *leaves(root, "cleancut"), *programs]
    return {f"{path.replace(' ', '-')}.1": page(path, command) for path, command in commands}


def page(path: str, command: click.Command) -> str:
    """One page in the macros of man(7)."""
    context = click.Context(command, info_name=path, help_option_names=["-h", "--help"])
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [
        f'.TH "{path.replace(" ", "-").upper()}" 1 "" "cleancut {__version__}" "cleancut"',
        ".SH NAME",
        f"{path.replace(' ', chr(92) + '-')} \\- {_plain(command.get_short_help_str(200))}",
        ".SH SYNOPSIS",
        f".B {path}",
        _plain(usage),
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
    ]
    options = [
        found for one in command.get_params(context) if (found := one.get_help_record(context))
    ]
    if options:
        parts.append(".SH OPTIONS")
        parts += [
            line for flags, text in options for line in (".TP", f".B {_plain(flags)}", _plain(text))
        ]
    if isinstance(command, click.Group):
        parts += [".SH COMMANDS", *_commands(command, path)]
    if path.split()[0] == "cleancut":
        parts.append(".SH EXIT STATUS")
        parts += [
            line
            for code, text in MEANINGS.items()
            for line in (".TP", str(code.value), _plain(text))
        ]
    return "\n".join(parts) + "\n"


def _commands(group: click.Group, path: str) -> list[str]:
    found = []
    for name, command in leaves(group, path):
        found += [
            ".TP",
            f".BR {name.replace(' ', chr(92) + '-')} (1)",
            _plain(command.get_short_help_str(200)),
        ]
    return found


def _paragraphs(text: str) -> list[str]:
    """Blocks of help text; those marked with \\b keep their lines."""
    lines: list[str] = []
    for block in inspect.cleandoc(text).split("\n\n"):
        kept = block.startswith("\b")
        rows = [_plain(row) for row in block.removeprefix("\b\n").splitlines()]
        lines += [".PP", *([".nf", *rows, ".fi"] if kept else rows)]
    return lines


def _plain(text: str) -> str:
    """Text that roff takes as it is: escapes, hyphens, and dots at the begin of a line."""
    safe = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

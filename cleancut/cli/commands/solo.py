"""`cleancut solo`: backups of a Qdrant of one node, by one process."""

from __future__ import annotations

import os
import sys

import click

from cleancut.cli.settings import settings_of
from cleancut.runtime.commands import Command

MODULE = "cleancut_solo.main"
"""Run as a program, by name: nothing of the command line imports it."""
_PASSED = ("store", "cluster", "store_key_file", "store_key_command")


@click.command(
    cls=Command,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def solo(context: click.Context, /, arguments: tuple[str, ...]) -> None:
    """Back up a Qdrant of one node, on a schedule too: one process, no etcd.

    Its flags are shown by `cleancut solo --help`; --qdrant-url and --store are needed.
    """
    settings = settings_of(context)
    given = [name for name in _PASSED if name in settings.flags]
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in given]
    command = [sys.executable, "-m", MODULE, *flags, *arguments]
    sys.stdout.flush()
    # It takes this process's place, so that signals and the exit code are its own.
    os.execv(command[0], command)

"""`cleancut status`: whether the data is protected, first; then what runs, and what is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from cleancut.cli.exit_codes import Exit
from cleancut.cli.render.output import TABLES, emit, print_parts
from cleancut.cli.settings import Settings, Verb, settings_of
from cleancut.cli.terminal import write_out
from cleancut.core.primitives.visible import visible

if TYPE_CHECKING:
    from cleancut.api.status import Status


@click.command(cls=Verb)
@click.option("--exit-code", "as_code", is_flag=True, help="Exit with 1 if not protected.")
@click.pass_context
def status(context: click.Context, /, *, as_code: bool) -> Exit:
    """Say whether each collection has a recent whole backup, then what runs and what is wrong.

    The first line starts with `Protected:` or `NOT protected:`. Protected means: each collection
    has a whole, undamaged backup younger than `max-age` of the strictest schedule that covers it
    (default: one and a half intervals; 26 h where no schedule does). -o wide adds coordinators,
    agents, owner and collections. With --store it is read from the store alone.
    """
    from cleancut.cli.status_sources import ask_status, read_status_offline
    from cleancut.cli.wait import ask

    settings = settings_of(context)
    found = read_status_offline(settings) if settings.offline else ask(settings, ask_status)
    if settings.output in TABLES:
        _print(settings, found)
    else:
        emit(settings.output, "status", found)
    return Exit.FAILED if as_code and not found.protected else Exit.OK


def _print(settings: Settings, found: Status) -> None:
    """The sentence, the facts, and what is wrong; `wide`: the details in between."""
    from cleancut.cli.commands.doctor import lines_of
    from cleancut.cli.render.status_tables import status_details, status_facts

    write_out(f"{visible(found.summary)}\n\n")
    print_parts(settings.output, status_facts(found, time.time()))
    if settings.output == "wide":
        print_parts(settings.output, status_details(found))
    if found.findings:
        write_out("\n" + "".join(f"{line}\n" for line in lines_of(found.findings)))

"""`cleancut backup repair`: damaged objects of one store, replaced from another one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.options import backup_argument
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Settings, Verb, settings_of
from cleancut.cli.wait import ask
from cleancut.core.primitives.errors import Invalid

if TYPE_CHECKING:
    from cleancut.api.repairs import Repair
    from cleancut.store.key_source import KeySource


@click.command(cls=Verb)
@backup_argument
@click.option(
    "--from",
    "source",
    required=True,
    metavar="NAME|URL",
    help="The store that has it whole: NAME in the coordinators' settings, or, with --store, URL.",
)
@click.option(
    "--from-key-file",
    type=click.Path(path_type=Path),
    help="Key of that store. Default: that of --store.",
)
@click.option("--from-key-command", metavar="COMMAND", help="Command that prints that key.")
@click.pass_context
def repair(
    context: click.Context,
    /,
    backup_id: str,
    source: str,
    from_key_file: Path | None,
    from_key_command: str | None,
) -> Exit:
    """Replace damaged and missing objects of a backup from another store.

    The leader does it with stores of its settings file; with --store it is done here. Reads all of
    the backup. An object is replaced only by one that is what its name promises; it is
    read once more, and the result is recorded in the verification log. Exit code 9 if neither store
    has some object whole.
    """
    from cleancut.store.key_source import KeySource

    settings = settings_of(context)
    if not settings.offline:
        if from_key_file or from_key_command:
            raise click.UsageError("the key of a named store is in the coordinators' settings")
        shown = ask(settings, lambda client: client.repair_backup(backup_id, source))
        emit(settings.output, "repair", shown)
        return Exit.CORRUPT if shown.damaged else Exit.OK
    own = KeySource(from_key_file, from_key_command, from_environment=False)
    keys = own if from_key_file or from_key_command else settings.key_source
    done = run_repair(settings, backup_id, source, keys)
    emit(settings.output, "repair", done)
    return Exit.CORRUPT if done.damaged else Exit.OK


def run_repair(settings: Settings, backup: str, source: str, keys: KeySource) -> Repair:
    """Repairs the backup in the store of `settings`. `keys`: of the store `source`."""
    import asyncio

    from cleancut.copying.repair import GroupRepair
    from cleancut.copying.sides import Sides, check_distinct, open_side
    from cleancut.core.format.paths import Paths
    from cleancut.repository.clusters import find_cluster
    from cleancut.runtime.clock import SystemClock

    settings.check_one_target()
    if not settings.store:
        raise Invalid(
            "this command needs --store URL, the store to repair",
            "see `cleancut backup repair --help`",
        )
    url, clock = settings.store, SystemClock()
    check_distinct(source, url)

    async def run() -> Repair:
        async with (
            open_side(url, clock, settings.key_source) as site,
            open_side(source, clock, keys) as other,
        ):
            cluster = await find_cluster(other.opened.store, settings.cluster or "", source)
            sides = Sides(other, site, Paths(cluster), same_key=False)
            return await GroupRepair(sides, backup, say).run()

    return asyncio.run(run())

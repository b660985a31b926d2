"""`cleancut backup log`: what was written when, from the archived log of a collection."""

from __future__ import annotations

import click

from cleancut.cli.exit_codes import say
from cleancut.cli.options import TIME, completed
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Verb, settings_of
from cleancut.cli.wait import ask
from cleancut.core.wal.kinds import KINDS


@click.command(cls=Verb)
@click.option(
    "--collection",
    "-c",
    required=True,
    metavar="NAME",
    help="The collection.",
    shell_complete=completed("collections"),
)
@click.option("--since", type=TIME, metavar="TIME", help="From then on. Default: an hour ago.")
@click.option("--until", type=TIME, metavar="TIME", help="Up to then. Default: now.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(sorted(KINDS)),
    metavar="KIND",
    help="Only these operations, as Qdrant names them; repeatable.",
)
@click.option(
    "--grep", default="", metavar="TEXT", help="Only those whose ids, filter or keys contain it."
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, help="How many, the newest ones."
)
@click.pass_context
def log(
    context: click.Context,
    /,
    collection: str,
    since: str | None,
    until: str | None,
    kinds: tuple[str, ...],
    grep: str,
    limit: int,
) -> None:
    """Show what was written to a collection, in the order of time.

    ENTRY is what `restore --before` and `--without` take. Needs an archive of the collection's log.
    Who wrote is not in a log. Qdrant 1.19 logs the ids that a filter chose instead of the filter.
    """
    from cleancut.api.archive import LogQuery

    settings = settings_of(context)
    query = LogQuery(
        collection=collection, since=since, until=until, kinds=kinds, grep=grep, limit=limit
    )
    page = ask(settings, lambda client: client.read_log(query))
    if page.truncated:
        say(f"only the newest {limit} are shown; use --limit, --since or --until to show others")
    emit(settings.output, "log", page)

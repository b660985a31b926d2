"""`cleancut backup query`: the points of a backup nearest to a vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cleancut.cli.commands.data.options import (
    collection_option,
    filter_option,
    jobs_option,
    scratch_option,
    selection_of,
    shard_keys_option,
    text_of,
)
from cleancut.cli.exit_codes import say
from cleancut.cli.options import backup_argument
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Verb, settings_of
from cleancut.core.primitives.errors import Invalid


@click.command("query", cls=Verb)
@backup_argument
@collection_option
@click.option("--vector", metavar="JSON|@FILE", help="Points near this vector.")
@click.option("--id", "like", metavar="ID", help="Points near this one, which is left out.")
@click.option("--using", metavar="NAME", help="Which vector. Default: the only or unnamed one.")
@filter_option
@shard_keys_option
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many."
)
@click.option(
    "--approximate", is_flag=True, help="By the indexes in the backup, as Qdrant answers."
)
@jobs_option
@scratch_option
@click.pass_context
def query_(
    context: click.Context,
    /,
    backup_id: str,
    collection: str,
    vector: str | None,
    like: str | None,
    using: str | None,
    filter_: str | None,
    shard_keys: tuple[str, ...],
    limit: int,
    approximate: bool,
    jobs: int,
    scratch: Path | None,
) -> None:
    """Search in a backup, from the store alone (--store, --cluster).

    Needs `cleancut[data]`. Each shard is read and opened, so an answer takes about as long as a
    drill. It is exact: all points are compared by their original vectors.
    """
    from cleancut.cli import offline
    from cleancut.core.points.selection import parse_id
    from cleancut.data.requirements import check_extra

    if (vector is None) == (like is None):
        raise click.UsageError("give either --vector or --id")
    check_extra()
    from cleancut.data.query import QueryRequest, query

    settings = settings_of(context)
    request = QueryRequest(
        backup_id,
        collection,
        vector=None if vector is None else _vector(text_of(vector, "--vector")),
        like=None if like is None else parse_id(like),
        using=using,
        selection=selection_of((), filter_, shard_keys),
        limit=limit,
        exact=not approximate,
        jobs=jobs,
        scratch=scratch,
    )
    found = offline.with_store(
        settings, lambda store, paths: query(store, paths, request, notice=say)
    )
    emit(settings.output, "answer", found)


def _vector(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)  # unlike json.loads, it takes no NaN and no infinity
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Invalid(
            f"the vector is not JSON: {error}", "such as --vector '[0.1, 0.2, 0.3]'"
        ) from error

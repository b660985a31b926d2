"""`cleancut backup export`: points of a backup as JSON lines, Parquet or Arrow."""

from __future__ import annotations

from pathlib import Path

import click

from cleancut.cli.commands.data.options import (
    collection_option,
    jobs_option,
    scratch_option,
    selection_of,
    selection_options,
)
from cleancut.cli.exit_codes import say
from cleancut.cli.options import backup_argument
from cleancut.cli.render.output import emit_facts
from cleancut.cli.settings import Verb, settings_of


@click.command("export", cls=Verb)
@backup_argument
@collection_option
@selection_options
@click.option("--with-vectors", is_flag=True, help="Also the vectors. Default: id and payload.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "parquet", "arrow"]),
    required=True,
    help="jsonl: Qdrant's point a line, which can be upserted again.",
)
@click.option(
    "--payload",
    type=click.Choice(["text", "struct"]),
    default="text",
    show_default=True,
    help="Of parquet and arrow: JSON text, or a struct with a field for each key.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    metavar="FILE|-",
    help="A new file; - for stdout.",
)
@jobs_option
@scratch_option
@click.pass_context
def export_(
    context: click.Context,
    /,
    backup_id: str,
    collection: str,
    ids: tuple[str, ...],
    filter_: str | None,
    shard_keys: tuple[str, ...],
    with_vectors: bool,
    form: str,
    payload: str,
    out: Path,
    jobs: int,
    scratch: Path | None,
) -> None:
    """Write the points of a collection to a file, from the store alone (--store, --cluster).

    Needs `cleancut[data]`. No cluster is touched. Points come in the order of shards, and of ids in
    each. The file appears once it is whole; an existing one is never overwritten.
    """
    from cleancut.cli import offline
    from cleancut.data.requirements import check_extra

    if payload == "struct" and form == "jsonl":
        raise click.UsageError("--payload struct is for parquet and arrow: jsonl has JSON objects")
    check_extra()
    from cleancut.data.export import ExportRequest, export
    from cleancut.data.sinks import Format

    settings = settings_of(context)
    request = ExportRequest(
        backup=backup_id,
        collection=collection,
        selection=selection_of(ids, filter_, shard_keys),
        form=Format(form),
        out=out,
        vectors=with_vectors,
        structs=payload == "struct",
        jobs=jobs,
        scratch=scratch,
    )
    facts = offline.with_store(
        settings, lambda store, paths: export(store, paths, request, notice=say)
    )
    if str(out) == "-":
        say(f"{facts['points']:,} points in {facts['took_s']} s")
    else:
        emit_facts(settings.output, "exported", facts)

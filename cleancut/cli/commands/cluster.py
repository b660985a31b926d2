"""`cleancut cluster` and `cleancut adopt`: the cluster as its coordinator sees it."""

from __future__ import annotations

import click

from cleancut.cli.commands.doctor import forget_peer
from cleancut.cli.options import confirm, request_id_option, yes_option
from cleancut.cli.render.output import emit, emit_facts
from cleancut.cli.settings import Noun, Verb, parse_size, settings_of
from cleancut.cli.wait import ask


@click.group(cls=Noun, name="cluster")
def cluster() -> None:
    """List the clusters of a store, mend its format.json, remove peers, and limit agents."""


cluster.add_command(forget_peer)


@cluster.command("list")
@click.pass_context
def list_(context: click.Context, /) -> None:
    """List the clusters that a store holds, with their newest backups.

    Needs --store only: after the loss of everything else it says what there is to restore.
    """
    from cleancut.cli.offline import list_clusters
    from cleancut.cli.render.output import emit_rows

    settings = settings_of(context)
    emit_rows(settings.output, "clusters", list_clusters(settings))


@cluster.command("rewrite-format")
@click.pass_context
def rewrite_format(context: click.Context, /) -> None:
    """Write a damaged or lost format.json of a store again, as its backups prove it.

    Needs --store, and the store key of an encrypted one; no coordinator. Refused for a store of
    another format or another cluster, and where no backup is whole enough to prove anything.
    """
    from cleancut.cli.offline import with_store
    from cleancut.repository import store_format

    settings = settings_of(context)
    encrypted = bool(settings.key_source.read())
    proof = with_store(
        settings,
        lambda store, paths: store_format.rewrite_format(store, paths, encrypted=encrypted),
    )
    done = "as it was: it is right" if proof is None else f"written again, by backup #{proof}"
    emit_facts(settings.output, "format", {"format.json": done})


@cluster.command()
@click.option(
    "--upload-rate",
    "upload_bytes_per_s",
    type=parse_size,
    metavar="SIZE",
    help="Bytes a second that each agent may upload; 0: no limit.",
)
@click.option(
    "--read-rate",
    "read_bytes_per_s",
    type=parse_size,
    metavar="SIZE",
    help="Bytes a second that each agent may read of segment files on its disk; 0: no limit.",
)
@click.option("--uploads", type=int, metavar="N", help="Concurrent uploads of each agent.")
@click.option(
    "--spill-limit",
    "spill_bytes",
    type=parse_size,
    metavar="SIZE",
    help="Data that may wait for the store in each agent's --spill-dir.",
)
@click.option(
    "--spill-floor",
    "spill_floor_bytes",
    type=parse_size,
    metavar="SIZE",
    help="Space that stays free on that disk.",
)
@click.pass_context
def settings(context: click.Context, /, **given: int | None) -> None:
    """Show or change the limits of agents on network and disk, while they run."""
    from cleancut.api.cluster import AgentSettings

    chosen, change = settings_of(context), AgentSettings(**given)
    if change == AgentSettings():
        now = ask(chosen, lambda client: client.agent_settings())
    else:
        now = ask(chosen, lambda client: client.update_agent_settings(change))
    emit(chosen.output, "settings", now)


@click.command(cls=Verb)
@yes_option
@request_id_option
@click.pass_context
def adopt(context: click.Context, /, yes: bool, request_id: str) -> None:
    """Make this cluster the owner of its store, after etcd was lost or the store was moved."""
    settings = settings_of(context)
    confirm(
        "make this cluster the owner of the store; no other cluster may continue to use it", yes=yes
    )
    emit(settings.output, "identity", ask(settings, lambda client: client.adopt(request_id)))

"""`cleancut doctor` and `cleancut cluster forget-peer`: problems, each with its fixes.

A command is one whole line, however long, so that it can be pasted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.options import completed, confirm, yes_option
from cleancut.cli.render.output import TABLES, document
from cleancut.cli.settings import Verb, settings_of
from cleancut.cli.terminal import answers, write_out
from cleancut.cli.wait import ask
from cleancut.core.primitives.visible import visible

if TYPE_CHECKING:
    from cleancut.api.cluster import DoctorFinding, DoctorFix, ForgottenPeer

_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


@click.command(cls=Verb)
@click.pass_context
def doctor(context: click.Context, /) -> Exit:
    """Find problems of the cluster and of its backups, each with its fixes. Exit code 1: there is
    an error."""
    import msgspec

    settings = settings_of(context)
    findings = ask(settings, lambda client: client.diagnose()).findings
    if settings.output == "name":
        for finding in findings:
            write_out(f"{finding.kind}\n")
    elif settings.output in TABLES:
        for line in lines_of(findings) if findings else ["no problems found"]:
            write_out(f"{line}\n")
    else:
        document(settings.output, {"findings": msgspec.to_builtins(findings)})
    return Exit.FAILED if any(one.severity == "error" for one in findings) else Exit.OK


@click.command("forget-peer", cls=Verb)
@click.argument(
    "peer_id", metavar="PEER_ID", type=click.IntRange(0), shell_complete=completed("peers")
)
@click.option("--force", is_flag=True, help="Remove it although replicas are on it; they are lost.")
@click.option(
    "--confirm",
    "typed",
    metavar="PEER_ID",
    type=click.IntRange(0),
    default=0,
    help="The id again: with --force, for a peer that was heard within the last 10 minutes.",
)
@yes_option
@click.pass_context
def forget_peer(
    context: click.Context, /, peer_id: int, *, force: bool, typed: int, yes: bool
) -> None:
    """Remove a peer that is gone for good, with the replicas that it held."""
    import msgspec

    settings = settings_of(context)
    named = f"peer {peer_id}"
    if not yes and answers():
        shown = ask(
            settings,
            lambda client: client.forget_peer(
                peer_id, force=force, confirmed=False, typed_peer_id=typed
            ),
        )
        for line in losses_of(shown):
            say(line)
        named = shown.named or named
    confirm(f"forget {named} for good", yes=yes)
    gone = ask(
        settings,
        lambda client: client.forget_peer(peer_id, force=force, typed_peer_id=typed),
    )
    if settings.output == "name":
        write_out(f"{gone.peer_id}\n")
    elif settings.output in TABLES:
        for line in (
            *losses_of(gone),
            f"{gone.named or named} is forgotten",
            *lines_of(gone.findings),
        ):
            write_out(f"{line}\n")
    else:
        document(settings.output, {"peer": msgspec.to_builtins(gone)})


def lines_of(findings: Sequence[DoctorFinding]) -> Iterator[str]:
    """Each finding with its fixes, safe ones first, grouped by severity."""
    severity = ""
    for finding in findings:
        if finding.severity != severity:
            severity = finding.severity
            yield click.style(f"{severity}s" if severity != "info" else severity, bold=True)
        kind = click.style(finding.kind, fg=_COLOURS.get(severity))
        yield f"  {kind}: {visible(finding.what, lines=True)}"
        for step in finding.fixes:
            yield from _step(step)


def _step(step: DoctorFix) -> Iterator[str]:
    """What the step is for and whether it loses data, then its command on a line of its own."""
    lossy = step.effect != "safe"
    mark = click.style(step.effect, fg="red" if lossy else "green")
    what = visible(step.what, lines=True)
    yield f"    {mark}: {what}" if what else f"    {mark}:"
    if step.command:
        yield f"      {step.command}"


def losses_of(peer: ForgottenPeer) -> Iterator[str]:
    """What the cluster loses with the peer."""
    for loss in peer.losses:
        for shards, words in (
            (loss.lost_shards, "is lost for good, unless a backup holds it"),
            (loss.thinner_shards, "stays, with fewer replicas"),
        ):
            for shard in shards:
                yield f"shard {shard} of {loss.collection!r} {words}"

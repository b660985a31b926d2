"""`cleancut token`: creates bearer tokens. Needs no connection."""

from __future__ import annotations

import time

import click

from cleancut.cli.exit_codes import say
from cleancut.cli.render.output import emit_facts
from cleancut.cli.settings import Noun, parse_term, settings_of
from cleancut.core.auth.roles import Role
from cleancut.core.primitives.timestamps import format_second

_RANDOM_BYTES = 32


@click.group(cls=Noun, name="token")
def token() -> None:
    """Create bearer tokens for the coordinators' --tokens-file."""


@token.command()
@click.option("--name", required=True, help="Name of its user, as the audit log shows it.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="Role of the token.",
)
@click.option(
    "--expires",
    "expires_s",
    type=parse_term,
    metavar="DURATION",
    help="How long it is valid, such as 90d. Default: without end.",
)
@click.pass_context
def new(context: click.Context, /, name: str, role: str, expires_s: float | None) -> None:
    """Print a new token, this once, and the line to add to the coordinators' tokens file.

    `-o name` prints the token alone: `cleancut token new ... -o name > token; chmod 600 token`.
    """
    import secrets

    from cleancut.core.auth.tokens import PREFIX, BearerToken, check_name, digest_of, line_of

    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    until_s = None if expires_s is None else time.time() + expires_s
    made = BearerToken(check_name(name), Role(role), digest_of(secret), until_s)
    facts = {
        "token": secret,
        "line": line_of(made),
        "name": made.name,
        "role": made.role.value,
        "expires_at": None if until_s is None else format_second(until_s),
    }
    output = settings_of(context).output
    emit_facts(output, "token", facts)
    if output == "name":
        say(f"add this line to the coordinators' tokens file:\n{line_of(made)}")
    say("the token is shown only once; coordinators read a changed file within a second")

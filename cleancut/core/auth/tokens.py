"""Bearer tokens: the coordinators' file of tokens, and the check of a presented one.

The file holds digests only, so reading it gives no access. Shape: one line a token,
`NAME ROLE SHA256 [EXPIRES]`; `#` begins a comment; EXPIRES is RFC 3339 in UTC.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cleancut.core.auth.roles import Role, parse_role
from cleancut.core.primitives.errors import CleancutError, Invalid, Unauthenticated
from cleancut.core.primitives.timestamps import format_time, parse_time

PREFIX = "cct_"
"""Prefix of every token, by which scanners for leaked secrets recognise it."""
MAX_TOKEN = 256
MAX_TOKENS = 1000
MAX_FILE_BYTES = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BearerToken:
    """One line. `expires_s`: seconds since 1970; None: never."""

    name: str
    role: Role
    digest: str
    expires_s: float | None = None


def digest_of(secret: str) -> str:
    """The digest that the file keeps. Tokens are random and long: no salt, no slow hash. A header
    may hold bytes that are no text."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_name(name: str) -> str:
    """Raises: Invalid."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"invalid token name {name!r}", "use up to 64 of a-z, 0-9 and . _ @ -")
    return name


def line_of(token: BearerToken) -> str:
    """The token's line in the file."""
    until = () if token.expires_s is None else (format_time(token.expires_s),)
    return " ".join((token.name, token.role, token.digest, *until))


def parse_tokens(text: str) -> tuple[BearerToken, ...]:
    """The tokens in `text`. Raises: Invalid, with the number of the line, never its content."""
    lines = enumerate(text.splitlines(), start=1)
    tokens = [_parse(words, n) for n, line in lines if (words := line.partition("#")[0].split())]
    if len({token.digest for token in tokens}) != len(tokens):
        raise Invalid("a token appears twice in the tokens file", "remove one of the lines")
    if len(tokens) > MAX_TOKENS:
        raise Invalid(f"too many tokens in the file: {len(tokens)}, at most {MAX_TOKENS}")
    return tuple(tokens)


def _parse(words: Sequence[str], number: int) -> BearerToken:
    try:
        name, role, digest, *until = words
        if len(until) > 1 or not _DIGEST.fullmatch(digest):
            raise ValueError
        if until and not until[0].endswith("Z"):  # a local time would depend on the reader
            raise ValueError
        expires_s = parse_time(until[0]) if until else None
        return BearerToken(check_name(name), parse_role(role), digest, expires_s)
    except (ValueError, CleancutError):
        raise Invalid(
            f"line {number} of the tokens file is invalid",
            "use a line that `cleancut token new` prints",
        ) from None


def find_token(tokens: Sequence[BearerToken], secret: str, now_s: float) -> BearerToken:
    """The token that `secret` belongs to. All lines are compared, each in constant time.

    Raises: Unauthenticated, if it is unknown or has expired.
    """
    presented = digest_of(secret[: MAX_TOKEN + 1])
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, presented):
            found = token
    if found is None:
        raise Unauthenticated("unknown token", "see the coordinators' tokens file")
    if found.expires_s is not None and found.expires_s <= now_s:
        raise Unauthenticated(
            f"the token of {found.name} expired at {format_time(found.expires_s)}",
            "make another with `cleancut token new`",
        )
    return found

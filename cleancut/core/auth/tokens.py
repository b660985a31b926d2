"""Bearer tokens: what the coordinators' file says of each, and whose a presented one is.

The file holds digests alone: whoever reads it can call nothing. Shape: one line a token,
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
"""Every token begins so: scanners for leaked secrets can know it."""
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
    """What the file keeps of a token. Tokens are random and long: no salt, no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_name(name: str) -> str:
    """Raises: Invalid."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"{name!r} is no name for a token", "use a-z, 0-9 and . _ @ -, 64 at most")
    return name


def line_of(token: BearerToken) -> str:
    """As the file holds it."""
    until = () if token.expires_s is None else (format_time(token.expires_s),)
    return " ".join((token.name, token.role, token.digest, *until))


def parse_tokens(text: str) -> tuple[BearerToken, ...]:
    """Raises: Invalid, naming the line and never what stands in it."""
    lines = enumerate(text.splitlines(), start=1)
    tokens = [_parse(words, n) for n, line in lines if (words := line.partition("#")[0].split())]
    if len({token.digest for token in tokens}) != len(tokens):
        raise Invalid("a token stands twice in the tokens file", "give each its own line")
    if len(tokens) > MAX_TOKENS:
        raise Invalid(f"{len(tokens)} tokens in the file, {MAX_TOKENS} at most")
    return tuple(tokens)


def _parse(words: Sequence[str], number: int) -> BearerToken:
    try:
        name, role, digest, *until = words
        if len(until) > 1 or not _DIGEST.fullmatch(digest):
            raise ValueError
        if until and not until[0].endswith("Z"):  # else it would depend on where it is read
            raise ValueError
        expires_s = parse_time(until[0]) if until else None
        return BearerToken(check_name(name), parse_role(role), digest, expires_s)
    except (ValueError, CleancutError):
        raise Invalid(
            f"line {number} of the tokens file cannot be read",
            "`cleancut token new` prints lines as they have to be",
        ) from None


def find_token(tokens: Sequence[BearerToken], secret: str, now_s: float) -> BearerToken:
    """Whose `secret` is. Every line is compared, each in constant time.

    Raises: Unauthenticated, if it is nobody's or has expired.
    """
    presented = digest_of(secret[: MAX_TOKEN + 1])
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, presented):
            found = token
    if found is None:
        raise Unauthenticated("the token is not known here", "see the coordinators' tokens file")
    if found.expires_s is not None and found.expires_s <= now_s:
        raise Unauthenticated(
            f"the token of {found.name} expired at {format_time(found.expires_s)}",
            "make another with `cleancut token new`",
        )
    return found

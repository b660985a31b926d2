"""Who asks, and which role that is: by bearer token, by client certificate, or by being here.

The decision itself is `cleancut.core.auth.roles`; it is carried out in `cleancut.rpc.interceptors`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import structlog

from cleancut.core.auth.roles import Role, parse_san
from cleancut.core.auth.tokens import BearerToken, find_token, parse_tokens
from cleancut.core.primitives.errors import CleancutError, Denied, Invalid, Unauthenticated
from cleancut.runtime.addresses import is_loopback
from cleancut.runtime.watched_files import WatchedFiles

_BEARER = "bearer "
_TOKEN_HINT = "give --token-file, with a token of `cleancut token new` that the coordinators know"
_KINDS = {"peer_uri": "", "peer_dns": "dns:", "peer_email": "email:", "peer_ip": "ip:"}
"""Where gRPC holds a certificate's alternative names, the most specific first.

Source: gRPC include/grpc/grpc_security_constants.h
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """`how`: token, certificate or plaintext. `role` None: known, and may do nothing. `forwarder`:
    the coordinator that authenticated it and passed the call on; "": this one."""

    name: str
    how: str
    role: Role | None
    forwarder: str = ""


class TokensFile:
    """The coordinators' tokens, as the file has them now.

    While it cannot be read, or holds a line that cannot, no token is taken at all: who takes one
    out of it must not find it still valid because of a slip elsewhere.
    """

    def __init__(self, path: Path, look_s: float = 1.0) -> None:
        """Raises: Denied, Invalid, if it cannot be used."""
        self._file = WatchedFiles([path], look_s)
        self._version = self._file.look()
        self._tokens: tuple[BearerToken, ...] | None = parse_tokens(self._text())
        self._log = structlog.get_logger("access")

    def find(self, secret: str) -> BearerToken:
        """Raises: Unauthenticated."""
        version = self._file.look()
        if not self._file.all_there:
            self._tokens, self._version = None, -1
        elif version != self._version:
            self._version = version
            self._load()
        if self._tokens is None:
            raise Unauthenticated(
                "no token is taken: the coordinator cannot read its tokens file", "see its log"
            )
        return find_token(self._tokens, secret, time.time())

    def _load(self) -> None:
        try:
            self._tokens = parse_tokens(self._text())
            self._log.info("tokens read", tokens=len(self._tokens))
        except CleancutError as error:
            self._tokens = None
            self._log.error("tokens unread", cause=error.message, hint=error.hint)

    def _text(self) -> str:
        return self._file.read()[0].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Access:
    """Clients that the API knows, with their roles. Without `certificates` and `tokens`, every
    client that can connect is an admin: one on this host, or one with a certificate of our CA.

    `plaintext`: the API has no TLS. `network`: it listens on more than loopback.
    """

    certificates: Mapping[str, Role] = field(default_factory=dict)
    tokens: TokensFile | None = None
    plaintext: bool = True
    network: bool = False

    @property
    def open(self) -> bool:
        """True without any role: every client that can connect has all of them."""
        return not self.certificates and self.tokens is None

    def caller(self, context: Any) -> Caller:
        """Raises: Unauthenticated, if it identifies no client."""
        secret = _bearer(context.invocation_metadata() or ())
        names = _alternative_names(context.auth_context()) if secret is None else ()
        return self.identify(secret, names, local=_is_local(context.peer()))

    def identify(self, secret: str | None, names: Sequence[str], *, local: bool) -> Caller:
        """The client with this token, "" if it is not one, or else with a certificate of these
        names. `local`: it is a process of this host.

        Raises: Unauthenticated, if that identifies no client.
        """
        if secret is not None:
            return self._of_token(secret, local=local)
        if names:
            return self._of_certificate(names)
        if self.open:
            return Caller("anyone", "plaintext" if self.plaintext else "certificate", Role.ADMIN)
        raise Unauthenticated("this coordinator wants to know who asks", _TOKEN_HINT)

    def check_line(self, peer: str) -> None:
        """Raises: Unauthenticated, for a forwarded call that others could have read."""
        if self.plaintext and self.network and not self.open and not _is_local(peer):
            raise Unauthenticated(
                "a forwarded call came over the network in the clear", "give the API certificates"
            )

    def _of_token(self, secret: str, *, local: bool) -> Caller:
        if self.plaintext and self.network and not local:
            raise Unauthenticated(
                "a token came over the network in the clear: take it for stolen",
                "take it out of the tokens file, and give the API certificates",
            )
        if self.tokens is None:
            raise Unauthenticated("this coordinator takes no tokens", "give it --tokens-file")
        token = self.tokens.find(secret)
        return Caller(token.name, "token", token.role)

    def _of_certificate(self, names: Sequence[str]) -> Caller:
        if self.open:
            return Caller(names[0], "certificate", Role.ADMIN)
        roles = [self.certificates[name] for name in names if name in self.certificates]
        role = max(roles, key=list(Role).index, default=None)
        return Caller(names[0], "certificate", role)


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""The client whose call this task answers; None outside of calls."""


def caller_name() -> str:
    """The name of the client whose call this task answers; "" outside of calls."""
    caller = CALLER.get()
    return caller.name if caller is not None else ""


def check_role(caller: Caller, needed: Role, method: str) -> None:
    """Raises: Denied, saying which role would do."""
    if caller.role is None:
        raise Denied(
            f"{caller.name} has no role here, and {method} needs {needed}",
            f"name it under [roles] of the coordinators' settings, or {_TOKEN_HINT}",
            needs=needed,
        )
    if not caller.role.covers(needed):
        raise Denied(
            f"{caller.name} has the role {caller.role}, and {method} needs {needed}",
            f"use credentials with the role {needed}",
            needs=needed,
        )


def _bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The token of a call; "" if it is not one. Only the first header of that name counts."""
    for key, value in metadata:
        if key == "authorization":
            text = value if isinstance(value, str) else ""
            return text[len(_BEARER) :].strip() if text.lower().startswith(_BEARER) else ""
    return None


def _alternative_names(found: Mapping[str, Sequence[bytes]]) -> tuple[str, ...]:
    """Those of the client's certificate, as `[roles]` names them; its CN if there are none."""
    names = []
    for key, kind in _KINDS.items():
        for raw in found.get(key, ()):
            text = f"{kind}{raw.decode(errors='replace')}"
            try:
                names.append(parse_san(text))
            except CleancutError:
                continue
    if not names and (common := found.get("x509_common_name")):
        # Never in [roles], whose names have other forms: it is for the audit alone.
        names.append(f"cn:{common[0].decode(errors='replace')}")
    return tuple(names)


def _is_local(peer: str) -> bool:
    """Whether gRPC's name of a peer is a process of this host."""
    kind, _, rest = unquote(peer).partition(":")
    if kind == "unix":
        return True
    try:
        return is_loopback(rest)
    except Invalid:
        return False

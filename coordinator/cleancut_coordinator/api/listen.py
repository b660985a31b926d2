"""How the API listens and whom it knows, from flags and the settings file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cleancut.core.auth.roles import Role, parse_role, parse_san
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.spelling import check_keys
from cleancut.daemon_settings import Shared, table_of
from cleancut.rpc.audit import Audit, FileAudit
from cleancut.rpc.authentication import Access, TokensFile
from cleancut.rpc.server import Listen
from cleancut.runtime.addresses import is_loopback
from cleancut.runtime.log import Logger
from cleancut.runtime.tls import Tls, tls_of


def read_roles(context: click.Context) -> dict[str, Role]:
    """The role of each certificate that the file's `[roles]` table names.

    Shape: `reader = ["spiffe://...", "dns:..."]`, likewise `operator` and `admin`.
    Raises: Invalid; a name may have one role only.
    """
    table = table_of(context, "roles")
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise Invalid("[[roles]] of the settings file: it is written [roles]")
    check_keys("[roles]", table, [role.value for role in Role if role.value])
    roles: dict[str, Role] = {}
    for word, names in table.items():
        role = parse_role(word)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Invalid(f"[roles] {word} of the settings file must be a list of names")
        for name in map(parse_san, names):
            if name in roles:
                raise Invalid(f"{name} has two roles in [roles]", "name it under the greater one")
            roles[name] = role
    if not roles:
        raise Invalid(
            "[roles] of the settings file names no certificate", "name one, or leave it out"
        )
    return roles


def open_api(
    shared: Shared, flags: dict[str, Any], roles: Mapping[str, Role], log: Logger
) -> Listen:
    """Where and how the API listens. Says in the log who may command what.

    Raises: Invalid, for what would admit every caller, or none; Denied (files).
    """
    address = flags["grpc"]
    tls = tls_of(flags["grpc_ca"], flags["grpc_cert"], flags["grpc_key"])
    if tls is not None and tls.cert is None:
        raise Invalid("--grpc-ca without a certificate of the API", "give --grpc-cert, --grpc-key")
    tokens_file: Path | None = flags["tokens_file"]
    if tls is not None and tls.ca is None and tokens_file is None:
        raise Invalid(
            "callers cannot be authenticated: neither --grpc-ca nor --tokens-file is set",
            "give --grpc-ca, --tokens-file, or both",
        )
    if roles and (tls is None or tls.ca is None):
        raise Invalid(
            "[roles] names certificates, and the API asks for none",
            "give --grpc-ca, --grpc-cert and --grpc-key",
        )
    tokens = None if tokens_file is None else TokensFile(tokens_file)
    access = Access(roles, tokens)
    _say(access, tls, address, log)
    return Listen(
        address,
        tls=tls,
        allow_plaintext="api" in shared.insecure,
        access=access,
        audit=_audit(flags["audit_log"]),
    )


def is_open_to_all(listen: Listen) -> bool:
    """Whether everyone who reaches it over a network may do everything."""
    return listen.access is not None and listen.access.open and not is_loopback(listen.address)


def _audit(path: Path | None) -> Audit | None:
    if path is None:
        return None
    audit = FileAudit(path)
    try:
        audit.open()
    except OSError as error:
        raise Invalid(f"cannot append to {path}: {error.strerror}", "see --audit-log") from error
    return audit


def _say(access: Access, tls: Tls | None, address: str, log: Logger) -> None:
    plain, local = tls is None, is_loopback(address)
    if not access.open:
        known = {"certificates": len(access.certificates), "tokens": access.tokens is not None}
        log.info("the API knows its callers by role", tls=not plain, **known)
    elif not plain:
        log.warning("no roles are set: every certificate of the CA is an admin", hint=_HINT)
    elif local:
        log.info("no roles are set: every process of this host is an admin", hint=_HINT)
    if plain and not local:
        log.warning("the API is open to the network, in the clear", hint="see --insecure")


_HINT = "see [roles] and --tokens-file"

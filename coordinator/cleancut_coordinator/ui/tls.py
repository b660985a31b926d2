"""TLS of the status page: the certificate of the API, from files that may be replaced."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from cleancut.core.auth.roles import parse_san
from cleancut.core.primitives.errors import CleancutError, Denied
from cleancut.runtime.log import Logger
from cleancut.runtime.tls import Tls
from cleancut.runtime.watched_files import LOOK_S, WatchedFiles

_KINDS = {"URI": "", "DNS": "dns:", "email": "email:", "IP Address": "ip:"}
"""Names of alternative names in Python's ssl, the most specific first."""


def server_context(tls: Tls, log: Logger, look_s: float = LOOK_S) -> ssl.SSLContext:
    """A context for new connections that follows its files, with client certificates where the API
    asks for them. While the files do not match, the previous ones stay in use. Raises: Denied."""
    files = WatchedFiles(tls.files, look_s)
    known = [files.look()]
    first = _context(tls)
    current = [first]

    def follow(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        """Called at the start of each handshake."""
        version = files.look()
        if version != known[0]:
            known[0] = version
            try:
                current[0] = _context(tls)
                log.info("certificates reloaded", listener="ui")
            except CleancutError as error:
                log.error("cannot reload certificates", listener="ui", cause=error.message)
        connection.context = current[0]

    first.sni_callback = follow
    return first


def _context(tls: Tls) -> ssl.SSLContext:
    """Raises: Denied, for files that cannot be read or do not match."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert tls.cert is not None
    try:
        context.load_cert_chain(tls.cert, tls.key)
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise Denied(
            f"the status page cannot use the API's certificate: {error}",
            "see --grpc-cert, --grpc-key and --grpc-ca",
        ) from error
    return context


def names_of(certificate: Mapping[str, Any] | None) -> Sequence[str]:
    """A client certificate's alternative names, as `[roles]` names them; its CN if there are
    none. Shape: `certificate` as Python's `getpeercert` gives it."""
    if not certificate:
        return ()
    found = certificate.get("subjectAltName", ())
    names = []
    for kind, prefix in _KINDS.items():
        for text in (value for name, value in found if name == kind):
            try:
                names.append(parse_san(f"{prefix}{text}"))
            except CleancutError:
                continue
    if not names:
        parts = dict(pair for part in certificate.get("subject", ()) for pair in part)
        names = [f"cn:{parts['commonName']}"] if "commonName" in parts else []
    return tuple(names)

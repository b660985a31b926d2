"""What a gRPC server shows, and whom it trusts: from files that may be replaced while it runs."""

from __future__ import annotations

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from cleancut.core.primitives.errors import CleancutError, Denied, Invalid
from cleancut.rpc.channel import Tls
from cleancut.runtime.watched_files import WatchedFiles

_PAIR_HINT = "see --grpc-cert and --grpc-key"


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials of a server, whose files are read anew once they were replaced.

    With a CA only clients with a certificate of it are let in. Files that do not belong together
    yet change nothing: connections go on being made with the ones before. Raises: Denied, Invalid.
    """
    if tls.cert is None:
        raise Invalid("a server needs a certificate and its key", "name both with the CA")
    files = WatchedFiles(tls.files, look_s=0)
    known = [files.look()]
    first = _configuration(files, tls)
    log = structlog.get_logger("tls")

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called for each new connection; None: nothing has changed."""
        version = files.look()
        if version == known[0]:
            return None
        known[0] = version  # whatever it holds is told once
        try:
            new = _configuration(files, tls)
        except CleancutError as error:
            log.error("certificates unread", cause=error.message, hint=error.hint)
            return None
        log.info("certificates read", files=[str(path) for path in tls.files])
        return new

    return grpc.dynamic_ssl_server_credentials(
        first, fetch, require_client_authentication=tls.ca is not None
    )


def _configuration(files: WatchedFiles, tls: Tls) -> grpc.ServerCertificateConfiguration:
    """Raises: Denied (unreadable, or not one pair)."""
    read = list(files.read())
    ca = read.pop(0) if tls.ca is not None else None
    cert, key = read
    _check_pair(cert, key)
    return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=ca)


def _check_pair(cert: bytes, key: bytes) -> None:
    try:
        public = x509.load_pem_x509_certificate(cert).public_key()
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Denied("a certificate or key of the API is no PEM file", _PAIR_HINT) from error
    if public != private.public_key():
        raise Denied("the API's certificate is not of its key", _PAIR_HINT)

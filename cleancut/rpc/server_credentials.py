"""TLS credentials of a gRPC server, from files that may be replaced while it runs."""

from __future__ import annotations

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from cleancut.core.primitives.errors import CleancutError, Denied, Invalid
from cleancut.runtime.tls import Tls
from cleancut.runtime.watched_files import WatchedFiles

_PAIR_HINT = "see --grpc-cert and --grpc-key"


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials that follow their files: new connections use replaced files.

    With a CA, clients must present a certificate it signed. While the files do not match each
    other, or cannot be read, the previous ones stay in use. Raises: Denied, Invalid.
    """
    if tls.cert is None:
        raise Invalid("a TLS server has a CA but no certificate", "set --grpc-cert and --grpc-key")
    files = WatchedFiles(tls.files, look_s=0)
    known = [files.look()]
    first = _configuration(files, tls)
    log = structlog.get_logger("tls")

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called for each new connection; None if nothing has changed."""
        version = files.look()
        if version == known[0]:
            return None
        known[0] = version  # a failure is logged once
        try:
            new = _configuration(files, tls)
        except CleancutError as error:
            log.error("cannot reload certificates", cause=error.message, hint=error.hint)
            return None
        log.info("certificates reloaded", files=[str(path) for path in tls.files])
        return new

    return grpc.dynamic_ssl_server_credentials(
        first, fetch, require_client_authentication=tls.ca is not None
    )


def _configuration(files: WatchedFiles, tls: Tls) -> grpc.ServerCertificateConfiguration:
    """Raises: Denied (unreadable, or not a pair)."""
    pem = tls.read(files)
    assert pem.cert is not None
    assert pem.key is not None
    _check_pair(pem.cert, pem.key)
    pair = (pem.key, pem.cert)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=pem.ca)


def _check_pair(cert: bytes, key: bytes) -> None:
    try:
        public = x509.load_pem_x509_certificate(cert).public_key()
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Denied("the API's certificate or key is not a valid PEM file", _PAIR_HINT) from error
    if public != private.public_key():
        raise Denied("the API's certificate and key do not match", _PAIR_HINT)

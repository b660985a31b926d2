"""Certificates that a process uses: until when each file is valid, read again at each scrape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from cleancut.core.primitives.errors import Denied
from cleancut.runtime.prometheus import Meter
from cleancut.runtime.watched_files import WatchedFiles


class Validity(NamedTuple):
    """Of the certificate of a file that ends first. Unit: seconds since 1970."""

    from_s: float
    until_s: float


def read_validity(pem: bytes) -> Validity | None:
    """None, if there is no certificate that can be read."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return None
    spans = [(one.not_valid_before_utc, one.not_valid_after_utc) for one in found]
    first = min(spans, key=lambda span: span[1], default=None)
    return Validity(first[0].timestamp(), first[1].timestamp()) if first else None


class CertificateGauges:
    """Gauges of the files that `watch` names."""

    def __init__(self, meter: Meter) -> None:
        self._until = meter.gauge(
            "cleancut_certificate_expiry_timestamp_seconds",
            "When the certificate in a file ends that ends first, in seconds since 1970; by the"
            " flag that names the file.",
            "flag",
        )
        self._lifetime = meter.gauge(
            "cleancut_certificate_lifetime_seconds",
            "How long that certificate is valid in all, in seconds.",
            "flag",
        )
        self._files: dict[str, _File] = {}

    def watch(self, files: Mapping[str, Path]) -> None:
        """`files`: by the names of their flags."""
        self._files = {flag: _File(path) for flag, path in files.items()}

    def refresh(self) -> None:
        """Files that cannot be read are shown as they were."""
        found = [({"flag": flag}, file.validity()) for flag, file in self._files.items()]
        known = [(labels, one) for labels, one in found if one is not None]
        self._until.show([(labels, one.until_s) for labels, one in known])
        self._lifetime.show([(labels, one.until_s - one.from_s) for labels, one in known])


class _File:
    """A file of certificates, parsed once for each of its contents."""

    def __init__(self, path: Path) -> None:
        self._file, self._version = WatchedFiles([path]), -1
        self._validity: Validity | None = None

    def validity(self) -> Validity | None:
        version = self._file.look()
        if version == self._version:
            return self._validity
        try:
            self._validity, self._version = read_validity(self._file.read()[0]), version
        except Denied:
            return self._validity  # it is looked at again
        return self._validity

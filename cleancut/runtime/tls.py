"""TLS files of one connection: a CA to verify the other side, a certificate to be verified by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cleancut.core.primitives.errors import Denied, Invalid
from cleancut.runtime.watched_files import WatchedFiles


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files; `cert` and `key` are set together. Raises: Invalid, for one of them.

    A server without `ca` requests no client certificate; a client without `cert` presents none
    and authenticates by token or password, if at all.
    """

    ca: Path | None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            named, missing = ("key", "certificate") if self.cert is None else ("certificate", "key")
            raise Invalid(f"a TLS {named} is set without its {missing}", "set both, or neither")

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.ca, self.cert, self.key) if path is not None)

    def read(self, files: WatchedFiles) -> PemFiles:
        """The contents of `files`, which watches this value's `files`. Raises: Denied, also for one
        that is empty, half written or of another kind: gRPC says no more of it than that nothing
        connects."""
        contents = dict(zip(self.files, files.read(), strict=True))
        for path, kind in ((self.ca, "CERTIFICATE"), (self.cert, "CERTIFICATE"), (self.key, "KEY")):
            if path is not None and not _holds(contents[path], kind):
                raise Denied(
                    f"{path} holds no whole {kind.lower()} in PEM", "check what was written there"
                )
        ca, cert, key = (
            None if path is None else contents[path] for path in (self.ca, self.cert, self.key)
        )
        return PemFiles(ca, cert, key)


def _holds(pem: bytes, kind: str) -> bool:
    """Whether there is at least one of this kind, and the last one is whole."""
    ends = [line for line in pem.splitlines() if line.startswith((b"-----BEGIN", b"-----END"))]
    ours = [line for line in ends if f"{kind}-----".encode() in line]
    return bool(ours) and ends[-1].startswith(b"-----END")


@dataclass(frozen=True, slots=True)
class PemFiles:
    """The contents of the files that a `Tls` names."""

    ca: bytes | None
    cert: bytes | None
    key: bytes | None


def tls_of(ca: Path | None, cert: Path | None, key: Path | None) -> Tls | None:
    """None if no file is named. Raises: Invalid, for a certificate without key or a key alone."""
    return Tls(ca, cert, key) if ca or cert or key else None

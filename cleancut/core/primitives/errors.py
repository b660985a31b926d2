"""Errors: one tree of kinds, each with a message, a hint, and its status at each border.

Adapters map foreign exceptions to these once; everything above sees only this tree. The gRPC
border and the command line translate by the table of kinds (`KINDS`).
"""

from __future__ import annotations

from typing import ClassVar


class CleancutError(Exception):
    """An expected failure, with a hint of what to do about it.

    `context` holds facts for logs and for ErrorInfo metadata; never a secret.
    """

    retryable: ClassVar[bool] = False
    grpc_status: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 1
    reason: ClassVar[str] = "FAILED"

    def __init__(self, message: str, hint: str = "", **context: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class Invalid(CleancutError):
    """The request itself is wrong; repeating it cannot help."""

    grpc_status, exit_code, reason = "INVALID_ARGUMENT", 2, "INVALID"


class NotFound(CleancutError):
    """The named thing does not exist."""

    grpc_status, exit_code, reason = "NOT_FOUND", 3, "NOT_FOUND"


class Refused(CleancutError):
    """A precondition does not hold; nothing was touched."""

    grpc_status, exit_code, reason = "FAILED_PRECONDITION", 4, "REFUSED"


class Fenced(CleancutError):
    """Another process holds a newer token; the caller has to stop."""

    grpc_status, exit_code, reason = "ABORTED", 1, "FENCED"


class LeaseLost(CleancutError):
    """The process's lease is over or may be; it must act on nothing outside etcd any more."""

    grpc_status, exit_code, reason = "ABORTED", 1, "LEASE_LOST"


class Unavailable(CleancutError):
    """A dependency does not answer now; the same call may succeed later."""

    retryable = True
    grpc_status, exit_code, reason = "UNAVAILABLE", 7, "UNAVAILABLE"


class TimedOut(CleancutError):
    """A time limit was reached; the outcome may be unknown."""

    retryable = True
    grpc_status, exit_code, reason = "DEADLINE_EXCEEDED", 6, "TIMED_OUT"


class Corrupt(CleancutError):
    """Data does not match its digest, length or format."""

    grpc_status, exit_code, reason = "DATA_LOSS", 9, "CORRUPT"


class Denied(CleancutError):
    """Credentials are missing or do not suffice."""

    grpc_status, exit_code, reason = "PERMISSION_DENIED", 8, "DENIED"


class Unauthenticated(Denied):
    """The caller is unknown: no credentials, or none that are valid now."""

    grpc_status, reason = "UNAUTHENTICATED", "UNAUTHENTICATED"


KINDS: tuple[type[CleancutError], ...] = (
    Invalid,
    NotFound,
    Refused,
    Fenced,
    LeaseLost,
    Unavailable,
    TimedOut,
    Corrupt,
    Denied,
    Unauthenticated,
)


def from_reason(reason: str) -> type[CleancutError]:
    """The kind a peer meant by `reason` (ErrorInfo); an unknown one is a plain CleancutError."""
    return next((kind for kind in KINDS if kind.reason == reason), CleancutError)

"""What recorded operations were asked for, as the API shows it."""

from __future__ import annotations

from typing import TypeVar

from cleancut.core.primitives.codec import Record, decode
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.protocol.etcd_records import Operation

R = TypeVar("R", bound=Record)


def read_asked(operation: Operation, kind: type[R], otherwise: R) -> tuple[R, tuple[str, ...]]:
    """The request of `operation`, and warnings. One that cannot be read is taken as `otherwise`:
    the operation's own turn ends it, and until then it and the others are shown."""
    try:
        return decode(kind, operation.request.encode(), "the request"), ()
    except Corrupt as error:
        unread = f"the request of {operation.id} cannot be read: {error.message}"
        return otherwise, (unread,)

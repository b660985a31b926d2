"""Log of a collection as the API shows it: what was written when."""

from __future__ import annotations

from cleancut.api.values import ApiValue


class LogQuery(ApiValue, frozen=True):
    """What is looked for; see ReadLogRequest in backup.proto."""

    collection: str
    since: str | None = None
    until: str | None = None
    kinds: tuple[str, ...] = ()
    grep: str = ""
    limit: int = 0


class LoggedOperation(ApiValue, frozen=True):
    """One operation; see LoggedOperation in backup.proto."""

    shard_id: int
    index: int
    at: str | None = None
    kind: str = ""
    points: int | None = None
    ids: tuple[str, ...] = ()
    filter: str = ""
    keys: tuple[str, ...] = ()
    detail: str = ""
    chain: str = ""


class LogPage(ApiValue, frozen=True):
    """In the order of time. `truncated`: there are older ones in that time."""

    operations: tuple[LoggedOperation, ...] = ()
    truncated: bool = False

"""Archive as the API shows it: what of each shard's log is stored, marks, and a log."""

from __future__ import annotations

from cleancut.api.values import ApiValue, Time


class ArchivedShard(ApiValue, frozen=True):
    """The log of one shard. `agent`, `chain`: "" if it is not followed, for the reason in
    `problem`. `stored_entry`: the newest operation that is stored, `read_entry`: that was read.
    `lag_s`: age of the oldest one that was read and is not stored. `base`: the newest backup that
    the chain continues; 0: none, so that nothing of it can be restored yet."""

    collection: str
    shard: int
    agent: str = ""
    chain: str = ""
    stored_entry: int | None = None
    read_entry: int | None = None
    lag_s: float = 0.0
    base: int = 0
    problem: str = ""


class Archive(ApiValue, frozen=True):
    """`collections`: as in the settings; none: nothing is archived. `last_mark`: RFC 3339; "" for
    none. Bytes of operations since the agents started, and of what is stored for them."""

    collections: tuple[str, ...] = ()
    shards: tuple[ArchivedShard, ...] = ()
    last_mark: str = ""
    raw_bytes: int = 0
    stored_bytes: int = 0


class ArchiveMark(ApiValue, frozen=True):
    """A moment at which this number of archived shards stood still. `at`, and exactly `at_ms`
    since 1970: by the leader."""

    name: str
    at: Time
    shards: int = 0
    at_ms: int = 0


class LogQuery(ApiValue, frozen=True):
    """What is looked for; see ReadLogRequest in backup.proto."""

    collection: str
    since: str | None = None
    until: str | None = None
    kinds: tuple[str, ...] = ()
    grep: str = ""
    limit: int = 0


class LoggedOperation(ApiValue, frozen=True):
    """One operation; see LoggedOperation in backup.proto. `at_ms`: the exact time, since 1970."""

    shard_id: int
    index: int
    at: Time | None = None
    kind: str = ""
    points: int | None = None
    ids: tuple[str, ...] = ()
    filter: str = ""
    keys: tuple[str, ...] = ()
    detail: str = ""
    chain: str = ""
    at_ms: int = 0


class LogPage(ApiValue, frozen=True):
    """In the order of time. `truncated`: there are older ones in that time."""

    operations: tuple[LoggedOperation, ...] = ()
    truncated: bool = False

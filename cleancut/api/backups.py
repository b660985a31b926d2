"""Backups as the API shows them, with their evidence."""

from __future__ import annotations

import msgspec

from cleancut.api.values import AgentProgress, ApiValue, Attempt, OperationError, Time
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import State


class ShardEvidence(ApiValue, frozen=True):
    """The raw numbers that prove, or disprove, that one shard is of the backup's instant.
    `rolled_to`: the operation up to which its log is stored, which a restore replays. `audit`:
    None: none was asked for; "": what was captured from the disk is what Qdrant streamed
    afterwards; else why it was not compared. `agent`: the name of the one that captured it."""

    collection: str
    shard_id: int
    peer_id: int
    ops_before: int | None = None
    ops_after: int | None = None
    unchanged: bool = False
    points: int | None = None
    drained: bool = False
    doubt: str = ""
    rolled_to: int | None = None
    audit: str | None = None
    agent: str = ""


class FenceEvidence(ApiValue, frozen=True):
    """How writes were held off. `seen_by`: agents that saw it on their local peer before and after
    all readings. `held_ms`: from its raising to the last reading, on the coordinator's clock."""

    aliases: tuple[str, ...] = ()
    hooked: tuple[str, ...] = ()
    seen_by: tuple[str, ...] = ()
    held_ms: int | None = None


class Evidence(ApiValue, frozen=True):
    """`fenced`: point-in-time, because a fence held off all writes. `skew_ms` is an upper bound, on
    one clock. `sample_queries`: how many exact searches were answered inside the cut, of
    collections without a change in it."""

    consistency: Consistency = Consistency.PER_SHARD
    fenced: bool = False
    skew_ms: int | None = None
    shards: tuple[ShardEvidence, ...] = ()
    sample_queries: int = 0
    fence: FenceEvidence | None = None


class BackupBytes(ApiValue, frozen=True):
    """`protected`: what a restore writes; `new` and `stored`: added, before and after packing.
    Of what it protects, `streamed` was sent by Qdrant, `disk` read from its disk, and the rest was
    kept of the backup before, unread."""

    protected: int = 0
    new: int = 0
    stored: int = 0
    streamed: int = 0
    disk: int = 0


class Seed(ApiValue, frozen=True):
    """What a seed is. `shards`, and the bytes `read` of their tars: of its last attempt, once it is
    SEEDED."""

    streams: int = 0
    shards: int = 0
    read: int = 0


class MissingCollection(ApiValue, frozen=True):
    """A collection that a partial backup does not hold, and why."""

    name: str
    reason: str = ""


class CollectionBytes(ApiValue, frozen=True):
    """The shares of one collection in `BackupBytes`."""

    name: str
    shards: int = 0
    protected: int = 0
    new: int = 0
    stored: int = 0


class BackupCheck(ApiValue, frozen=True):
    """One entry of the verification log. `kind`: verify or drill; `level`: presence, part, all or
    drill."""

    at: Time | None = None
    kind: str = ""
    level: str = ""
    good: bool = False


class Backup(ApiValue, frozen=True):
    """One backup operation, and its contents once it is COMMITTED. Times are RFC 3339, UTC.
    `seed`: it is one, and makes no backup.
    `schedule`: the one that asked for it, "" for a user. `holds`: reasons that keep it from being
    deleted; not in lists. `damage`: what the store's verification log knows to be damaged.
    `missing`: collections that could not be backed up; with any, the backup is partial.
    `asked_by`: the client, "" for a schedule. Not in lists: `attempt_history`, the oldest first;
    `collection_bytes`; `checks`, the newest first; `kept_by`, the rule of retention; `freed_bytes`,
    what its deletion frees, None if that is unknown. `keep_until`: the end of its own life; None:
    the retention rules decide, or it is not committed. `aliases`: of its collections when it was
    cut, with the collection behind each."""

    id: str
    epoch: int = 0
    state: State = State.PENDING
    created_at: Time | None = None
    cut_at: Time | None = None
    ended_at: Time | None = None
    collections: tuple[str, ...] = ()
    evidence: Evidence | None = None
    bytes: BackupBytes = BackupBytes()
    error: OperationError | None = None
    attempt: int = 0
    attempts: int = 0
    progress: tuple[AgentProgress, ...] = ()
    warnings: tuple[str, ...] = ()
    schedule: str = ""
    holds: tuple[str, ...] = ()
    seed: Seed | None = None
    damage: tuple[str, ...] = ()
    missing: tuple[MissingCollection, ...] = ()
    asked_by: str = ""
    attempt_history: tuple[Attempt, ...] = ()
    collection_bytes: tuple[CollectionBytes, ...] = ()
    checks: tuple[BackupCheck, ...] = ()
    kept_by: str = ""
    freed_bytes: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    keep_until: Time | None = None
    aliases: dict[str, str] = msgspec.field(default_factory=dict)

    def contains(self, name: str) -> bool:
        """Whether it holds the collection of this name or alias."""
        return name in self.collections or name in self.aliases


class PlannedCut(ApiValue, frozen=True):
    """A shard, and the agent that would cut it; see PlannedCut in backup.proto. `parent_epoch`
    None: there is none, so all of it is stored. `expected_bytes` None: not known."""

    collection: str
    shard_id: int
    agent: str
    peer_id: int
    shard_key: str | None = None
    size_bytes: int | None = None
    parent_epoch: int | None = None
    expected_bytes: int | None = None


class BackupPlan(ApiValue, frozen=True):
    """What a backup would do now; it can start if there are no `blockers`. `missing`: collections
    that it would leave out."""

    collections: tuple[str, ...] = ()
    shards: tuple[PlannedCut, ...] = ()
    missing: tuple[MissingCollection, ...] = ()
    fence_aliases: tuple[str, ...] = ()
    fence_hooked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    size_bytes: int | None = None
    expected_bytes: int | None = None


class BackupPage(ApiValue, frozen=True):
    """Newest first, evidence without its shards; the last page has no `next_page_token`."""

    backups: tuple[Backup, ...] = ()
    next_page_token: str = ""

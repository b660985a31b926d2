import datetime

from cleancut.v1 import common_pb2 as _common_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BackupState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BACKUP_STATE_UNSPECIFIED: _ClassVar[BackupState]
    BACKUP_STATE_PENDING: _ClassVar[BackupState]
    BACKUP_STATE_PREPARING: _ClassVar[BackupState]
    BACKUP_STATE_FENCING: _ClassVar[BackupState]
    BACKUP_STATE_CUTTING: _ClassVar[BackupState]
    BACKUP_STATE_SEALING: _ClassVar[BackupState]
    BACKUP_STATE_UPLOADING: _ClassVar[BackupState]
    BACKUP_STATE_COMMITTING: _ClassVar[BackupState]
    BACKUP_STATE_COMMITTED: _ClassVar[BackupState]
    BACKUP_STATE_ABORTED: _ClassVar[BackupState]
    BACKUP_STATE_DELETED: _ClassVar[BackupState]
    BACKUP_STATE_SEEDED: _ClassVar[BackupState]
    BACKUP_STATE_DAMAGED: _ClassVar[BackupState]
    BACKUP_STATE_CORRUPT: _ClassVar[BackupState]
    BACKUP_STATE_NEEDS_OPERATOR: _ClassVar[BackupState]

class Consistency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSISTENCY_UNSPECIFIED: _ClassVar[Consistency]
    CONSISTENCY_POINT_IN_TIME: _ClassVar[Consistency]
    CONSISTENCY_PER_SHARD: _ClassVar[Consistency]
    CONSISTENCY_IMPORTED: _ClassVar[Consistency]
BACKUP_STATE_UNSPECIFIED: BackupState
BACKUP_STATE_PENDING: BackupState
BACKUP_STATE_PREPARING: BackupState
BACKUP_STATE_FENCING: BackupState
BACKUP_STATE_CUTTING: BackupState
BACKUP_STATE_SEALING: BackupState
BACKUP_STATE_UPLOADING: BackupState
BACKUP_STATE_COMMITTING: BackupState
BACKUP_STATE_COMMITTED: BackupState
BACKUP_STATE_ABORTED: BackupState
BACKUP_STATE_DELETED: BackupState
BACKUP_STATE_SEEDED: BackupState
BACKUP_STATE_DAMAGED: BackupState
BACKUP_STATE_CORRUPT: BackupState
BACKUP_STATE_NEEDS_OPERATOR: BackupState
CONSISTENCY_UNSPECIFIED: Consistency
CONSISTENCY_POINT_IN_TIME: Consistency
CONSISTENCY_PER_SHARD: Consistency
CONSISTENCY_IMPORTED: Consistency

class ShardEvidence(_message.Message):
    __slots__ = ("collection", "shard_id", "peer_id", "ops_before", "ops_after", "unchanged", "points", "drained", "doubt", "rolled_to", "audit", "agent")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    OPS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    OPS_AFTER_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    DOUBT_FIELD_NUMBER: _ClassVar[int]
    ROLLED_TO_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    shard_id: int
    peer_id: int
    ops_before: int
    ops_after: int
    unchanged: bool
    points: int
    drained: bool
    doubt: str
    rolled_to: int
    audit: str
    agent: str
    def __init__(self, collection: _Optional[str] = ..., shard_id: _Optional[int] = ..., peer_id: _Optional[int] = ..., ops_before: _Optional[int] = ..., ops_after: _Optional[int] = ..., unchanged: _Optional[bool] = ..., points: _Optional[int] = ..., drained: _Optional[bool] = ..., doubt: _Optional[str] = ..., rolled_to: _Optional[int] = ..., audit: _Optional[str] = ..., agent: _Optional[str] = ...) -> None: ...

class FenceEvidence(_message.Message):
    __slots__ = ("aliases", "hooked", "seen_by", "held_ms")
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    HOOKED_FIELD_NUMBER: _ClassVar[int]
    SEEN_BY_FIELD_NUMBER: _ClassVar[int]
    HELD_MS_FIELD_NUMBER: _ClassVar[int]
    aliases: _containers.RepeatedScalarFieldContainer[str]
    hooked: _containers.RepeatedScalarFieldContainer[str]
    seen_by: _containers.RepeatedScalarFieldContainer[str]
    held_ms: int
    def __init__(self, aliases: _Optional[_Iterable[str]] = ..., hooked: _Optional[_Iterable[str]] = ..., seen_by: _Optional[_Iterable[str]] = ..., held_ms: _Optional[int] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("consistency", "fenced", "skew_ms", "shards", "sample_queries", "fence")
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    FENCED_FIELD_NUMBER: _ClassVar[int]
    SKEW_MS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_QUERIES_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    consistency: Consistency
    fenced: bool
    skew_ms: int
    shards: _containers.RepeatedCompositeFieldContainer[ShardEvidence]
    sample_queries: int
    fence: FenceEvidence
    def __init__(self, consistency: _Optional[_Union[Consistency, str]] = ..., fenced: _Optional[bool] = ..., skew_ms: _Optional[int] = ..., shards: _Optional[_Iterable[_Union[ShardEvidence, _Mapping]]] = ..., sample_queries: _Optional[int] = ..., fence: _Optional[_Union[FenceEvidence, _Mapping]] = ...) -> None: ...

class BackupBytes(_message.Message):
    __slots__ = ("protected", "new", "stored", "streamed", "disk")
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    STREAMED_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    protected: int
    new: int
    stored: int
    streamed: int
    disk: int
    def __init__(self, protected: _Optional[int] = ..., new: _Optional[int] = ..., stored: _Optional[int] = ..., streamed: _Optional[int] = ..., disk: _Optional[int] = ...) -> None: ...

class Seed(_message.Message):
    __slots__ = ("streams", "shards", "read")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    streams: int
    shards: int
    read: int
    def __init__(self, streams: _Optional[int] = ..., shards: _Optional[int] = ..., read: _Optional[int] = ...) -> None: ...

class Backup(_message.Message):
    __slots__ = ("id", "epoch", "state", "created_at", "cut_at", "ended_at", "collections", "evidence", "bytes", "error", "attempt", "attempts", "progress", "warnings", "schedule", "holds", "seed", "damage", "missing", "asked_by", "attempt_history", "collection_bytes", "checks", "kept_by", "freed_bytes", "labels", "keep_until", "aliases")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AliasesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CUT_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    ASKED_BY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_HISTORY_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    KEPT_BY_FIELD_NUMBER: _ClassVar[int]
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    KEEP_UNTIL_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    id: str
    epoch: int
    state: BackupState
    created_at: _timestamp_pb2.Timestamp
    cut_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    collections: _containers.RepeatedScalarFieldContainer[str]
    evidence: Evidence
    bytes: BackupBytes
    error: _common_pb2.OperationError
    attempt: int
    attempts: int
    progress: _containers.RepeatedCompositeFieldContainer[_common_pb2.AgentProgress]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    schedule: str
    holds: _containers.RepeatedScalarFieldContainer[str]
    seed: Seed
    damage: _containers.RepeatedScalarFieldContainer[str]
    missing: _containers.RepeatedCompositeFieldContainer[MissingCollection]
    asked_by: str
    attempt_history: _containers.RepeatedCompositeFieldContainer[_common_pb2.Attempt]
    collection_bytes: _containers.RepeatedCompositeFieldContainer[CollectionBytes]
    checks: _containers.RepeatedCompositeFieldContainer[BackupCheck]
    kept_by: str
    freed_bytes: int
    labels: _containers.ScalarMap[str, str]
    keep_until: _timestamp_pb2.Timestamp
    aliases: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., epoch: _Optional[int] = ..., state: _Optional[_Union[BackupState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cut_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., collections: _Optional[_Iterable[str]] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ..., bytes: _Optional[_Union[BackupBytes, _Mapping]] = ..., error: _Optional[_Union[_common_pb2.OperationError, _Mapping]] = ..., attempt: _Optional[int] = ..., attempts: _Optional[int] = ..., progress: _Optional[_Iterable[_Union[_common_pb2.AgentProgress, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., schedule: _Optional[str] = ..., holds: _Optional[_Iterable[str]] = ..., seed: _Optional[_Union[Seed, _Mapping]] = ..., damage: _Optional[_Iterable[str]] = ..., missing: _Optional[_Iterable[_Union[MissingCollection, _Mapping]]] = ..., asked_by: _Optional[str] = ..., attempt_history: _Optional[_Iterable[_Union[_common_pb2.Attempt, _Mapping]]] = ..., collection_bytes: _Optional[_Iterable[_Union[CollectionBytes, _Mapping]]] = ..., checks: _Optional[_Iterable[_Union[BackupCheck, _Mapping]]] = ..., kept_by: _Optional[str] = ..., freed_bytes: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., keep_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., aliases: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CollectionBytes(_message.Message):
    __slots__ = ("name", "shards", "protected", "new", "stored")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    name: str
    shards: int
    protected: int
    new: int
    stored: int
    def __init__(self, name: _Optional[str] = ..., shards: _Optional[int] = ..., protected: _Optional[int] = ..., new: _Optional[int] = ..., stored: _Optional[int] = ...) -> None: ...

class BackupCheck(_message.Message):
    __slots__ = ("at", "kind", "level", "good")
    AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    kind: str
    level: str
    good: bool
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[str] = ..., level: _Optional[str] = ..., good: _Optional[bool] = ...) -> None: ...

class MissingCollection(_message.Message):
    __slots__ = ("name", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CreateBackupRequest(_message.Message):
    __slots__ = ("request_id", "collections", "allow_empty", "require_point_in_time", "attempts", "fence", "fence_budget_s", "full", "exclude", "allow_missing", "audit", "labels", "keep_s")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_EMPTY_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_POINT_IN_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    FENCE_BUDGET_S_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    KEEP_S_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    collections: _containers.RepeatedScalarFieldContainer[str]
    allow_empty: bool
    require_point_in_time: bool
    attempts: int
    fence: _containers.RepeatedScalarFieldContainer[str]
    fence_budget_s: float
    full: bool
    exclude: _containers.RepeatedScalarFieldContainer[str]
    allow_missing: bool
    audit: bool
    labels: _containers.ScalarMap[str, str]
    keep_s: float
    def __init__(self, request_id: _Optional[str] = ..., collections: _Optional[_Iterable[str]] = ..., allow_empty: _Optional[bool] = ..., require_point_in_time: _Optional[bool] = ..., attempts: _Optional[int] = ..., fence: _Optional[_Iterable[str]] = ..., fence_budget_s: _Optional[float] = ..., full: _Optional[bool] = ..., exclude: _Optional[_Iterable[str]] = ..., allow_missing: _Optional[bool] = ..., audit: _Optional[bool] = ..., labels: _Optional[_Mapping[str, str]] = ..., keep_s: _Optional[float] = ...) -> None: ...

class CreateBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class PlanBackupRequest(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: CreateBackupRequest
    def __init__(self, backup: _Optional[_Union[CreateBackupRequest, _Mapping]] = ...) -> None: ...

class PlanBackupResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: BackupPlan
    def __init__(self, plan: _Optional[_Union[BackupPlan, _Mapping]] = ...) -> None: ...

class PlannedCut(_message.Message):
    __slots__ = ("collection", "shard_id", "agent", "peer_id", "shard_key", "size_bytes", "parent_epoch", "expected_bytes")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PARENT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    collection: str
    shard_id: int
    agent: str
    peer_id: int
    shard_key: str
    size_bytes: int
    parent_epoch: int
    expected_bytes: int
    def __init__(self, collection: _Optional[str] = ..., shard_id: _Optional[int] = ..., agent: _Optional[str] = ..., peer_id: _Optional[int] = ..., shard_key: _Optional[str] = ..., size_bytes: _Optional[int] = ..., parent_epoch: _Optional[int] = ..., expected_bytes: _Optional[int] = ...) -> None: ...

class BackupPlan(_message.Message):
    __slots__ = ("collections", "shards", "missing", "fence_aliases", "fence_hooked", "notes", "blockers", "size_bytes", "expected_bytes")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    FENCE_ALIASES_FIELD_NUMBER: _ClassVar[int]
    FENCE_HOOKED_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    BLOCKERS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedScalarFieldContainer[str]
    shards: _containers.RepeatedCompositeFieldContainer[PlannedCut]
    missing: _containers.RepeatedCompositeFieldContainer[MissingCollection]
    fence_aliases: _containers.RepeatedScalarFieldContainer[str]
    fence_hooked: _containers.RepeatedScalarFieldContainer[str]
    notes: _containers.RepeatedScalarFieldContainer[str]
    blockers: _containers.RepeatedScalarFieldContainer[str]
    size_bytes: int
    expected_bytes: int
    def __init__(self, collections: _Optional[_Iterable[str]] = ..., shards: _Optional[_Iterable[_Union[PlannedCut, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[MissingCollection, _Mapping]]] = ..., fence_aliases: _Optional[_Iterable[str]] = ..., fence_hooked: _Optional[_Iterable[str]] = ..., notes: _Optional[_Iterable[str]] = ..., blockers: _Optional[_Iterable[str]] = ..., size_bytes: _Optional[int] = ..., expected_bytes: _Optional[int] = ...) -> None: ...

class SeedBackupRequest(_message.Message):
    __slots__ = ("request_id", "collections", "streams", "attempts")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    collections: _containers.RepeatedScalarFieldContainer[str]
    streams: int
    attempts: int
    def __init__(self, request_id: _Optional[str] = ..., collections: _Optional[_Iterable[str]] = ..., streams: _Optional[int] = ..., attempts: _Optional[int] = ...) -> None: ...

class SeedBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class ImportBackupRequest(_message.Message):
    __slots__ = ("request_id", "import_id", "draft", "collection", "attempts")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    import_id: str
    draft: str
    collection: str
    attempts: int
    def __init__(self, request_id: _Optional[str] = ..., import_id: _Optional[str] = ..., draft: _Optional[str] = ..., collection: _Optional[str] = ..., attempts: _Optional[int] = ...) -> None: ...

class ImportBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class GetBackupRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class ListBackupsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "all")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    all: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., all: _Optional[bool] = ...) -> None: ...

class ListBackupsResponse(_message.Message):
    __slots__ = ("backups", "next_page_token")
    BACKUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    backups: _containers.RepeatedCompositeFieldContainer[Backup]
    next_page_token: str
    def __init__(self, backups: _Optional[_Iterable[_Union[Backup, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchBackupRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class CancelBackupRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class DeleteBackupRequest(_message.Message):
    __slots__ = ("id", "confirmed")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    id: str
    confirmed: bool
    def __init__(self, id: _Optional[str] = ..., confirmed: _Optional[bool] = ...) -> None: ...

class DeleteBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class HoldBackupRequest(_message.Message):
    __slots__ = ("id", "reason", "for_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    for_s: float
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ..., for_s: _Optional[float] = ...) -> None: ...

class HoldBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class ReleaseBackupRequest(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ReleaseBackupResponse(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class CollectGarbageRequest(_message.Message):
    __slots__ = ("dry_run", "confirmed")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    confirmed: bool
    def __init__(self, dry_run: _Optional[bool] = ..., confirmed: _Optional[bool] = ...) -> None: ...

class ExpiredBackup(_message.Message):
    __slots__ = ("epoch", "id", "why")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    id: str
    why: str
    def __init__(self, epoch: _Optional[int] = ..., id: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class KeptBackup(_message.Message):
    __slots__ = ("epoch", "id", "why")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    id: str
    why: str
    def __init__(self, epoch: _Optional[int] = ..., id: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class GarbageCollection(_message.Message):
    __slots__ = ("dry_run", "expired", "marked_objects", "marked_bytes", "deleted_objects", "deleted_bytes", "waits", "kept", "warnings")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    MARKED_OBJECTS_FIELD_NUMBER: _ClassVar[int]
    MARKED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DELETED_OBJECTS_FIELD_NUMBER: _ClassVar[int]
    DELETED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    expired: _containers.RepeatedCompositeFieldContainer[ExpiredBackup]
    marked_objects: int
    marked_bytes: int
    deleted_objects: int
    deleted_bytes: int
    waits: str
    kept: _containers.RepeatedCompositeFieldContainer[KeptBackup]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, dry_run: _Optional[bool] = ..., expired: _Optional[_Iterable[_Union[ExpiredBackup, _Mapping]]] = ..., marked_objects: _Optional[int] = ..., marked_bytes: _Optional[int] = ..., deleted_objects: _Optional[int] = ..., deleted_bytes: _Optional[int] = ..., waits: _Optional[str] = ..., kept: _Optional[_Iterable[_Union[KeptBackup, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class CollectGarbageResponse(_message.Message):
    __slots__ = ("gc",)
    GC_FIELD_NUMBER: _ClassVar[int]
    gc: GarbageCollection
    def __init__(self, gc: _Optional[_Union[GarbageCollection, _Mapping]] = ...) -> None: ...

class RepairBackupRequest(_message.Message):
    __slots__ = ("backup_id", "from_store")
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_STORE_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    from_store: str
    def __init__(self, backup_id: _Optional[str] = ..., from_store: _Optional[str] = ...) -> None: ...

class Repair(_message.Message):
    __slots__ = ("id", "epoch", "source", "repaired", "damaged", "read_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    epoch: int
    source: str
    repaired: _containers.RepeatedScalarFieldContainer[str]
    damaged: _containers.RepeatedScalarFieldContainer[str]
    read_bytes: int
    def __init__(self, id: _Optional[str] = ..., epoch: _Optional[int] = ..., source: _Optional[str] = ..., repaired: _Optional[_Iterable[str]] = ..., damaged: _Optional[_Iterable[str]] = ..., read_bytes: _Optional[int] = ...) -> None: ...

class RepairBackupResponse(_message.Message):
    __slots__ = ("repair",)
    REPAIR_FIELD_NUMBER: _ClassVar[int]
    repair: Repair
    def __init__(self, repair: _Optional[_Union[Repair, _Mapping]] = ...) -> None: ...

class VerifyBackupRequest(_message.Message):
    __slots__ = ("id", "quick", "read_percent", "within_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    QUICK_FIELD_NUMBER: _ClassVar[int]
    READ_PERCENT_FIELD_NUMBER: _ClassVar[int]
    WITHIN_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    quick: bool
    read_percent: int
    within_s: float
    def __init__(self, id: _Optional[str] = ..., quick: _Optional[bool] = ..., read_percent: _Optional[int] = ..., within_s: _Optional[float] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("id", "epoch", "evidence", "shards", "objects", "read_bytes", "size_bytes", "level", "problems", "missing")
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    id: str
    epoch: int
    evidence: Evidence
    shards: int
    objects: int
    read_bytes: int
    size_bytes: int
    level: str
    problems: _containers.RepeatedScalarFieldContainer[str]
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., epoch: _Optional[int] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ..., shards: _Optional[int] = ..., objects: _Optional[int] = ..., read_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ..., level: _Optional[str] = ..., problems: _Optional[_Iterable[str]] = ..., missing: _Optional[_Iterable[str]] = ...) -> None: ...

class VerifyBackupResponse(_message.Message):
    __slots__ = ("verdict",)
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    def __init__(self, verdict: _Optional[_Union[Verdict, _Mapping]] = ...) -> None: ...

class DrillBackupRequest(_message.Message):
    __slots__ = ("id", "collections", "shards")
    ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    collections: _containers.RepeatedScalarFieldContainer[str]
    shards: int
    def __init__(self, id: _Optional[str] = ..., collections: _Optional[_Iterable[str]] = ..., shards: _Optional[int] = ...) -> None: ...

class DrilledShard(_message.Message):
    __slots__ = ("collection", "shard_id", "size_bytes", "points", "expected", "recall", "problems")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    shard_id: int
    size_bytes: int
    points: int
    expected: int
    recall: float
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collection: _Optional[str] = ..., shard_id: _Optional[int] = ..., size_bytes: _Optional[int] = ..., points: _Optional[int] = ..., expected: _Optional[int] = ..., recall: _Optional[float] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class Drill(_message.Message):
    __slots__ = ("id", "epoch", "shards", "shards_in_backup", "read_bytes", "sample_queries", "sample_queries_equal", "recall", "took_s", "problems", "damaged", "warnings")
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_IN_BACKUP_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_QUERIES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_QUERIES_EQUAL_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    TOOK_S_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    epoch: int
    shards: _containers.RepeatedCompositeFieldContainer[DrilledShard]
    shards_in_backup: int
    read_bytes: int
    sample_queries: int
    sample_queries_equal: int
    recall: float
    took_s: float
    problems: _containers.RepeatedScalarFieldContainer[str]
    damaged: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., epoch: _Optional[int] = ..., shards: _Optional[_Iterable[_Union[DrilledShard, _Mapping]]] = ..., shards_in_backup: _Optional[int] = ..., read_bytes: _Optional[int] = ..., sample_queries: _Optional[int] = ..., sample_queries_equal: _Optional[int] = ..., recall: _Optional[float] = ..., took_s: _Optional[float] = ..., problems: _Optional[_Iterable[str]] = ..., damaged: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class DrillBackupResponse(_message.Message):
    __slots__ = ("drill",)
    DRILL_FIELD_NUMBER: _ClassVar[int]
    drill: Drill
    def __init__(self, drill: _Optional[_Union[Drill, _Mapping]] = ...) -> None: ...

class ReadLogRequest(_message.Message):
    __slots__ = ("collection", "since", "until", "kinds", "grep", "limit")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    GREP_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    kinds: _containers.RepeatedScalarFieldContainer[str]
    grep: str
    limit: int
    def __init__(self, collection: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kinds: _Optional[_Iterable[str]] = ..., grep: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class LoggedOperation(_message.Message):
    __slots__ = ("at", "shard_id", "index", "kind", "points", "ids", "filter", "keys", "detail", "chain", "at_ms")
    AT_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    shard_id: int
    index: int
    kind: str
    points: int
    ids: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    detail: str
    chain: str
    at_ms: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., shard_id: _Optional[int] = ..., index: _Optional[int] = ..., kind: _Optional[str] = ..., points: _Optional[int] = ..., ids: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., detail: _Optional[str] = ..., chain: _Optional[str] = ..., at_ms: _Optional[int] = ...) -> None: ...

class ReadLogResponse(_message.Message):
    __slots__ = ("operations", "truncated")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[LoggedOperation]
    truncated: bool
    def __init__(self, operations: _Optional[_Iterable[_Union[LoggedOperation, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...

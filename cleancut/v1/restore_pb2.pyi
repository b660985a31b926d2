import datetime

from cleancut.v1 import backup_pb2 as _backup_pb2
from cleancut.v1 import common_pb2 as _common_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RestoreState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESTORE_STATE_UNSPECIFIED: _ClassVar[RestoreState]
    RESTORE_STATE_PENDING: _ClassVar[RestoreState]
    RESTORE_STATE_PLANNED: _ClassVar[RestoreState]
    RESTORE_STATE_PREPARING: _ClassVar[RestoreState]
    RESTORE_STATE_CREATING: _ClassVar[RestoreState]
    RESTORE_STATE_RECOVERING: _ClassVar[RestoreState]
    RESTORE_STATE_VERIFYING: _ClassVar[RestoreState]
    RESTORE_STATE_PUBLISHING: _ClassVar[RestoreState]
    RESTORE_STATE_DONE: _ClassVar[RestoreState]
    RESTORE_STATE_ROLLING_BACK: _ClassVar[RestoreState]
    RESTORE_STATE_ROLLED_BACK: _ClassVar[RestoreState]
    RESTORE_STATE_NEEDS_OPERATOR: _ClassVar[RestoreState]
    RESTORE_STATE_ABORTED: _ClassVar[RestoreState]
    RESTORE_STATE_RESHARDING: _ClassVar[RestoreState]
RESTORE_STATE_UNSPECIFIED: RestoreState
RESTORE_STATE_PENDING: RestoreState
RESTORE_STATE_PLANNED: RestoreState
RESTORE_STATE_PREPARING: RestoreState
RESTORE_STATE_CREATING: RestoreState
RESTORE_STATE_RECOVERING: RestoreState
RESTORE_STATE_VERIFYING: RestoreState
RESTORE_STATE_PUBLISHING: RestoreState
RESTORE_STATE_DONE: RestoreState
RESTORE_STATE_ROLLING_BACK: RestoreState
RESTORE_STATE_ROLLED_BACK: RestoreState
RESTORE_STATE_NEEDS_OPERATOR: RestoreState
RESTORE_STATE_ABORTED: RestoreState
RESTORE_STATE_RESHARDING: RestoreState

class RestoredCollection(_message.Message):
    __slots__ = ("name", "published_as", "shards", "counts_equal", "replicas_active", "created_as", "aliases", "schema_equal", "keys_equal", "sample_queries_equal", "status")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_EQUAL_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_EQUAL_FIELD_NUMBER: _ClassVar[int]
    KEYS_EQUAL_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_QUERIES_EQUAL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    name: str
    published_as: str
    shards: int
    counts_equal: bool
    replicas_active: bool
    created_as: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    schema_equal: bool
    keys_equal: bool
    sample_queries_equal: bool
    status: str
    def __init__(self, name: _Optional[str] = ..., published_as: _Optional[str] = ..., shards: _Optional[int] = ..., counts_equal: _Optional[bool] = ..., replicas_active: _Optional[bool] = ..., created_as: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., schema_equal: _Optional[bool] = ..., keys_equal: _Optional[bool] = ..., sample_queries_equal: _Optional[bool] = ..., status: _Optional[str] = ...) -> None: ...

class KeptCollection(_message.Message):
    __slots__ = ("collection", "aliases")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    collection: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collection: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ...) -> None: ...

class OverwrittenCollection(_message.Message):
    __slots__ = ("collection", "backup_id", "backup_epoch", "held_until")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    BACKUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HELD_UNTIL_FIELD_NUMBER: _ClassVar[int]
    collection: str
    backup_id: str
    backup_epoch: int
    held_until: _timestamp_pb2.Timestamp
    def __init__(self, collection: _Optional[str] = ..., backup_id: _Optional[str] = ..., backup_epoch: _Optional[int] = ..., held_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Restore(_message.Message):
    __slots__ = ("id", "backup_id", "backup_epoch", "state", "created_at", "ended_at", "collections", "error", "progress", "warnings", "kept", "rebalance_id", "moment", "reshard_ids", "overwritten", "attempt_history")
    ID_FIELD_NUMBER: _ClassVar[int]
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    BACKUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_ID_FIELD_NUMBER: _ClassVar[int]
    MOMENT_FIELD_NUMBER: _ClassVar[int]
    RESHARD_IDS_FIELD_NUMBER: _ClassVar[int]
    OVERWRITTEN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_HISTORY_FIELD_NUMBER: _ClassVar[int]
    id: str
    backup_id: str
    backup_epoch: int
    state: RestoreState
    created_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    collections: _containers.RepeatedCompositeFieldContainer[RestoredCollection]
    error: _common_pb2.OperationError
    progress: _containers.RepeatedCompositeFieldContainer[_common_pb2.AgentProgress]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    kept: _containers.RepeatedCompositeFieldContainer[KeptCollection]
    rebalance_id: str
    moment: RestoredMoment
    reshard_ids: _containers.RepeatedScalarFieldContainer[str]
    overwritten: OverwrittenCollection
    attempt_history: _containers.RepeatedCompositeFieldContainer[_common_pb2.Attempt]
    def __init__(self, id: _Optional[str] = ..., backup_id: _Optional[str] = ..., backup_epoch: _Optional[int] = ..., state: _Optional[_Union[RestoreState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., collections: _Optional[_Iterable[_Union[RestoredCollection, _Mapping]]] = ..., error: _Optional[_Union[_common_pb2.OperationError, _Mapping]] = ..., progress: _Optional[_Iterable[_Union[_common_pb2.AgentProgress, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., kept: _Optional[_Iterable[_Union[KeptCollection, _Mapping]]] = ..., rebalance_id: _Optional[str] = ..., moment: _Optional[_Union[RestoredMoment, _Mapping]] = ..., reshard_ids: _Optional[_Iterable[str]] = ..., overwritten: _Optional[_Union[OverwrittenCollection, _Mapping]] = ..., attempt_history: _Optional[_Iterable[_Union[_common_pb2.Attempt, _Mapping]]] = ...) -> None: ...

class MomentOptions(_message.Message):
    __slots__ = ("at", "mark", "before", "without", "exact", "force")
    AT_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    mark: str
    before: str
    without: str
    exact: bool
    force: bool
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mark: _Optional[str] = ..., before: _Optional[str] = ..., without: _Optional[str] = ..., exact: _Optional[bool] = ..., force: _Optional[bool] = ...) -> None: ...

class RestoredLog(_message.Message):
    __slots__ = ("collection", "shard_id", "chain", "first", "last", "left_out")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    shard_id: int
    chain: str
    first: int
    last: int
    left_out: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, collection: _Optional[str] = ..., shard_id: _Optional[int] = ..., chain: _Optional[str] = ..., first: _Optional[int] = ..., last: _Optional[int] = ..., left_out: _Optional[_Iterable[int]] = ...) -> None: ...

class RestoredMoment(_message.Message):
    __slots__ = ("at", "mark", "consistency", "skew_ms", "distance_ms", "operations", "log_bytes", "replay_s", "logs", "at_ms")
    AT_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    SKEW_MS_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_MS_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPLAY_S_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    mark: str
    consistency: _backup_pb2.Consistency
    skew_ms: int
    distance_ms: int
    operations: int
    log_bytes: int
    replay_s: float
    logs: _containers.RepeatedCompositeFieldContainer[RestoredLog]
    at_ms: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mark: _Optional[str] = ..., consistency: _Optional[_Union[_backup_pb2.Consistency, str]] = ..., skew_ms: _Optional[int] = ..., distance_ms: _Optional[int] = ..., operations: _Optional[int] = ..., log_bytes: _Optional[int] = ..., replay_s: _Optional[float] = ..., logs: _Optional[_Iterable[_Union[RestoredLog, _Mapping]]] = ..., at_ms: _Optional[int] = ...) -> None: ...

class PlannedCollection(_message.Message):
    __slots__ = ("name", "published_as", "shards", "replicas", "size_bytes", "action", "created_as", "aliases", "exists", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    published_as: str
    shards: int
    replicas: int
    size_bytes: int
    action: str
    created_as: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    exists: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., published_as: _Optional[str] = ..., shards: _Optional[int] = ..., replicas: _Optional[int] = ..., size_bytes: _Optional[int] = ..., action: _Optional[str] = ..., created_as: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., exists: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PlannedPeer(_message.Message):
    __slots__ = ("peer_id", "agent", "shards_max", "size_bytes_max", "free_bytes")
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    SHARDS_MAX_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    peer_id: int
    agent: str
    shards_max: int
    size_bytes_max: int
    free_bytes: int
    def __init__(self, peer_id: _Optional[int] = ..., agent: _Optional[str] = ..., shards_max: _Optional[int] = ..., size_bytes_max: _Optional[int] = ..., free_bytes: _Optional[int] = ...) -> None: ...

class PlannedReshard(_message.Message):
    __slots__ = ("collection", "shard_key", "shards", "wanted", "steps", "size_bytes", "estimated_s", "way", "scratch_bytes")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEY_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_S_FIELD_NUMBER: _ClassVar[int]
    WAY_FIELD_NUMBER: _ClassVar[int]
    SCRATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    collection: str
    shard_key: str
    shards: int
    wanted: int
    steps: int
    size_bytes: int
    estimated_s: float
    way: str
    scratch_bytes: int
    def __init__(self, collection: _Optional[str] = ..., shard_key: _Optional[str] = ..., shards: _Optional[int] = ..., wanted: _Optional[int] = ..., steps: _Optional[int] = ..., size_bytes: _Optional[int] = ..., estimated_s: _Optional[float] = ..., way: _Optional[str] = ..., scratch_bytes: _Optional[int] = ...) -> None: ...

class RestoreEstimate(_message.Message):
    __slots__ = ("least_s", "most_s", "restores", "slowest_bytes_per_s", "fastest_bytes_per_s")
    LEAST_S_FIELD_NUMBER: _ClassVar[int]
    MOST_S_FIELD_NUMBER: _ClassVar[int]
    RESTORES_FIELD_NUMBER: _ClassVar[int]
    SLOWEST_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    FASTEST_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    least_s: float
    most_s: float
    restores: int
    slowest_bytes_per_s: float
    fastest_bytes_per_s: float
    def __init__(self, least_s: _Optional[float] = ..., most_s: _Optional[float] = ..., restores: _Optional[int] = ..., slowest_bytes_per_s: _Optional[float] = ..., fastest_bytes_per_s: _Optional[float] = ...) -> None: ...

class RestorePlan(_message.Message):
    __slots__ = ("backup_id", "backup_epoch", "collections", "peers", "source_version", "target_version", "warnings", "blockers", "digest", "size_bytes", "estimated_s", "moment", "reshards", "estimate")
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    BACKUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TARGET_VERSION_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    BLOCKERS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_S_FIELD_NUMBER: _ClassVar[int]
    MOMENT_FIELD_NUMBER: _ClassVar[int]
    RESHARDS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    backup_epoch: int
    collections: _containers.RepeatedCompositeFieldContainer[PlannedCollection]
    peers: _containers.RepeatedCompositeFieldContainer[PlannedPeer]
    source_version: str
    target_version: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    blockers: _containers.RepeatedScalarFieldContainer[str]
    digest: str
    size_bytes: int
    estimated_s: float
    moment: RestoredMoment
    reshards: _containers.RepeatedCompositeFieldContainer[PlannedReshard]
    estimate: RestoreEstimate
    def __init__(self, backup_id: _Optional[str] = ..., backup_epoch: _Optional[int] = ..., collections: _Optional[_Iterable[_Union[PlannedCollection, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[PlannedPeer, _Mapping]]] = ..., source_version: _Optional[str] = ..., target_version: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., blockers: _Optional[_Iterable[str]] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., estimated_s: _Optional[float] = ..., moment: _Optional[_Union[RestoredMoment, _Mapping]] = ..., reshards: _Optional[_Iterable[_Union[PlannedReshard, _Mapping]]] = ..., estimate: _Optional[_Union[RestoreEstimate, _Mapping]] = ...) -> None: ...

class Rename(_message.Message):
    __slots__ = ("old_name", "new_name")
    OLD_NAME_FIELD_NUMBER: _ClassVar[int]
    NEW_NAME_FIELD_NUMBER: _ClassVar[int]
    old_name: str
    new_name: str
    def __init__(self, old_name: _Optional[str] = ..., new_name: _Optional[str] = ...) -> None: ...

class ShardNumber(_message.Message):
    __slots__ = ("shards", "of")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    shards: int
    of: str
    def __init__(self, shards: _Optional[int] = ..., of: _Optional[str] = ...) -> None: ...

class RestoreOptions(_message.Message):
    __slots__ = ("collections", "from_cluster", "renames", "beside", "replace", "replicas", "only_shards", "peer_id", "rebalance", "strict", "target", "accept_count", "from_store", "shards", "quotas", "offline", "overwrite", "confirm")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    FROM_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    RENAMES_FIELD_NUMBER: _ClassVar[int]
    BESIDE_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    ONLY_SHARDS_FIELD_NUMBER: _ClassVar[int]
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    FROM_STORE_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedScalarFieldContainer[str]
    from_cluster: str
    renames: _containers.RepeatedCompositeFieldContainer[Rename]
    beside: bool
    replace: bool
    replicas: int
    only_shards: _containers.RepeatedScalarFieldContainer[int]
    peer_id: int
    rebalance: bool
    strict: bool
    target: MomentOptions
    accept_count: bool
    from_store: str
    shards: _containers.RepeatedCompositeFieldContainer[ShardNumber]
    quotas: bool
    offline: bool
    overwrite: bool
    confirm: str
    def __init__(self, collections: _Optional[_Iterable[str]] = ..., from_cluster: _Optional[str] = ..., renames: _Optional[_Iterable[_Union[Rename, _Mapping]]] = ..., beside: _Optional[bool] = ..., replace: _Optional[bool] = ..., replicas: _Optional[int] = ..., only_shards: _Optional[_Iterable[int]] = ..., peer_id: _Optional[int] = ..., rebalance: _Optional[bool] = ..., strict: _Optional[bool] = ..., target: _Optional[_Union[MomentOptions, _Mapping]] = ..., accept_count: _Optional[bool] = ..., from_store: _Optional[str] = ..., shards: _Optional[_Iterable[_Union[ShardNumber, _Mapping]]] = ..., quotas: _Optional[bool] = ..., offline: _Optional[bool] = ..., overwrite: _Optional[bool] = ..., confirm: _Optional[str] = ...) -> None: ...

class PlanRestoreRequest(_message.Message):
    __slots__ = ("backup_id", "options", "deep")
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DEEP_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    options: RestoreOptions
    deep: bool
    def __init__(self, backup_id: _Optional[str] = ..., options: _Optional[_Union[RestoreOptions, _Mapping]] = ..., deep: _Optional[bool] = ...) -> None: ...

class PlanRestoreResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: RestorePlan
    def __init__(self, plan: _Optional[_Union[RestorePlan, _Mapping]] = ...) -> None: ...

class StartRestoreRequest(_message.Message):
    __slots__ = ("request_id", "backup_id", "options", "confirmed", "plan_digest")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    backup_id: str
    options: RestoreOptions
    confirmed: bool
    plan_digest: str
    def __init__(self, request_id: _Optional[str] = ..., backup_id: _Optional[str] = ..., options: _Optional[_Union[RestoreOptions, _Mapping]] = ..., confirmed: _Optional[bool] = ..., plan_digest: _Optional[str] = ...) -> None: ...

class StartRestoreResponse(_message.Message):
    __slots__ = ("restore",)
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    restore: Restore
    def __init__(self, restore: _Optional[_Union[Restore, _Mapping]] = ...) -> None: ...

class GetRestoreRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetRestoreResponse(_message.Message):
    __slots__ = ("restore",)
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    restore: Restore
    def __init__(self, restore: _Optional[_Union[Restore, _Mapping]] = ...) -> None: ...

class ListRestoresRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRestoresResponse(_message.Message):
    __slots__ = ("restores", "next_page_token")
    RESTORES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    restores: _containers.RepeatedCompositeFieldContainer[Restore]
    next_page_token: str
    def __init__(self, restores: _Optional[_Iterable[_Union[Restore, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchRestoreRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchRestoreResponse(_message.Message):
    __slots__ = ("restore",)
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    restore: Restore
    def __init__(self, restore: _Optional[_Union[Restore, _Mapping]] = ...) -> None: ...

class CancelRestoreRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelRestoreResponse(_message.Message):
    __slots__ = ("restore",)
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    restore: Restore
    def __init__(self, restore: _Optional[_Union[Restore, _Mapping]] = ...) -> None: ...

class CleanRestoreRequest(_message.Message):
    __slots__ = ("id", "confirmed")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    id: str
    confirmed: bool
    def __init__(self, id: _Optional[str] = ..., confirmed: _Optional[bool] = ...) -> None: ...

class CleanRestoreResponse(_message.Message):
    __slots__ = ("restore",)
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    restore: Restore
    def __init__(self, restore: _Optional[_Union[Restore, _Mapping]] = ...) -> None: ...

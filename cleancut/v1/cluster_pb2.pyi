import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RestoreTest(_message.Message):
    __slots__ = ("kind", "at", "backup")
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    kind: str
    at: _timestamp_pb2.Timestamp
    backup: int
    def __init__(self, kind: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., backup: _Optional[int] = ...) -> None: ...

class CollectionProtection(_message.Message):
    __slots__ = ("name", "protected", "backup", "cut_at", "age_s", "limit_s", "schedule", "excluded", "damaged")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    CUT_AT_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    LIMIT_S_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    name: str
    protected: bool
    backup: int
    cut_at: _timestamp_pb2.Timestamp
    age_s: float
    limit_s: float
    schedule: str
    excluded: bool
    damaged: bool
    def __init__(self, name: _Optional[str] = ..., protected: _Optional[bool] = ..., backup: _Optional[int] = ..., cut_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., age_s: _Optional[float] = ..., limit_s: _Optional[float] = ..., schedule: _Optional[str] = ..., excluded: _Optional[bool] = ..., damaged: _Optional[bool] = ...) -> None: ...

class NewestBackup(_message.Message):
    __slots__ = ("backup", "cut_at", "age_s", "limit_s", "schedule")
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    CUT_AT_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    LIMIT_S_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    backup: int
    cut_at: _timestamp_pb2.Timestamp
    age_s: float
    limit_s: float
    schedule: str
    def __init__(self, backup: _Optional[int] = ..., cut_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., age_s: _Optional[float] = ..., limit_s: _Optional[float] = ..., schedule: _Optional[str] = ...) -> None: ...

class Protection(_message.Message):
    __slots__ = ("protected", "reason", "summary", "collections", "newest", "last_restore_test", "known")
    PROTECTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    LAST_RESTORE_TEST_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    protected: bool
    reason: str
    summary: str
    collections: _containers.RepeatedCompositeFieldContainer[CollectionProtection]
    newest: NewestBackup
    last_restore_test: RestoreTest
    known: bool
    def __init__(self, protected: _Optional[bool] = ..., reason: _Optional[str] = ..., summary: _Optional[str] = ..., collections: _Optional[_Iterable[_Union[CollectionProtection, _Mapping]]] = ..., newest: _Optional[_Union[NewestBackup, _Mapping]] = ..., last_restore_test: _Optional[_Union[RestoreTest, _Mapping]] = ..., known: _Optional[bool] = ...) -> None: ...

class GetProtectionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetProtectionResponse(_message.Message):
    __slots__ = ("protection",)
    PROTECTION_FIELD_NUMBER: _ClassVar[int]
    protection: Protection
    def __init__(self, protection: _Optional[_Union[Protection, _Mapping]] = ...) -> None: ...

class CoordinatorStatus(_message.Message):
    __slots__ = ("name", "address", "leader", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    leader: bool
    version: str
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., leader: _Optional[bool] = ..., version: _Optional[str] = ...) -> None: ...

class ArchivedShard(_message.Message):
    __slots__ = ("collection", "shard", "agent", "chain", "stored_entry", "read_entry", "lag_s", "base", "problem")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    STORED_ENTRY_FIELD_NUMBER: _ClassVar[int]
    READ_ENTRY_FIELD_NUMBER: _ClassVar[int]
    LAG_S_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    collection: str
    shard: int
    agent: str
    chain: str
    stored_entry: int
    read_entry: int
    lag_s: float
    base: int
    problem: str
    def __init__(self, collection: _Optional[str] = ..., shard: _Optional[int] = ..., agent: _Optional[str] = ..., chain: _Optional[str] = ..., stored_entry: _Optional[int] = ..., read_entry: _Optional[int] = ..., lag_s: _Optional[float] = ..., base: _Optional[int] = ..., problem: _Optional[str] = ...) -> None: ...

class Archive(_message.Message):
    __slots__ = ("collections", "shards", "last_mark", "raw_bytes", "stored_bytes")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    LAST_MARK_FIELD_NUMBER: _ClassVar[int]
    RAW_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedScalarFieldContainer[str]
    shards: _containers.RepeatedCompositeFieldContainer[ArchivedShard]
    last_mark: str
    raw_bytes: int
    stored_bytes: int
    def __init__(self, collections: _Optional[_Iterable[str]] = ..., shards: _Optional[_Iterable[_Union[ArchivedShard, _Mapping]]] = ..., last_mark: _Optional[str] = ..., raw_bytes: _Optional[int] = ..., stored_bytes: _Optional[int] = ...) -> None: ...

class ArchiveMark(_message.Message):
    __slots__ = ("name", "at", "shards", "at_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    at: str
    shards: int
    at_ms: int
    def __init__(self, name: _Optional[str] = ..., at: _Optional[str] = ..., shards: _Optional[int] = ..., at_ms: _Optional[int] = ...) -> None: ...

class GetArchiveRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetArchiveResponse(_message.Message):
    __slots__ = ("archive",)
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    archive: Archive
    def __init__(self, archive: _Optional[_Union[Archive, _Mapping]] = ...) -> None: ...

class TakeMarkRequest(_message.Message):
    __slots__ = ("name", "timeout_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    timeout_s: float
    def __init__(self, name: _Optional[str] = ..., timeout_s: _Optional[float] = ...) -> None: ...

class TakeMarkResponse(_message.Message):
    __slots__ = ("mark",)
    MARK_FIELD_NUMBER: _ClassVar[int]
    mark: ArchiveMark
    def __init__(self, mark: _Optional[_Union[ArchiveMark, _Mapping]] = ...) -> None: ...

class AgentStatus(_message.Message):
    __slots__ = ("name", "version", "peer_id", "qdrant_version", "phase", "snapshots_only", "streams_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    QDRANT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_ONLY_FIELD_NUMBER: _ClassVar[int]
    STREAMS_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    peer_id: int
    qdrant_version: str
    phase: str
    snapshots_only: str
    streams_only: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., peer_id: _Optional[int] = ..., qdrant_version: _Optional[str] = ..., phase: _Optional[str] = ..., snapshots_only: _Optional[str] = ..., streams_only: _Optional[str] = ...) -> None: ...

class OpenOperation(_message.Message):
    __slots__ = ("id", "kind", "epoch", "phase")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    epoch: int
    phase: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., epoch: _Optional[int] = ..., phase: _Optional[str] = ...) -> None: ...

class StoreStatus(_message.Message):
    __slots__ = ("url", "reachable", "backups")
    URL_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    BACKUPS_FIELD_NUMBER: _ClassVar[int]
    url: str
    reachable: bool
    backups: int
    def __init__(self, url: _Optional[str] = ..., reachable: _Optional[bool] = ..., backups: _Optional[int] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("cluster_id", "store_cluster_id", "equal")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    EQUAL_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    store_cluster_id: str
    equal: bool
    def __init__(self, cluster_id: _Optional[str] = ..., store_cluster_id: _Optional[str] = ..., equal: _Optional[bool] = ...) -> None: ...

class OpenFence(_message.Message):
    __slots__ = ("epoch", "aliases", "collections", "budget_s")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_S_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    aliases: _containers.RepeatedScalarFieldContainer[str]
    collections: _containers.RepeatedScalarFieldContainer[str]
    budget_s: float
    def __init__(self, epoch: _Optional[int] = ..., aliases: _Optional[_Iterable[str]] = ..., collections: _Optional[_Iterable[str]] = ..., budget_s: _Optional[float] = ...) -> None: ...

class OpenCheck(_message.Message):
    __slots__ = ("kind", "backup", "began_at", "asked_by")
    KIND_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    BEGAN_AT_FIELD_NUMBER: _ClassVar[int]
    ASKED_BY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    backup: str
    began_at: _timestamp_pb2.Timestamp
    asked_by: str
    def __init__(self, kind: _Optional[str] = ..., backup: _Optional[str] = ..., began_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., asked_by: _Optional[str] = ...) -> None: ...

class ClusterStatus(_message.Message):
    __slots__ = ("cluster", "leader", "coordinators", "agents", "open_operation", "store", "identity", "warnings", "open_fence", "open_check")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    COORDINATORS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    OPEN_OPERATION_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    OPEN_FENCE_FIELD_NUMBER: _ClassVar[int]
    OPEN_CHECK_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    leader: str
    coordinators: _containers.RepeatedCompositeFieldContainer[CoordinatorStatus]
    agents: _containers.RepeatedCompositeFieldContainer[AgentStatus]
    open_operation: OpenOperation
    store: StoreStatus
    identity: Identity
    warnings: _containers.RepeatedScalarFieldContainer[str]
    open_fence: OpenFence
    open_check: OpenCheck
    def __init__(self, cluster: _Optional[str] = ..., leader: _Optional[str] = ..., coordinators: _Optional[_Iterable[_Union[CoordinatorStatus, _Mapping]]] = ..., agents: _Optional[_Iterable[_Union[AgentStatus, _Mapping]]] = ..., open_operation: _Optional[_Union[OpenOperation, _Mapping]] = ..., store: _Optional[_Union[StoreStatus, _Mapping]] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., open_fence: _Optional[_Union[OpenFence, _Mapping]] = ..., open_check: _Optional[_Union[OpenCheck, _Mapping]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: ClusterStatus
    def __init__(self, status: _Optional[_Union[ClusterStatus, _Mapping]] = ...) -> None: ...

class AdoptRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class AdoptResponse(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class AgentSettings(_message.Message):
    __slots__ = ("upload_bytes_per_s", "uploads", "spill_bytes", "spill_floor_bytes", "read_bytes_per_s")
    UPLOAD_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    UPLOADS_FIELD_NUMBER: _ClassVar[int]
    SPILL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPILL_FLOOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    upload_bytes_per_s: int
    uploads: int
    spill_bytes: int
    spill_floor_bytes: int
    read_bytes_per_s: int
    def __init__(self, upload_bytes_per_s: _Optional[int] = ..., uploads: _Optional[int] = ..., spill_bytes: _Optional[int] = ..., spill_floor_bytes: _Optional[int] = ..., read_bytes_per_s: _Optional[int] = ...) -> None: ...

class GetAgentSettingsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAgentSettingsResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: AgentSettings
    def __init__(self, settings: _Optional[_Union[AgentSettings, _Mapping]] = ...) -> None: ...

class UpdateAgentSettingsRequest(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: AgentSettings
    def __init__(self, settings: _Optional[_Union[AgentSettings, _Mapping]] = ...) -> None: ...

class UpdateAgentSettingsResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: AgentSettings
    def __init__(self, settings: _Optional[_Union[AgentSettings, _Mapping]] = ...) -> None: ...

class Fix(_message.Message):
    __slots__ = ("command", "effect", "what")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    command: str
    effect: str
    what: str
    def __init__(self, command: _Optional[str] = ..., effect: _Optional[str] = ..., what: _Optional[str] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("kind", "severity", "what", "fixes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    FIXES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    severity: str
    what: str
    fixes: _containers.RepeatedCompositeFieldContainer[Fix]
    def __init__(self, kind: _Optional[str] = ..., severity: _Optional[str] = ..., what: _Optional[str] = ..., fixes: _Optional[_Iterable[_Union[Fix, _Mapping]]] = ...) -> None: ...

class DiagnoseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DiagnoseResponse(_message.Message):
    __slots__ = ("findings",)
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...

class PeerLoss(_message.Message):
    __slots__ = ("collection", "lost_shards", "thinner_shards")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    LOST_SHARDS_FIELD_NUMBER: _ClassVar[int]
    THINNER_SHARDS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    lost_shards: _containers.RepeatedScalarFieldContainer[int]
    thinner_shards: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, collection: _Optional[str] = ..., lost_shards: _Optional[_Iterable[int]] = ..., thinner_shards: _Optional[_Iterable[int]] = ...) -> None: ...

class ForgottenPeer(_message.Message):
    __slots__ = ("peer_id", "uri", "losses", "forgotten", "findings", "named")
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    peer_id: int
    uri: str
    losses: _containers.RepeatedCompositeFieldContainer[PeerLoss]
    forgotten: bool
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    named: str
    def __init__(self, peer_id: _Optional[int] = ..., uri: _Optional[str] = ..., losses: _Optional[_Iterable[_Union[PeerLoss, _Mapping]]] = ..., forgotten: _Optional[bool] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., named: _Optional[str] = ...) -> None: ...

class ForgetPeerRequest(_message.Message):
    __slots__ = ("peer_id", "force", "confirmed", "typed_peer_id")
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    TYPED_PEER_ID_FIELD_NUMBER: _ClassVar[int]
    peer_id: int
    force: bool
    confirmed: bool
    typed_peer_id: int
    def __init__(self, peer_id: _Optional[int] = ..., force: _Optional[bool] = ..., confirmed: _Optional[bool] = ..., typed_peer_id: _Optional[int] = ...) -> None: ...

class ForgetPeerResponse(_message.Message):
    __slots__ = ("peer",)
    PEER_FIELD_NUMBER: _ClassVar[int]
    peer: ForgottenPeer
    def __init__(self, peer: _Optional[_Union[ForgottenPeer, _Mapping]] = ...) -> None: ...

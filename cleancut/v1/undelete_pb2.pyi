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

class UndeleteState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNDELETE_STATE_UNSPECIFIED: _ClassVar[UndeleteState]
    UNDELETE_STATE_PENDING: _ClassVar[UndeleteState]
    UNDELETE_STATE_PREPARING: _ClassVar[UndeleteState]
    UNDELETE_STATE_APPLYING: _ClassVar[UndeleteState]
    UNDELETE_STATE_VERIFYING: _ClassVar[UndeleteState]
    UNDELETE_STATE_DONE: _ClassVar[UndeleteState]
    UNDELETE_STATE_ABORTED: _ClassVar[UndeleteState]
    UNDELETE_STATE_FAILED: _ClassVar[UndeleteState]
    UNDELETE_STATE_CANCELED: _ClassVar[UndeleteState]
    UNDELETE_STATE_NEEDS_OPERATOR: _ClassVar[UndeleteState]
UNDELETE_STATE_UNSPECIFIED: UndeleteState
UNDELETE_STATE_PENDING: UndeleteState
UNDELETE_STATE_PREPARING: UndeleteState
UNDELETE_STATE_APPLYING: UndeleteState
UNDELETE_STATE_VERIFYING: UndeleteState
UNDELETE_STATE_DONE: UndeleteState
UNDELETE_STATE_ABORTED: UndeleteState
UNDELETE_STATE_FAILED: UndeleteState
UNDELETE_STATE_CANCELED: UndeleteState
UNDELETE_STATE_NEEDS_OPERATOR: UndeleteState

class UndeleteShard(_message.Message):
    __slots__ = ("shard_id", "shard_key", "agent", "points", "size_bytes", "selected", "done")
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEY_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    shard_id: int
    shard_key: str
    agent: str
    points: int
    size_bytes: int
    selected: int
    done: bool
    def __init__(self, shard_id: _Optional[int] = ..., shard_key: _Optional[str] = ..., agent: _Optional[str] = ..., points: _Optional[int] = ..., size_bytes: _Optional[int] = ..., selected: _Optional[int] = ..., done: _Optional[bool] = ...) -> None: ...

class UndeletePlan(_message.Message):
    __slots__ = ("backup_id", "backup_epoch", "collection", "into", "shards", "notes", "blockers", "digest", "size_bytes")
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    BACKUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    BLOCKERS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    backup_epoch: int
    collection: str
    into: str
    shards: _containers.RepeatedCompositeFieldContainer[UndeleteShard]
    notes: _containers.RepeatedScalarFieldContainer[str]
    blockers: _containers.RepeatedScalarFieldContainer[str]
    digest: str
    size_bytes: int
    def __init__(self, backup_id: _Optional[str] = ..., backup_epoch: _Optional[int] = ..., collection: _Optional[str] = ..., into: _Optional[str] = ..., shards: _Optional[_Iterable[_Union[UndeleteShard, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., blockers: _Optional[_Iterable[str]] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Undelete(_message.Message):
    __slots__ = ("id", "state", "created_at", "ended_at", "backup_epoch", "collection", "into", "overwrite", "count_only", "selected", "present", "missing", "differing", "restored", "absent", "shards", "error", "progress", "warnings", "attempt_history")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    BACKUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    COUNT_ONLY_FIELD_NUMBER: _ClassVar[int]
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    DIFFERING_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_HISTORY_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: UndeleteState
    created_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    backup_epoch: int
    collection: str
    into: str
    overwrite: bool
    count_only: bool
    selected: int
    present: int
    missing: int
    differing: int
    restored: int
    absent: int
    shards: _containers.RepeatedCompositeFieldContainer[UndeleteShard]
    error: _common_pb2.OperationError
    progress: _containers.RepeatedCompositeFieldContainer[_common_pb2.AgentProgress]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    attempt_history: _containers.RepeatedCompositeFieldContainer[_common_pb2.Attempt]
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[UndeleteState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., backup_epoch: _Optional[int] = ..., collection: _Optional[str] = ..., into: _Optional[str] = ..., overwrite: _Optional[bool] = ..., count_only: _Optional[bool] = ..., selected: _Optional[int] = ..., present: _Optional[int] = ..., missing: _Optional[int] = ..., differing: _Optional[int] = ..., restored: _Optional[int] = ..., absent: _Optional[int] = ..., shards: _Optional[_Iterable[_Union[UndeleteShard, _Mapping]]] = ..., error: _Optional[_Union[_common_pb2.OperationError, _Mapping]] = ..., progress: _Optional[_Iterable[_Union[_common_pb2.AgentProgress, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., attempt_history: _Optional[_Iterable[_Union[_common_pb2.Attempt, _Mapping]]] = ...) -> None: ...

class UndeleteOptions(_message.Message):
    __slots__ = ("backup_id", "collection", "ids", "filter", "shard_keys", "into", "overwrite", "points_per_s", "count_only")
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEYS_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    POINTS_PER_S_FIELD_NUMBER: _ClassVar[int]
    COUNT_ONLY_FIELD_NUMBER: _ClassVar[int]
    backup_id: str
    collection: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    shard_keys: _containers.RepeatedScalarFieldContainer[str]
    into: str
    overwrite: bool
    points_per_s: int
    count_only: bool
    def __init__(self, backup_id: _Optional[str] = ..., collection: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., shard_keys: _Optional[_Iterable[str]] = ..., into: _Optional[str] = ..., overwrite: _Optional[bool] = ..., points_per_s: _Optional[int] = ..., count_only: _Optional[bool] = ...) -> None: ...

class PlanUndeleteRequest(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: UndeleteOptions
    def __init__(self, options: _Optional[_Union[UndeleteOptions, _Mapping]] = ...) -> None: ...

class PlanUndeleteResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: UndeletePlan
    def __init__(self, plan: _Optional[_Union[UndeletePlan, _Mapping]] = ...) -> None: ...

class StartUndeleteRequest(_message.Message):
    __slots__ = ("request_id", "options", "confirmed", "plan_digest")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    options: UndeleteOptions
    confirmed: bool
    plan_digest: str
    def __init__(self, request_id: _Optional[str] = ..., options: _Optional[_Union[UndeleteOptions, _Mapping]] = ..., confirmed: _Optional[bool] = ..., plan_digest: _Optional[str] = ...) -> None: ...

class StartUndeleteResponse(_message.Message):
    __slots__ = ("undelete",)
    UNDELETE_FIELD_NUMBER: _ClassVar[int]
    undelete: Undelete
    def __init__(self, undelete: _Optional[_Union[Undelete, _Mapping]] = ...) -> None: ...

class GetUndeleteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetUndeleteResponse(_message.Message):
    __slots__ = ("undelete",)
    UNDELETE_FIELD_NUMBER: _ClassVar[int]
    undelete: Undelete
    def __init__(self, undelete: _Optional[_Union[Undelete, _Mapping]] = ...) -> None: ...

class ListUndeletesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUndeletesResponse(_message.Message):
    __slots__ = ("undeletes", "next_page_token")
    UNDELETES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    undeletes: _containers.RepeatedCompositeFieldContainer[Undelete]
    next_page_token: str
    def __init__(self, undeletes: _Optional[_Iterable[_Union[Undelete, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchUndeleteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchUndeleteResponse(_message.Message):
    __slots__ = ("undelete",)
    UNDELETE_FIELD_NUMBER: _ClassVar[int]
    undelete: Undelete
    def __init__(self, undelete: _Optional[_Union[Undelete, _Mapping]] = ...) -> None: ...

class CancelUndeleteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelUndeleteResponse(_message.Message):
    __slots__ = ("undelete",)
    UNDELETE_FIELD_NUMBER: _ClassVar[int]
    undelete: Undelete
    def __init__(self, undelete: _Optional[_Union[Undelete, _Mapping]] = ...) -> None: ...

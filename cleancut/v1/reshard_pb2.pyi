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

class ReshardState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESHARD_STATE_UNSPECIFIED: _ClassVar[ReshardState]
    RESHARD_STATE_PENDING: _ClassVar[ReshardState]
    RESHARD_STATE_PREPARING: _ClassVar[ReshardState]
    RESHARD_STATE_MOVING: _ClassVar[ReshardState]
    RESHARD_STATE_VERIFYING: _ClassVar[ReshardState]
    RESHARD_STATE_COMMITTING: _ClassVar[ReshardState]
    RESHARD_STATE_CLEANING: _ClassVar[ReshardState]
    RESHARD_STATE_DONE: _ClassVar[ReshardState]
    RESHARD_STATE_ROLLING_BACK: _ClassVar[ReshardState]
    RESHARD_STATE_ABORTED: _ClassVar[ReshardState]
    RESHARD_STATE_FAILED: _ClassVar[ReshardState]
    RESHARD_STATE_CANCELED: _ClassVar[ReshardState]
    RESHARD_STATE_NEEDS_OPERATOR: _ClassVar[ReshardState]
RESHARD_STATE_UNSPECIFIED: ReshardState
RESHARD_STATE_PENDING: ReshardState
RESHARD_STATE_PREPARING: ReshardState
RESHARD_STATE_MOVING: ReshardState
RESHARD_STATE_VERIFYING: ReshardState
RESHARD_STATE_COMMITTING: ReshardState
RESHARD_STATE_CLEANING: ReshardState
RESHARD_STATE_DONE: ReshardState
RESHARD_STATE_ROLLING_BACK: ReshardState
RESHARD_STATE_ABORTED: ReshardState
RESHARD_STATE_FAILED: ReshardState
RESHARD_STATE_CANCELED: ReshardState
RESHARD_STATE_NEEDS_OPERATOR: ReshardState

class ReshardStep(_message.Message):
    __slots__ = ("shards", "shard_id", "peer_ids", "size_bytes", "done", "points", "seconds", "agents")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_IDS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    shards: int
    shard_id: int
    peer_ids: _containers.RepeatedScalarFieldContainer[int]
    size_bytes: int
    done: bool
    points: int
    seconds: float
    agents: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, shards: _Optional[int] = ..., shard_id: _Optional[int] = ..., peer_ids: _Optional[_Iterable[int]] = ..., size_bytes: _Optional[int] = ..., done: _Optional[bool] = ..., points: _Optional[int] = ..., seconds: _Optional[float] = ..., agents: _Optional[_Iterable[str]] = ...) -> None: ...

class ReshardPlan(_message.Message):
    __slots__ = ("collection", "shard_key", "shards", "wanted", "steps", "notes", "blockers", "digest", "size_bytes")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEY_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    BLOCKERS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    collection: str
    shard_key: str
    shards: int
    wanted: int
    steps: _containers.RepeatedCompositeFieldContainer[ReshardStep]
    notes: _containers.RepeatedScalarFieldContainer[str]
    blockers: _containers.RepeatedScalarFieldContainer[str]
    digest: str
    size_bytes: int
    def __init__(self, collection: _Optional[str] = ..., shard_key: _Optional[str] = ..., shards: _Optional[int] = ..., wanted: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[ReshardStep, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., blockers: _Optional[_Iterable[str]] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Reshard(_message.Message):
    __slots__ = ("id", "state", "created_at", "ended_at", "collection", "shard_key", "shards", "wanted", "steps", "error", "progress", "warnings", "after", "attempt_history")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEY_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_HISTORY_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: ReshardState
    created_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    collection: str
    shard_key: str
    shards: int
    wanted: int
    steps: _containers.RepeatedCompositeFieldContainer[ReshardStep]
    error: _common_pb2.OperationError
    progress: _containers.RepeatedCompositeFieldContainer[_common_pb2.AgentProgress]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    after: str
    attempt_history: _containers.RepeatedCompositeFieldContainer[_common_pb2.Attempt]
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[ReshardState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., collection: _Optional[str] = ..., shard_key: _Optional[str] = ..., shards: _Optional[int] = ..., wanted: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[ReshardStep, _Mapping]]] = ..., error: _Optional[_Union[_common_pb2.OperationError, _Mapping]] = ..., progress: _Optional[_Iterable[_Union[_common_pb2.AgentProgress, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., after: _Optional[str] = ..., attempt_history: _Optional[_Iterable[_Union[_common_pb2.Attempt, _Mapping]]] = ...) -> None: ...

class ReshardOptions(_message.Message):
    __slots__ = ("collection", "shards", "shard_key")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEY_FIELD_NUMBER: _ClassVar[int]
    collection: str
    shards: int
    shard_key: str
    def __init__(self, collection: _Optional[str] = ..., shards: _Optional[int] = ..., shard_key: _Optional[str] = ...) -> None: ...

class PlanReshardRequest(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: ReshardOptions
    def __init__(self, options: _Optional[_Union[ReshardOptions, _Mapping]] = ...) -> None: ...

class PlanReshardResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: ReshardPlan
    def __init__(self, plan: _Optional[_Union[ReshardPlan, _Mapping]] = ...) -> None: ...

class StartReshardRequest(_message.Message):
    __slots__ = ("request_id", "options", "confirmed", "plan_digest")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    options: ReshardOptions
    confirmed: bool
    plan_digest: str
    def __init__(self, request_id: _Optional[str] = ..., options: _Optional[_Union[ReshardOptions, _Mapping]] = ..., confirmed: _Optional[bool] = ..., plan_digest: _Optional[str] = ...) -> None: ...

class StartReshardResponse(_message.Message):
    __slots__ = ("reshard",)
    RESHARD_FIELD_NUMBER: _ClassVar[int]
    reshard: Reshard
    def __init__(self, reshard: _Optional[_Union[Reshard, _Mapping]] = ...) -> None: ...

class GetReshardRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetReshardResponse(_message.Message):
    __slots__ = ("reshard",)
    RESHARD_FIELD_NUMBER: _ClassVar[int]
    reshard: Reshard
    def __init__(self, reshard: _Optional[_Union[Reshard, _Mapping]] = ...) -> None: ...

class ListReshardsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReshardsResponse(_message.Message):
    __slots__ = ("reshards", "next_page_token")
    RESHARDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reshards: _containers.RepeatedCompositeFieldContainer[Reshard]
    next_page_token: str
    def __init__(self, reshards: _Optional[_Iterable[_Union[Reshard, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchReshardRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchReshardResponse(_message.Message):
    __slots__ = ("reshard",)
    RESHARD_FIELD_NUMBER: _ClassVar[int]
    reshard: Reshard
    def __init__(self, reshard: _Optional[_Union[Reshard, _Mapping]] = ...) -> None: ...

class CancelReshardRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelReshardResponse(_message.Message):
    __slots__ = ("reshard",)
    RESHARD_FIELD_NUMBER: _ClassVar[int]
    reshard: Reshard
    def __init__(self, reshard: _Optional[_Union[Reshard, _Mapping]] = ...) -> None: ...

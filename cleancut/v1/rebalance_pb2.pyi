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

class RebalanceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REBALANCE_STATE_UNSPECIFIED: _ClassVar[RebalanceState]
    REBALANCE_STATE_PENDING: _ClassVar[RebalanceState]
    REBALANCE_STATE_PREPARING: _ClassVar[RebalanceState]
    REBALANCE_STATE_MOVING: _ClassVar[RebalanceState]
    REBALANCE_STATE_VERIFYING: _ClassVar[RebalanceState]
    REBALANCE_STATE_DONE: _ClassVar[RebalanceState]
    REBALANCE_STATE_ROLLING_BACK: _ClassVar[RebalanceState]
    REBALANCE_STATE_ABORTED: _ClassVar[RebalanceState]
    REBALANCE_STATE_NEEDS_OPERATOR: _ClassVar[RebalanceState]
REBALANCE_STATE_UNSPECIFIED: RebalanceState
REBALANCE_STATE_PENDING: RebalanceState
REBALANCE_STATE_PREPARING: RebalanceState
REBALANCE_STATE_MOVING: RebalanceState
REBALANCE_STATE_VERIFYING: RebalanceState
REBALANCE_STATE_DONE: RebalanceState
REBALANCE_STATE_ROLLING_BACK: RebalanceState
REBALANCE_STATE_ABORTED: RebalanceState
REBALANCE_STATE_NEEDS_OPERATOR: RebalanceState

class BalanceStep(_message.Message):
    __slots__ = ("action", "collection", "shard_id", "source_peer_id", "target_peer_id", "size_bytes", "wave", "count", "source_agent", "target_agent", "done")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PEER_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_PEER_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAVE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_AGENT_FIELD_NUMBER: _ClassVar[int]
    TARGET_AGENT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    action: str
    collection: str
    shard_id: int
    source_peer_id: int
    target_peer_id: int
    size_bytes: int
    wave: int
    count: int
    source_agent: str
    target_agent: str
    done: bool
    def __init__(self, action: _Optional[str] = ..., collection: _Optional[str] = ..., shard_id: _Optional[int] = ..., source_peer_id: _Optional[int] = ..., target_peer_id: _Optional[int] = ..., size_bytes: _Optional[int] = ..., wave: _Optional[int] = ..., count: _Optional[int] = ..., source_agent: _Optional[str] = ..., target_agent: _Optional[str] = ..., done: _Optional[bool] = ...) -> None: ...

class BalancedPeer(_message.Message):
    __slots__ = ("peer_id", "shards_before", "shards_after", "bytes_before", "bytes_after", "agent")
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    SHARDS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    SHARDS_AFTER_FIELD_NUMBER: _ClassVar[int]
    BYTES_BEFORE_FIELD_NUMBER: _ClassVar[int]
    BYTES_AFTER_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    peer_id: int
    shards_before: int
    shards_after: int
    bytes_before: int
    bytes_after: int
    agent: str
    def __init__(self, peer_id: _Optional[int] = ..., shards_before: _Optional[int] = ..., shards_after: _Optional[int] = ..., bytes_before: _Optional[int] = ..., bytes_after: _Optional[int] = ..., agent: _Optional[str] = ...) -> None: ...

class RebalancePlan(_message.Message):
    __slots__ = ("steps", "peers", "notes", "blockers", "digest", "size_bytes")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    BLOCKERS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[BalanceStep]
    peers: _containers.RepeatedCompositeFieldContainer[BalancedPeer]
    notes: _containers.RepeatedScalarFieldContainer[str]
    blockers: _containers.RepeatedScalarFieldContainer[str]
    digest: str
    size_bytes: int
    def __init__(self, steps: _Optional[_Iterable[_Union[BalanceStep, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[BalancedPeer, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., blockers: _Optional[_Iterable[str]] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Rebalance(_message.Message):
    __slots__ = ("id", "state", "created_at", "ended_at", "after", "steps", "peers", "error", "progress", "warnings", "attempt_history")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_HISTORY_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: RebalanceState
    created_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    after: str
    steps: _containers.RepeatedCompositeFieldContainer[BalanceStep]
    peers: _containers.RepeatedCompositeFieldContainer[BalancedPeer]
    error: _common_pb2.OperationError
    progress: _containers.RepeatedCompositeFieldContainer[_common_pb2.AgentProgress]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    attempt_history: _containers.RepeatedCompositeFieldContainer[_common_pb2.Attempt]
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[RebalanceState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[BalanceStep, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[BalancedPeer, _Mapping]]] = ..., error: _Optional[_Union[_common_pb2.OperationError, _Mapping]] = ..., progress: _Optional[_Iterable[_Union[_common_pb2.AgentProgress, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., attempt_history: _Optional[_Iterable[_Union[_common_pb2.Attempt, _Mapping]]] = ...) -> None: ...

class RebalanceOptions(_message.Message):
    __slots__ = ("max_moves", "bandwidth_aware", "drop_surplus")
    MAX_MOVES_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_AWARE_FIELD_NUMBER: _ClassVar[int]
    DROP_SURPLUS_FIELD_NUMBER: _ClassVar[int]
    max_moves: int
    bandwidth_aware: bool
    drop_surplus: bool
    def __init__(self, max_moves: _Optional[int] = ..., bandwidth_aware: _Optional[bool] = ..., drop_surplus: _Optional[bool] = ...) -> None: ...

class PlanRebalanceRequest(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: RebalanceOptions
    def __init__(self, options: _Optional[_Union[RebalanceOptions, _Mapping]] = ...) -> None: ...

class PlanRebalanceResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: RebalancePlan
    def __init__(self, plan: _Optional[_Union[RebalancePlan, _Mapping]] = ...) -> None: ...

class StartRebalanceRequest(_message.Message):
    __slots__ = ("request_id", "options", "confirmed", "plan_digest")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    options: RebalanceOptions
    confirmed: bool
    plan_digest: str
    def __init__(self, request_id: _Optional[str] = ..., options: _Optional[_Union[RebalanceOptions, _Mapping]] = ..., confirmed: _Optional[bool] = ..., plan_digest: _Optional[str] = ...) -> None: ...

class StartRebalanceResponse(_message.Message):
    __slots__ = ("rebalance",)
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    rebalance: Rebalance
    def __init__(self, rebalance: _Optional[_Union[Rebalance, _Mapping]] = ...) -> None: ...

class GetRebalanceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetRebalanceResponse(_message.Message):
    __slots__ = ("rebalance",)
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    rebalance: Rebalance
    def __init__(self, rebalance: _Optional[_Union[Rebalance, _Mapping]] = ...) -> None: ...

class ListRebalancesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRebalancesResponse(_message.Message):
    __slots__ = ("rebalances", "next_page_token")
    REBALANCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rebalances: _containers.RepeatedCompositeFieldContainer[Rebalance]
    next_page_token: str
    def __init__(self, rebalances: _Optional[_Iterable[_Union[Rebalance, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchRebalanceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchRebalanceResponse(_message.Message):
    __slots__ = ("rebalance",)
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    rebalance: Rebalance
    def __init__(self, rebalance: _Optional[_Union[Rebalance, _Mapping]] = ...) -> None: ...

class CancelRebalanceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelRebalanceResponse(_message.Message):
    __slots__ = ("rebalance",)
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    rebalance: Rebalance
    def __init__(self, rebalance: _Optional[_Union[Rebalance, _Mapping]] = ...) -> None: ...

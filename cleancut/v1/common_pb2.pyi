import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OperationError(_message.Message):
    __slots__ = ("reason", "message", "hint")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    hint: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class AgentProgress(_message.Message):
    __slots__ = ("agent", "phase", "bytes_done", "bytes_total", "bytes_per_s", "bytes_stored", "bytes_to_store")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BYTES_DONE_FIELD_NUMBER: _ClassVar[int]
    BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_STORED_FIELD_NUMBER: _ClassVar[int]
    BYTES_TO_STORE_FIELD_NUMBER: _ClassVar[int]
    agent: str
    phase: str
    bytes_done: int
    bytes_total: int
    bytes_per_s: float
    bytes_stored: int
    bytes_to_store: int
    def __init__(self, agent: _Optional[str] = ..., phase: _Optional[str] = ..., bytes_done: _Optional[int] = ..., bytes_total: _Optional[int] = ..., bytes_per_s: _Optional[float] = ..., bytes_stored: _Optional[int] = ..., bytes_to_store: _Optional[int] = ...) -> None: ...

class PhaseTime(_message.Message):
    __slots__ = ("phase", "start_ms", "duration_ms")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    phase: str
    start_ms: int
    duration_ms: int
    def __init__(self, phase: _Optional[str] = ..., start_ms: _Optional[int] = ..., duration_ms: _Optional[int] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("epoch", "began_at", "duration_ms", "phases", "error")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BEGAN_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    began_at: _timestamp_pb2.Timestamp
    duration_ms: int
    phases: _containers.RepeatedCompositeFieldContainer[PhaseTime]
    error: OperationError
    def __init__(self, epoch: _Optional[int] = ..., began_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_ms: _Optional[int] = ..., phases: _Optional[_Iterable[_Union[PhaseTime, _Mapping]]] = ..., error: _Optional[_Union[OperationError, _Mapping]] = ...) -> None: ...

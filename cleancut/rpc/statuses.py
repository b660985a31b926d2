"""The gRPC border, both directions: kinds of `cleancut.core.primitives.errors` to statuses and
back.

A failure travels as google.rpc.Status with one ErrorInfo (domain `cleancut`): `reason` is the
kind's, `metadata` holds the hint and the error's context. Nothing below this file sees a status
code, nothing above it a google.rpc message. Servers are built in `server`.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from cleancut.core.primitives.errors import (
    KINDS,
    CleancutError,
    Invalid,
    Refused,
    Unavailable,
    from_reason,
)

DOMAIN = "cleancut"
LEADER_ADDRESS = "leader_address"
"""Metadata of a refusal by a standby: where the leader's API answers."""
UNARY_LIMIT_S = 60.0
"""Bound of a unary call whose caller has set no deadline."""
RETRY_AFTER_S = 2
_MAX_TEXT = 1500  # trailers are limited to 8 KiB together
_OTHER_CODES: dict[str, type[CleancutError]] = {
    "RESOURCE_EXHAUSTED": Unavailable,
    "CANCELLED": Unavailable,
    "UNIMPLEMENTED": Refused,
}


def not_leader(leader_address: str, trouble: str = "") -> Unavailable:
    """What a standby answers to a write; an empty address means that there is no leader.
    `trouble`: why this coordinator cannot lead."""
    if not leader_address:
        if trouble:
            return Unavailable(
                f"no coordinator leads this cluster now: {trouble}",
                "correct that at the coordinators, which try again all the time",
            )
        return Unavailable(
            "no coordinator leads this cluster now",
            "one takes over within seconds if it can reach etcd: repeat, else look at its log",
        )
    return Unavailable(
        f"this coordinator is a standby, the leader answers at {leader_address}",
        "ask the leader, or give all coordinators' addresses",
        leader_address=leader_address,
    )


def to_status(error: CleancutError) -> status_pb2.Status:
    """The status that carries `error` to a client. Limits: texts are cut at 1500 characters."""
    metadata = {key: str(value)[:_MAX_TEXT] for key, value in error.context.items()}
    if error.hint:
        metadata["hint"] = error.hint[:_MAX_TEXT]
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    details = [_packed(info)]
    if error.retryable:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = RETRY_AFTER_S
        details.append(_packed(retry))
    return status_pb2.Status(
        code=code_pb2.Code.Value(error.grpc_status),
        message=error.message[:_MAX_TEXT],
        details=details,
    )


def from_call_error(error: grpc.aio.AioRpcError, address: str) -> CleancutError:
    """The error that the server at `address` meant; its kind by the reason, else by the code."""
    code, info = error.code().name, _error_info(error)
    kind = _kind_of(code) if info is None else from_reason(info.reason)
    if kind is CleancutError:  # a reason of a newer version: its code still says what to do
        kind = _kind_of(code)
    message = error.details() or code
    if info is None:
        if code == "RESOURCE_EXHAUSTED" and "larger than max" in message:
            return Invalid(f"coordinator at {address}: {message}", "ask for less in one call")
        if "Trying to connect an http1" in message:
            message = "what answers there speaks HTTP/1, such as Qdrant or a port of metrics"
        return kind(f"coordinator at {address}: {message}", _hint_for(code), status=code)
    context = {key: value for key, value in info.metadata.items() if key != "hint"}
    return kind(message, info.metadata.get("hint", ""), **context)


def _kind_of(code: str) -> type[CleancutError]:
    kinds = {kind.grpc_status: kind for kind in reversed(KINDS)} | _OTHER_CODES
    return kinds.get(code, CleancutError)


def _hint_for(code: str) -> str:
    if code == "UNIMPLEMENTED":
        return (
            "either another program answers at this address, such as etcd, or the coordinator is"
            " older than this client: check --coordinator, or use its version"
        )
    if code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
        return "check --coordinator, that it runs, and that both sides use TLS or both do not"
    return ""


def _packed(detail: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # trailers that contradict the status: a proxy's doing
        return None
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None

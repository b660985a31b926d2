"""Kinds of errors cross the gRPC border unchanged, and strangers' statuses find a kind."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.primitives.errors import (
    KINDS,
    CleancutError,
    Denied,
    Fenced,
    Refused,
    Unauthenticated,
    Unavailable,
)
from cleancut.rpc.statuses import LEADER_ADDRESS, from_call_error, not_leader, to_status


def _call_error(
    code: grpc.StatusCode, details: str, trailers: tuple[tuple[str, bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, empty, grpc.aio.Metadata(*trailers), details)


def _over_the_wire(error: CleancutError) -> CleancutError:
    status = rpc_status.to_status(to_status(error))
    trailers = tuple(status.trailing_metadata)
    return from_call_error(_call_error(status.code, status.details, trailers), "h:1")


@pytest.mark.parametrize("kind", [*KINDS, CleancutError])
def test_every_kind_comes_back_as_itself(kind: type[CleancutError]) -> None:
    back = _over_the_wire(kind("what", "do this", epoch=7, peer="a"))
    assert type(back) is kind
    assert (back.message, back.hint) == ("what", "do this")
    assert back.context == {"epoch": "7", "peer": "a"}


@pytest.mark.parametrize("kind", [*KINDS, CleancutError])
def test_every_kind_names_a_status_that_grpc_knows(kind: type[CleancutError]) -> None:
    assert kind.grpc_status in grpc.StatusCode.__members__
    assert kind.grpc_status != "OK"


@given(st.text(max_size=400), st.text(max_size=400))
def test_texts_of_any_kind_survive(message: str, hint: str) -> None:
    back = _over_the_wire(Refused(message or "x", hint))
    assert (back.message, back.hint) == (message or "x", hint)


def test_long_texts_fit_into_trailers() -> None:
    """grpc refuses more than 8 KiB of metadata, and the client would see no error of ours."""
    status = to_status(Refused("m" * 50_000, "h" * 50_000, detail="d" * 50_000))
    assert status.ByteSize() < 6000


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, Denied),
        (grpc.StatusCode.ABORTED, Fenced),
        (grpc.StatusCode.UNIMPLEMENTED, Refused),
        (grpc.StatusCode.UNKNOWN, CleancutError),
    ],
)
def test_a_status_without_our_details_gets_a_kind_by_its_code(
    code: grpc.StatusCode, kind: type[CleancutError]
) -> None:
    error = from_call_error(_call_error(code, "proxy says no"), "h:1")
    assert type(error) is kind
    assert "h:1" in error.message
    assert "proxy says no" in error.message


def test_a_reason_of_a_newer_version_falls_back_to_its_code() -> None:
    class Newer(Refused):
        reason = "SOMETHING_NEW"

    assert type(_over_the_wire(Newer("what"))) is Refused


def test_details_that_contradict_the_status_are_not_believed() -> None:
    status = rpc_status.to_status(to_status(Refused("what")))
    forged = _call_error(grpc.StatusCode.UNAVAILABLE, "other", tuple(status.trailing_metadata))
    assert type(from_call_error(forged, "h:1")) is Unavailable


def test_a_standby_names_the_leader_only_if_there_is_one() -> None:
    assert not_leader("h:7").context[LEADER_ADDRESS] == "h:7"
    assert LEADER_ADDRESS not in not_leader("").context


def test_another_server_at_the_address_is_named_as_such() -> None:
    """Qdrant's REST port, or a port of metrics, instead of a coordinator's."""
    text = "Failed parsing HTTP/2 (Trying to connect an http1.x server (HTTP status 400))"
    error = from_call_error(_call_error(grpc.StatusCode.UNAVAILABLE, text), "h:6333")
    assert "speaks HTTP/1, such as Qdrant" in error.message
    error = from_call_error(_call_error(grpc.StatusCode.UNIMPLEMENTED, "unknown service"), "h:2379")
    assert "such as etcd" in error.hint

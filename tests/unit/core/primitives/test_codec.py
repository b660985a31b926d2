"""Records: one canonical encoding, read by neighbouring versions, broken bytes told as such."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.primitives.codec import Record, decode, digest_of, encode
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import (
    AgentName,
    Epoch,
    FencingToken,
    OperationId,
    PeerId,
    ShardId,
)
from cleancut.core.protocol.etcd_records import (
    Bounds,
    Ctl,
    EpochMember,
    Failure,
    Group,
    Leader,
    Operation,
    Parent,
    ProgressRecord,
    Reading,
    Session,
    ShardTask,
    Vote,
)
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, Phase, State

names = st.text("abc", min_size=1, max_size=3)
readings = st.builds(
    Reading, number=st.none() | st.integers(0, 9), incarnation=names, arrivals=st.integers(-1, 9)
)
tasks = st.builds(
    ShardTask,
    collection=st.text(max_size=5),
    shard_id=st.integers(0, 9).map(ShardId),
    peer_id=st.integers(0, 2**63).map(PeerId),
    recipe=names,
    parent=st.none() | st.builds(Parent, second=readings, uuid=names),
)
failures = st.builds(Failure, reason=names, message=st.text(max_size=9))
votes = st.builds(
    Vote,
    session=st.integers(1, 9).map(FencingToken),
    yes=st.booleans(),
    failure=st.none() | failures,
    numbers=st.lists(st.none() | st.integers(0, 2**62), max_size=3).map(tuple),
    view=names,
)
ctls = st.builds(
    Ctl,
    kind=st.sampled_from(OperationKind),
    phase=st.sampled_from(Phase),
    epoch=st.integers(0, 10**12).map(Epoch),
    operation=names.map(OperationId),
    bounds=st.builds(Bounds, prepare_s=st.sampled_from([0.5, 1.0, 7.25])),
    undrained=st.lists(st.integers(0, 300), max_size=4).map(tuple),
    failure=st.none() | failures,
)
members = st.builds(
    EpochMember,
    session=st.integers(1, 9).map(FencingToken),
    tasks=st.lists(tasks, max_size=3).map(tuple),
)
anything = st.one_of(votes, ctls, members)


@given(anything)
def test_read_back_as_written(record: Record) -> None:
    """What is read is what was written; and it is written in one way only."""
    data = encode(record)
    assert decode(type(record), data, "here") == record
    assert encode(decode(type(record), data, "here")) == data
    assert digest_of(record) == digest_of(decode(type(record), data, "here"))


@given(anything)
def test_the_encoding_is_canonical(record: Record) -> None:
    """Keys sorted, no spaces: the bytes that another JSON writer makes of it in that form, so a
    field may move within its class and no digest changes."""
    data = encode(record)
    options = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    assert json.dumps(json.loads(data), **options).encode() == data  # type: ignore[arg-type]


def test_order_of_a_dict_does_not_matter() -> None:
    """Equal values have equal digests, however they were put together."""
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


@given(anything)
def test_a_newer_version_is_understood(record: Record) -> None:
    """Fields that this version does not know are ignored; those that are missing are defaults."""
    newer = json.loads(encode(record)) | {"added_later": {"x": [1]}}
    assert decode(type(record), json.dumps(newer).encode(), "here") == record


def test_defaults_are_left_out() -> None:
    """What says nothing takes no room: ctl has to stay small."""
    assert encode(Ctl()) == b"{}"
    assert encode(Leader(name="c", address="")) == b'{"address":"","name":"c"}'


def check_broken(kind: type[Record], data: bytes) -> None:
    """`data` is told as Corrupt, with where it lies and what it should be."""
    with pytest.raises(Corrupt) as raised:
        decode(kind, data, "/cleancut/prod/ctl")
    assert "/cleancut/prod/ctl" in raised.value.message
    assert kind.__name__ in raised.value.message


@pytest.mark.parametrize(
    "kind", [Ctl, Vote, EpochMember, Operation, Group, Session, ProgressRecord]
)
@pytest.mark.parametrize("data", [b"", b"[]", b"nil", b'{"phase":1,"session":"x","id":1}', b"\xff"])
def test_broken_bytes_are_corrupt(kind: type[Record], data: bytes) -> None:
    check_broken(kind, data)


def test_unknown_phases_are_corrupt() -> None:
    """A phase that this version does not know must not be taken for another one."""
    check_broken(Ctl, b'{"phase":"DANCE"}')


def test_ctl_is_small_at_its_largest() -> None:
    """A ctl that names 300 undrained collections and carries a long failure stays below 4 KiB."""
    failure = Failure(reason="UNAVAILABLE", message="m" * 500, hint="h" * 300)
    ctl = Ctl(
        epoch=Epoch(10**11),
        operation=OperationId("o" * 40),
        phase=Phase.UPLOAD,
        bounds=Bounds(upload_s=1.5, prepare_s=1.25),
        probe="p" * 32,
        assigned="a" * 64,
        views="v" * 64,
        draft="d" * 64,
        manifest="m" * 64,
        undrained=tuple(range(300)),
        cut_at="2026-01-01T00:00:00.000Z",
        skew_ms=123456,
        failure=failure,
        nonce="n" * 16,
    )
    assert len(encode(ctl)) < 4096


def test_a_vote_for_the_most_shards_is_small() -> None:
    """An agent with 200 shards votes in less than 8 KiB, with the largest numbers."""
    vote = Vote(
        session=FencingToken(2**62),
        yes=True,
        numbers=(2**64 - 1,) * 200,
        incarnation="2026-01-01T00:00:00.000000000Z",
        view="v" * 64,
        document="d" * 64,
        ready="r" * 64,
    )
    assert len(encode(vote)) < 8192


def test_final_states_are_the_ends() -> None:
    """What users see as an end: nothing that is still under way is one."""
    under_way = {
        *(State.PENDING, State.PREPARING, State.FENCING, State.CUTTING, State.SEALING),
        *(State.UPLOADING, State.COMMITTING, State.PLANNED, State.CREATING, State.RECOVERING),
        *(State.VERIFYING, State.PUBLISHING, State.ROLLING_BACK, State.MOVING),
        *(State.CLEANING, State.APPLYING, State.RESHARDING),
    }
    assert set(State) - under_way == FINAL_STATES


def test_records_do_not_change() -> None:
    """A record that was handed on stays what it was."""
    session = Session(name=AgentName("a1"), version="1")
    with pytest.raises(AttributeError):
        session.version = "2"  # type: ignore[misc]
    assert replace(session, version="2") != session


@pytest.mark.parametrize("data", [b'{"request":' + b"[" * 100_000, b'{"x":' * 100_000])
def test_a_value_without_an_end_of_nesting_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt, match="is not a valid"):
        decode(Operation, data, "op/1")

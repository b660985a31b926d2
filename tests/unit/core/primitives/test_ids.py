"""Names, keys, paths and errors: what enters is checked, what leaves is told apart."""

from __future__ import annotations

import itertools

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cleancut.core.primitives.errors as errors
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import KINDS, CleancutError, Invalid, from_reason
from cleancut.core.primitives.ids import (
    MAX_COLLECTION_NAME,
    AgentName,
    ClusterName,
    Epoch,
    check_collection_name,
    decode_segment,
    encode_segment,
    format_epoch,
    parse_agent,
    parse_cluster,
    parse_digest,
)
from cleancut.core.protocol.etcd_keys import Keys

EXITS = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130}
"""What the command line's exit codes mean is written in its reference."""


def check_refused(text: str) -> None:
    """`text` is no name, neither of a cluster nor of an agent."""
    for parse in (parse_cluster, parse_agent):
        with pytest.raises(Invalid) as raised:
            parse(text)
        assert raised.value.hint


@pytest.mark.parametrize("text", ["a", "prod", "qdrant-0", "a.b-c", "0", "x" * 63])
def test_names_that_are_good(text: str) -> None:
    assert parse_cluster(text) == text
    assert parse_agent(text) == text


@pytest.mark.parametrize(
    "text", ["", "A", "a/b", ".a", "a.", "-a", "a-", "a..b", "ä", "a b", "x" * 64, "a\n", "../a"]
)
def test_names_that_are_not(text: str) -> None:
    """Nothing that leaves its key or path, or is read as another one, is a name."""
    check_refused(text)


@given(st.text(max_size=8))
def test_a_name_is_one_segment(text: str) -> None:
    """Whatever passes stands in a key or path as itself."""
    try:
        parse_agent(text)
    except Invalid:
        return
    assert "/" not in text
    assert text not in {".", ".."}
    assert text == text.strip()


@given(st.text(min_size=1, max_size=30))
def test_segments_come_back(name: str) -> None:
    """Any collection name is one segment, unlike every other, and comes back as it was."""
    segment = encode_segment(name)
    assert "/" not in segment
    assert "." not in segment
    assert segment.isascii()
    assert decode_segment(segment) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "a\x7f", "a:b", "a\\b", "a" * 201])
def test_collection_names_that_do_harm(name: str) -> None:
    with pytest.raises(Invalid):
        check_collection_name(name)


@pytest.mark.parametrize("name", ["a", "...", "a b", "Ä", "a.b", "a@b", "a" * MAX_COLLECTION_NAME])
def test_collection_names_that_do_not(name: str) -> None:
    assert check_collection_name(name) == name


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_epochs_sort_as_numbers(one: int, other: int) -> None:
    """Keys and paths are listed in the order of epochs."""
    assert (format_epoch(one) < format_epoch(other)) is (one < other)


@pytest.mark.parametrize(
    "text", ["", "ab", "g" * 64, "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n"]
)
def test_digests_that_are_none(text: str) -> None:
    with pytest.raises(Invalid):
        parse_digest(text)


def test_a_digest() -> None:
    assert parse_digest("0a" * 32) == "0a" * 32


def every_key(cluster: str) -> dict[str, str]:
    keys, epoch, agent = Keys(ClusterName(cluster)), Epoch(3), AgentName("a1")
    return {
        "id": keys.id,
        "leader": keys.leader,
        "ctl": keys.ctl,
        "epoch": keys.epoch,
        "settings": keys.settings,
        "session": keys.session(agent),
        "member": keys.member(epoch, agent),
        "vote": keys.vote(epoch, "CUT", agent),
        "fence": keys.fence(epoch),
        "group": keys.group(epoch),
        "operation": keys.operation("op"),
        "request": keys.request("r"),
        "progress": keys.progress(epoch) + agent,
    }


def test_no_key_is_another() -> None:
    """Every key is a key of its own, under its cluster, and none lies under another one: a list of
    one prefix never brings what belongs to another."""
    keys = every_key("prod")
    assert len(set(keys.values())) == len(keys)
    for one, other in itertools.permutations(keys.values(), 2):
        assert not one.startswith(other + "/")
    assert all(key.startswith("/cleancut/prod/") for key in keys.values())


def test_clusters_do_not_meet() -> None:
    """A cluster whose name begins another's shares neither keys nor paths with it."""
    for key in every_key("prod-2").values():
        assert not key.startswith(Keys(ClusterName("prod")).root)
    paths = Paths(ClusterName("prod"))
    assert not Paths(ClusterName("prod-2")).groups.startswith(paths.groups)


def test_prefixes_hold_what_they_name() -> None:
    keys, epoch, agent = Keys(ClusterName("prod")), Epoch(3), AgentName("a1")
    assert keys.session(agent).startswith(keys.sessions)
    assert keys.member(epoch, agent).startswith(keys.members(epoch))
    assert keys.vote(epoch, "CUT", agent).startswith(keys.votes(epoch))
    assert keys.votes(epoch).startswith(keys.all_votes)
    assert keys.group(epoch).startswith(keys.groups)
    assert keys.operation("op").startswith(keys.operations)
    assert not keys.votes(Epoch(30)).startswith(keys.votes(epoch))


def test_paths() -> None:
    """As the format's document has them."""
    paths, epoch = Paths(ClusterName("prod")), Epoch(3)
    number = "000000000003"
    assert paths.group(epoch) == f"prod/groups/{number}.json"
    assert paths.tombstone(epoch) == f"prod/groups/{number}.deleted"
    assert paths.staged(epoch, "ab") == f"prod/staged/{number}/ab.json"
    assert paths.votes_document(epoch, AgentName("a1"), "ab") == f"prod/votes/{number}/a1/ab.json"
    assert paths.owner(1) == "prod/owner/000000000001.json"
    assert paths.recipe("abcd") == "prod/recipes/ab/abcd"
    assert paths.page("abcd") == "prod/pages/ab/abcd"
    assert paths.pack("3/s/1") == "prod/packs/3/s/1"
    assert paths.session_packs(epoch, "s") == f"prod/packs/{number}/s/"
    assert paths.probe(epoch, "n") == f"prod/probe/{number}/n"


def every_error() -> list[type[CleancutError]]:
    return [
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, CleancutError) and found != CleancutError
    ]


def test_kinds_are_all_kinds() -> None:
    """The table that the borders translate by leaves none out, and each reason is one kind."""
    assert set(KINDS) == set(every_error())
    reasons = [CleancutError.reason, *(kind.reason for kind in KINDS)]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("kind", [*KINDS, CleancutError])
def test_each_kind_is_told_at_each_border(kind: type[CleancutError]) -> None:
    """gRPC knows its status, the command line its code, and its reason brings it back."""
    assert kind.grpc_status in grpc.StatusCode.__members__
    assert kind.grpc_status != "OK"
    assert kind.exit_code in EXITS - {0}
    assert from_reason(kind.reason) is kind
    error = kind("it broke", "mend it", collection="c", shard=1)
    assert str(error) == "it broke (mend it)"
    assert error.context == {"collection": "c", "shard": 1}
    assert str(kind("it broke")) == "it broke"


def test_an_unknown_reason_is_a_plain_error() -> None:
    """A newer coordinator's kind is a failure, not a crash."""
    assert from_reason("INVENTED_LATER") is CleancutError


def test_only_what_may_pass_is_retryable() -> None:
    """Repeating helps if nothing answered in time; it does not make a wrong request right."""
    assert {kind.reason for kind in KINDS if kind.retryable} == {"UNAVAILABLE", "TIMED_OUT"}

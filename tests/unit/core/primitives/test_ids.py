"""Names, keys, paths and errors: what enters is checked, what leaves is told apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cleancut.core.primitives.errors as errors
from cleancut.core.format.paths import ObjectKind, ParsedPath, Paths, kind_of
from cleancut.core.primitives.errors import KINDS, CleancutError, Invalid, from_reason
from cleancut.core.primitives.ids import (
    MAX_STREAMED_NAME_BYTES,
    AgentName,
    ClusterName,
    Epoch,
    OperationId,
    check_collection_name,
    check_streamable,
    decode_segment,
    encode_segment,
    format_epoch,
    parse_agent,
    parse_cluster,
    parse_digest,
)
from cleancut.core.protocol.bounds import MAX_ATTEMPTS, MAX_STREAMS
from cleancut.core.protocol.etcd_keys import Keys, VoteKey, agent_of
from cleancut.core.protocol.requests import (
    check_attempts,
    check_streams,
)

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


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\0", "a\x7f", "a:b", "a\\b", "a" * 207, "語" * 69, "a\n"]
)
def test_collection_names_that_do_harm(name: str) -> None:
    with pytest.raises(Invalid):
        check_collection_name(name)


@pytest.mark.parametrize("name", ["a", "...", "a b", "Ä", "a.b", "a@b", "{x}", "a\tb", "a" * 206])
def test_collection_names_that_do_not(name: str) -> None:
    assert check_collection_name(name) == name


def test_the_greatest_shard_id_takes_room_in_a_streams_name() -> None:
    """Source: measured, Qdrant 1.18.3."""
    name = "a" * (MAX_STREAMED_NAME_BYTES - 1)
    assert check_streamable(name, 9) == name
    with pytest.raises(Invalid, match="205 bytes"):
        check_streamable(name, 10)


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


PARSED = {
    "format": ParsedPath(ObjectKind.FORMAT),
    "data_key": ParsedPath(ObjectKind.DATA_KEY, name="000000000002-abc"),
    "owner": ParsedPath(ObjectKind.OWNER, 2),
    "probe": ParsedPath(ObjectKind.PROBE, 3, "agent-1"),
    "pack": ParsedPath(ObjectKind.PACK, 3, "000000000003/s/0"),
    "recipe": ParsedPath(ObjectKind.RECIPE, name="ab" * 32),
    "page": ParsedPath(ObjectKind.PAGE, name="cd" * 32),
    "votes_document": ParsedPath(ObjectKind.VOTES_DOCUMENT, 3, "ef"),
    "staged": ParsedPath(ObjectKind.STAGED, 3, "ef"),
    "group": ParsedPath(ObjectKind.GROUP, 3),
    "tombstone": ParsedPath(ObjectKind.TOMBSTONE, 3),
    "hold": ParsedPath(ObjectKind.HOLD, 3, "r-1"),
    "seed": ParsedPath(ObjectKind.SEED, 3, "ef"),
    "sparse_list": ParsedPath(ObjectKind.SPARSE_LIST, name="000000000003-" + "0" * 16),
    "verification": ParsedPath(ObjectKind.VERIFICATION, 3, "at-verify-good-1"),
    "story": ParsedPath(ObjectKind.STORY, 2026, "20260101T000000.000Z-gc-1"),
    "garbage_list": ParsedPath(ObjectKind.GARBAGE_LIST, name="000000000003-x"),
    "mark": ParsedPath(ObjectKind.MARK, 3, "ended"),
    "id_of": ParsedPath(ObjectKind.OPERATION_ID, 3, "b-1"),
    "import_begun": ParsedPath(ObjectKind.IMPORT, name="ab"),
    "import_draft": ParsedPath(ObjectKind.IMPORT, name="ab"),
    "archive_chunk": ParsedPath(ObjectKind.ARCHIVE_CHUNK, name="s/000000000007-1764461449000"),
    "archive_chain": ParsedPath(ObjectKind.ARCHIVE_CHAIN, name="c1"),
    "archive_end": ParsedPath(ObjectKind.ARCHIVE_END, name="c1"),
    "archive_mark": ParsedPath(ObjectKind.ARCHIVE_MARK, name="1764461449000-a%2Fb"),
}


def test_paths_are_read_as_they_are_built() -> None:
    """One of each kind, by the name of the member of `Paths` that builds it."""
    paths, epoch = Paths(ClusterName("prod")), Epoch(3)
    built = {
        "format": paths.format,
        "data_key": paths.data_key(2, "abc"),
        "owner": paths.owner(2),
        "probe": paths.probe(epoch, "agent-1"),
        "pack": paths.pack("000000000003/s/0"),
        "recipe": paths.recipe("ab" * 32),
        "page": paths.page("cd" * 32),
        "votes_document": paths.votes_document(epoch, AgentName("agent-1"), "ef"),
        "staged": paths.staged(epoch, "ef"),
        "group": paths.group(epoch),
        "tombstone": paths.tombstone(epoch),
        "story": paths.story("2026", "20260101T000000.000Z-gc-1"),
        "hold": paths.hold(epoch, OperationId("r-1")),
        "seed": paths.seed(epoch, "ef"),
        "sparse_list": paths.sparse_list(epoch, "0" * 64),
        "verification": paths.verification(epoch, "at-verify-good-1"),
        "garbage_list": paths.garbage_list("000000000003-x"),
        "mark": paths.mark(epoch, "ended"),
        "id_of": paths.id_of(OperationId("b-1"), epoch),
        "import_begun": paths.import_begun("ab"),
        "import_draft": paths.import_draft("ab", "ef"),
        "archive_chunk": paths.archive_chunk("s", 7, 1764461449000),
        "archive_chain": paths.archive_chain("c1"),
        "archive_end": paths.archive_end("c1"),
        "archive_mark": paths.archive_mark(1764461449000, "a/b"),
    }
    assert {name: paths.parse(path) for name, path in built.items()} == PARSED
    assert {one.kind for one in PARSED.values()} == set(ObjectKind) - {ObjectKind.OTHER}


@pytest.mark.parametrize(
    "path",
    [
        "groups/note",
        "groups/000000000003.txt",
        "groups/000000000003",
        "packs/x/s/0",
        "packs/000000000003/s",
        "staged/x/y.json",
        "owner/x.json",
        "elsewhere/000000000003/x",
        "groups/3.deleted",
        "groups/0000000000003.json",
        "marks/3/opened.json",
        "packs/3/s/0",
        "format.json/x",
        "",
    ],
)
def test_other_paths_are_of_no_known_kind(path: str) -> None:
    assert kind_of(path) is ObjectKind.OTHER


def test_keys_of_votes_are_read_as_they_are_built() -> None:
    keys = Keys(ClusterName("prod"))
    vote = VoteKey(Epoch(3), "CUT", AgentName("agent-1"))
    assert keys.parse_vote(keys.vote(*vote)) == vote
    assert agent_of(keys.session(AgentName("agent-1"))) == "agent-1"


@pytest.mark.parametrize("name", ["note", "x/CUT/agent-1", "3/CUT", "3/CUT/agent-1/more", ""])
def test_a_foreign_key_among_votes_is_none(name: str) -> None:
    """It stops no leader: it is skipped."""
    keys = Keys(ClusterName("prod"))
    assert keys.parse_vote(keys.all_votes + name) is None


@pytest.mark.parametrize("check", [check_attempts, check_streams])
def test_bounds_of_requests(check: Callable[[int], int]) -> None:
    limit = MAX_ATTEMPTS if check is check_attempts else MAX_STREAMS
    assert [check(1), check(limit)] == [1, limit]
    for number in (-1, 0, limit + 1):
        with pytest.raises(Invalid, match=str(number)):
            check(number)

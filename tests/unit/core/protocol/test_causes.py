"""Causes that a program knows reach the error that a person reads."""

from __future__ import annotations

import pytest

from cleancut.core.backup.warnings import concerned
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_records import Concern, Session
from cleancut.core.protocol.votes import NO_AGENT, no_agent
from cleancut.qdrant.http import check_url
from cleancut.qdrant.responses import parse_cluster
from cleancut.rpc.statuses import not_leader


def test_agents_that_cannot_use_their_qdrant_are_not_called_missing() -> None:
    assert no_agent(()) == NO_AGENT
    failure = no_agent(("agent a1: 401 Invalid API key [DENIED]",))
    assert "401 Invalid API key" in failure.message
    assert "API key" in failure.hint


def test_why_no_coordinator_leads_is_in_the_error() -> None:
    error = not_leader("", "no credentials for bucket b [DENIED]")
    assert "no credentials for bucket b [DENIED]" in error.message
    assert "etcd" in not_leader("").hint
    assert "standby" in not_leader("c2:7400", "anything").message


@pytest.mark.parametrize(
    "url", ["127.0.0.1:6333", "localhost:6333", "qdrant", "", "http://", "ftp://q:6333", "grpc://q"]
)
def test_a_url_without_scheme_or_host_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(Invalid, match="is not a URL of Qdrant") as refused:
        check_url(url)
    assert "http://" in refused.value.hint


@pytest.mark.parametrize("url", ["http://127.0.0.1:6333", "https://q.example", "http://[::1]:1/p"])
def test_a_url_is_taken_as_it_is(url: str) -> None:
    assert check_url(url) == url


def test_capabilities_that_a_restore_lacks_are_warnings_of_the_backup() -> None:
    kinds = ("no_restore_rights", "grey_shard", "consensus_stopped")
    concerns = tuple(Concern(kind=kind, what=f"it has {kind}") for kind in kinds)
    session = Session(name=AgentName("a1"), version="1", concerns=concerns)
    assert concerned((session,)) == (
        "agent a1: it has no_restore_rights",
        "agent a1: it has consensus_stopped",
    )


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({"consensus_thread_status": "working", "last_update": "now"}, ""),
        ({"consensus_thread_status": "stopped"}, "stopped"),
        (
            {"consensus_thread_status": "stopped_with_err", "err": "panic"},
            "stopped_with_err: panic",
        ),
        (None, ""),
    ],
)
def test_a_consensus_that_has_stopped_is_seen(status: dict[str, str] | None, word: str) -> None:
    answer = {
        "status": "enabled",
        "peer_id": 1,
        "peers": {"1": {"uri": "http://a:6335/"}},
        "raft_info": {"commit": 1, "pending_operations": 0, "leader": 1},
        "consensus_thread_status": status,
    }
    assert parse_cluster(answer).consensus == word

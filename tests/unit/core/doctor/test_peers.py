"""Peers that are silent or fell out: what is safe comes before what loses data."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.doctor.facts import Facts, Finding, LocalShard, PeerReport
from cleancut.core.doctor.findings import diagnose
from cleancut.core.doctor.silence import SeenPeers
from cleancut.core.primitives.ids import AgentName, PeerId, ShardId
from tests.support.health import HEALTHY, PEERS, agent, docs, group, replica, told, uri, url

NEW = (PeerId(44),)
ALONE = PeerReport(peer_id=NEW[0], url=url(11), peers=((NEW[0], uri(11)),))
FALLEN = replace(
    HEALTHY,
    peers=(ALONE, told(22), told(33)),
    agents=(agent(44, NEW), agent(22), agent(33)),
    url=url(22),
)
SILENT = replace(
    HEALTHY,
    peers=(told(22), told(33)),
    agents=(agent(22), agent(33)),
    url=url(22),
    now_s=10_000.0,
    seen=SeenPeers(
        at_s=9_990.0,
        silent=((PEERS[0], 9_000.0),),
        urls=((PEERS[0], url(11), "agent-11"),),
    ),
)


def only(facts: Facts, kind: str) -> Finding:
    return next(one for one in diagnose(facts) if one.kind == kind)


def test_a_silent_peer_is_first_looked_at_and_started() -> None:
    """Where it was reached last; giving it up says what would be lost, and since when."""
    found = only(SILENT, "silent_peer")
    assert "silent since 1970-01-01T02:30:00Z, 17 min" in found.what
    look, gone = found.fixes
    assert (look.effect, gone.effect) == ("safe", "loses-data")
    assert f"{url(11)}/cluster" in look.command
    assert "start it, and its agent agent-11" in look.what
    assert "only if its disk is gone for good: shard 0 of 'docs' would be lost" in gone.what
    assert "newest backups: #5; silent since 1970-01-01T02:30:00Z" in gone.what


def test_what_no_backup_holds_is_named() -> None:
    found = only(replace(SILENT, groups=(group(5, 1),)), "silent_peer")
    assert "no backup holds shard 0 of 'docs'" in found.fixes[-1].what


def test_a_peer_that_hangs_is_not_called_gone() -> None:
    """Its address takes connections, so its process is there."""
    found = only(replace(SILENT, accepting=(PEERS[0],)), "silent_peer")
    assert "hangs or is starting" in found.what
    assert "restart it" in found.fixes[0].what


def fallen(*local: LocalShard, **changes: Any) -> Facts:
    peer = replace(ALONE, local=local)
    return replace(FALLEN, peers=(peer, told(22), told(33)), **changes)


def test_a_fallen_peer_that_holds_the_only_copy_is_copied_first() -> None:
    """Nothing says wipe before the call that saves it."""
    kept = LocalShard(collection="docs", shard_id=ShardId(0), points=528, uuid="u1")
    found = only(fallen(kept), "fallen_out")
    assert "copy this first" in found.what
    assert "wipe" not in found.what
    assert [fix.effect for fix in found.fixes] == ["safe", "safe", "loses-data"]
    assert found.fixes[1].command == (
        'curl -fsS -H "api-key: $QDRANT_API_KEY" -o docs-0.snapshot'
        f" {url(11)}/collections/docs/shards/0/snapshot"
    )
    assert found.fixes[-1].what.startswith("only once every shard is copied: stop the peer")


@pytest.mark.parametrize(
    ("local", "others", "words"),
    [
        ((), None, "holds no points"),
        ((LocalShard(collection="docs", shard_id=ShardId(0), points=0),), None, "no points"),
        (
            (LocalShard(collection="docs", shard_id=ShardId(1), points=7, uuid="u1"),),
            None,
            "on other peers too",
        ),
        (
            (LocalShard(collection="docs", shard_id=ShardId(1), points=7, uuid="u9"),),
            None,
            "copy this first",
        ),
        (
            (LocalShard(collection="docs", shard_id=ShardId(1), points=None),),
            docs(replica(1, 22, "Dead")),
            "copy this first",
        ),
        (
            (LocalShard(collection="gone", shard_id=ShardId(0), points=1),),
            None,
            "copy this first",
        ),
    ],
)
def test_a_disk_is_called_superfluous_only_if_others_have_all_of_it(
    local: tuple[LocalShard, ...], others: LiveShards | None, words: str
) -> None:
    """Another collection of the name, a replica that is not Active, and a shard that cannot be
    counted are no copies."""
    facts = fallen(*local)
    if others is not None:
        facts = replace(facts, collections=(others,))
    assert words in only(facts, "fallen_out").what


def test_a_lost_shard_names_the_fallen_peer_that_has_it() -> None:
    """Its data is newer than any backup."""
    kept = LocalShard(collection="docs", shard_id=ShardId(0), points=528, uuid="u1")
    facts = fallen(kept, collections=(docs(replica(1, 22), replica(2, 33)),))
    assert "agent-44 (peer 44) may still hold it" in only(facts, "lost_shard").what


def test_several_agents_with_one_peer_are_named() -> None:
    """As where all have the URL of a load balancer, which leads them to one peer now."""
    both = replace(agent(22), name=AgentName("agent-b"))
    found = only(replace(HEALTHY, agents=(*HEALTHY.agents, both)), "shared_peer")
    assert "agent-22, agent-b" in found.what
    assert "load balancer" in found.fixes[0].what
    assert not [one for one in diagnose(HEALTHY) if one.kind == "shared_peer"]

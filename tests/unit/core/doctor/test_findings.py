"""Each ailment is found, told with its fix, and a healthy cluster has none."""

from __future__ import annotations

import random
import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.cluster.view import TransferView
from cleancut.core.doctor.facts import (
    AgentReport,
    DamagedBackup,
    Facts,
    Finding,
    KnownRestore,
    PeerReport,
    PendingFence,
    StuckOperation,
    members_of,
)
from cleancut.core.doctor.findings import diagnose
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.states import OperationKind, State
from tests.support.health import HEALTHY, PEERS, agent, docs, group, replica, told, uri, url

ID = "r-0123456789abcdef"
REST = 'curl -fsS -X {} -H "api-key: $QDRANT_API_KEY" http://node-11:6333'


def live(**changes: Any) -> Facts:
    return replace(HEALTHY, **changes)


def shards(*collections: LiveShards, **changes: Any) -> Facts:
    return live(collections=collections, **changes)


def aliased(*aliases: tuple[str, str], **changes: Any) -> Facts:
    peers = tuple(told(peer, aliases=aliases) for peer in PEERS)
    return live(peers=peers, **changes)


def hiding(name: str) -> Facts:
    """An alias to docs2 has the name of a collection."""
    seen = aliased((name, "docs2"))
    return replace(
        seen, peers=tuple(replace(one, collections=(name, "docs2")) for one in seen.peers)
    )


def restored(state: State, *kept: tuple[str, str]) -> KnownRestore:
    return KnownRestore(id=OperationId(ID), state=state, kept=kept, message="no alias", hint="look")


def named(name: str, uuid: str = "u2") -> LiveShards:
    return replace(docs(), name=name, uuid=uuid)


def custom(*replicas: Any, known: tuple[int, ...] = ()) -> LiveShards:
    ids = tuple(ShardId(shard) for shard in known)
    return replace(docs(*replicas, shards=2), custom=True, known=ids)


MOVE = TransferView(shard_id=ShardId(1), source=PEERS[1], target=PEERS[2])
TWO = (PEERS[1], PEERS[2])
FRESH = docs(replica(0, 11, "Initializing"), shards=1)
NEW = (PeerId(44),)
FORGET = "cleancut cluster forget-peer 11"
ALONE = PeerReport(peer_id=NEW[0], url=url(11), peers=((NEW[0], uri(11)),))
FALLEN = live(
    peers=(ALONE, told(22), told(33)),
    agents=(agent(44, NEW), agent(22), agent(33)),
    url=url(22),
)
CASES: list[tuple[Facts, str, str, list[str], str]] = [
    (
        shards(docs(replica(0, 11), replica(2, 33))),
        "lost_shard",
        "error",
        ["shard 1 of 'docs'", "backup #5"],
        "cleancut restore start 5 --collection docs --only-shard 1",
    ),
    (
        shards(docs(replica(0, 11)), groups=(group(9, 0, 1), group(8, 0, 1, 2))),
        "lost_shard",
        "error",
        ["shard 1 of 'docs'"],
        "cleancut restore start 9 --collection docs --only-shard 1",
    ),
    (
        shards(docs(replica(0, 11), replica(1, 22)), groups=(group(9, 0, 1),)),
        "lost_shard",
        "error",
        ["no backup holds"],
        "",
    ),
    (
        shards(custom(replica(4, 11, key="a"), replica(6, 33, key="a")), groups=(group(3, 5),)),
        "lost_shard",
        "error",
        ["shard 5 of 'docs'"],
        "cleancut restore start 3 --collection docs --only-shard 5",
    ),
    (
        shards(custom(replica(1, 11, key=7), known=(1, 2)), groups=(group(3, 2),)),
        "lost_shard",
        "error",
        ["shard 2 of 'docs'"],
        "cleancut restore start 3 --collection docs --only-shard 2",
    ),
    (
        shards(docs(replica(0, 11), replica(1, 22, "Dead"), replica(2, 33))),
        "no_active_replica",
        "error",
        ["shard 1 of 'docs'", "Dead at agent-22 (peer 22)"],
        "",
    ),
    (
        shards(FRESH, restores=(restored(State.CREATING),)),
        "restoring",
        "info",
        ["shard 0 of 'docs'", ID],
        f"cleancut restore watch {ID}",
    ),
    (
        shards(FRESH, restores=(restored(State.ROLLED_BACK),)),
        "no_active_replica",
        "error",
        ["shard 0 of 'docs'", "Initializing at agent-11 (peer 11)"],
        "",
    ),
    (
        shards(docs(replica(0, 11), replica(0, 22, "Dead"), shards=1, factor=2)),
        "idle_replica",
        "warning",
        ["shard 0 of 'docs' at agent-22 (peer 22) is Dead"],
        REST.format("POST")
        + "/collections/docs/cluster -H 'content-type: application/json' -d "
        + shlex.quote('{"replicate_shard": {"shard_id": 0, "from_peer_id": 11, "to_peer_id": 22}}'),
    ),
    (
        shards(docs(replica(0, 11), replica(0, 22), replica(1, 33), shards=2, factor=2)),
        "few_replicas",
        "warning",
        ["shard 1 of 'docs' has fewer than 2"],
        "cleancut rebalance start",
    ),
    (
        shards(replace(docs(), transfers=(MOVE,))),
        "transfer",
        "info",
        ["shard 1 of 'docs'", "agent-22 (peer 22) to agent-33 (peer 33)"],
        "",
    ),
    (FALLEN, "fallen_out", "error", ["peer 44", "unknown"], f"{FORGET} --force"),
    (
        replace(FALLEN, collections=()),
        "fallen_out",
        "error",
        ["peer 44"],
        FORGET,
    ),
    (
        replace(FALLEN, peers=(told(22), told(33))),
        "fallen_out",
        "error",
        ["agent-44"],
        f"{FORGET} --force",
    ),
    (
        live(
            peers=(told(11), told(22, TWO), told(33)),
            agents=(agent(11), agent(22, TWO), agent(33)),
        ),
        "fallen_out",
        "error",
        ["peer 22", "knows the peers 22, 33"],
        f'curl -fsS -m 10 -H "api-key: $QDRANT_API_KEY" {url(22)}/cluster',
    ),
    (
        live(peers=(told(22), told(33)), agents=(agent(22), agent(33)), url=url(22)),
        "silent_peer",
        "error",
        ["peer 11 at http://node-11:6335/"],
        f"{FORGET} --force",
    ),
    (live(agents=(agent(22), agent(33))), "no_agent", "error", ["peer 11", url(11)], ""),
    (
        live(agents=(*HEALTHY.agents, AgentReport(name=AgentName("a"), url="http://q:1"))),
        "agent_without_qdrant",
        "error",
        ["agent a", "http://q:1"],
        'curl -fsS -m 10 -H "api-key: $QDRANT_API_KEY" http://q:1/cluster',
    ),
    (live(peers=(), agents=(), url="", collections=()), "no_peer", "error", ["answers"], ""),
    (
        live(peers=(told(11), told(22, aliases=(("a", "docs"),)), told(33))),
        "unequal_aliases",
        "warning",
        ["peer 22", "'a'"],
        "",
    ),
    (
        shards(docs(), named(f"docs@{ID}")),
        "leftover",
        "warning",
        [f"'docs@{ID}'", "long over"],
        REST.format("DELETE") + f"/collections/docs%40{ID}",
    ),
    (
        shards(docs(), named(f"docs@{ID}"), restores=(restored(State.ROLLED_BACK),)),
        "leftover",
        "warning",
        ["ROLLED_BACK"],
        REST.format("DELETE") + f"/collections/docs%40{ID}",
    ),
    (
        shards(docs(), named("old"), restores=(restored(State.DONE, ("old", "u2")),)),
        "kept",
        "info",
        ["'old'", ID],
        f"cleancut restore clean {ID}",
    ),
    (
        aliased(("live@fence-3", "docs")),
        "stray_fence",
        "error",
        ["'live'"],
        REST.format("POST")
        + "/collections/aliases -H 'content-type: application/json' -d "
        + shlex.quote(
            '{"actions": [{"rename_alias": {"old_alias_name": "live@fence-3",'
            ' "new_alias_name": "live"}}]}'
        ),
    ),
    (
        aliased(("live@fence-3", "docs"), ("live", "docs"), open_fence=Epoch(4)),
        "stray_fence",
        "error",
        ["delete the fence"],
        REST.format("POST")
        + "/collections/aliases -H 'content-type: application/json' -d "
        + shlex.quote('{"actions": [{"delete_alias": {"alias_name": "live@fence-3"}}]}'),
    ),
    (aliased(("docs@fence-3", "docs")), "stray_fence", "error", ["by hand"], ""),
    (
        hiding("docs"),
        "hidden_collection",
        "error",
        ["'docs2'", "'docs'", "rename the alias"],
        REST.format("POST")
        + "/collections/aliases -H 'content-type: application/json' -d "
        + shlex.quote(
            '{"actions": [{"rename_alias": {"old_alias_name": "docs",'
            ' "new_alias_name": "docs-alias"}}]}'
        ),
    ),
    (
        live(gc_stopped="clock says 2027"),
        "gc_stopped",
        "warning",
        ["2027"],
        "cleancut backup gc --dry-run",
    ),
    (live(behind="its epoch is 3"), "etcd_behind", "error", ["epoch is 3"], "cleancut adopt"),
    (live(owner_id="other"), "foreign_store", "error", ["other"], "cleancut adopt"),
    (live(owner_id=""), "empty_store", "error", ["the store is empty"], "cleancut adopt"),
    (live(owner_id=None), "store_away", "error", ["store"], "cleancut status"),
    (
        live(restores=(restored(State.NEEDS_OPERATOR),)),
        "needs_operator",
        "warning",
        [ID, "no alias", "look"],
        f"cleancut restore show {ID}",
    ),
    (
        live(
            stuck=(
                StuckOperation(
                    id=OperationId("b-7"),
                    kind=OperationKind.BACKUP,
                    message="its manifest cannot be published: groups/7 holds other bytes",
                    hint="see the store",
                ),
            )
        ),
        "needs_operator",
        "warning",
        ["backup b-7", "cannot be published", "see the store"],
        "cleancut backup show b-7",
    ),
    (
        live(
            fences=(
                PendingFence(
                    epoch=Epoch(7),
                    raised_at="2026-01-01T00:00:00.000Z",
                    budget_s=30.0,
                    hooked=("docs",),
                ),
            )
        ),
        "fence_not_lifted",
        "warning",
        ["epoch 7", "hook of 'docs'", "after 30 s", "2026-01-01", "blocks no backup"],
        "",
    ),
]


def last_command(finding: Finding) -> str:
    return finding.fixes[-1].command if finding.fixes else ""


@pytest.mark.parametrize(("facts", "kind", "severity", "words", "fix"), CASES)
def test_an_ailment_is_found_with_its_fix(
    facts: Facts, kind: str, severity: str, words: list[str], fix: str
) -> None:
    """It is told with what an operator needs to know, and what to paste."""
    found = [one for one in diagnose(facts) if one.kind == kind]
    matching = [one for one in found if all(word in one.what for word in words)]
    assert matching, found
    assert matching[0].severity == severity
    assert last_command(matching[0]) == fix


ALONE_IN_ITS_KIND = [
    case for case in CASES if case[1] not in {"lost_shard", "no_agent", "fallen_out"}
]


@pytest.mark.parametrize(("facts", "kind", "severity", "words", "fix"), ALONE_IN_ITS_KIND)
def test_one_ailment_is_told_once(
    facts: Facts, kind: str, severity: str, words: list[str], fix: str
) -> None:
    """What is explained by one finding makes no second one."""
    del severity, words, fix
    assert [one.kind for one in diagnose(facts)] == [kind]


@pytest.mark.parametrize(
    "facts",
    [
        HEALTHY,
        aliased(("live@fence-3", "docs"), open_fence=Epoch(3)),
        aliased(("live", f"docs@{ID}"), collections=(docs(), named(f"docs@{ID}"))),
        shards(docs(), named(f"docs@{ID}"), restores=(restored(State.VERIFYING),)),
        shards(docs(), named("old", "u3"), restores=(restored(State.DONE, ("old", "u2")),)),
        shards(docs(), named(f"docs@{ID}-more")),
        shards(custom(replica(1, 11, key=7), replica(3, 22, key="7"), known=(1, 3))),
        live(owner_id="", cluster_id=""),
    ],
)
def test_what_is_as_it_should_be_is_not_told(facts: Facts) -> None:
    """An open fence, a published restore, one under way, another collection of an old name, keys
    with gaps between them."""
    assert diagnose(facts) == ()


def test_a_fallen_out_peer_hides_no_silent_one() -> None:
    """Its old id is its own finding; another member that is away is told too."""
    facts = replace(FALLEN, peers=(ALONE, told(22)), agents=(agent(44, NEW), agent(22)))
    assert [one.kind for one in diagnose(facts)] == ["fallen_out", "silent_peer"]
    assert last_command(diagnose(facts)[1]) == "cleancut cluster forget-peer 33 --force"


def test_errors_come_first() -> None:
    """An operator reads from the top."""
    facts = shards(replace(docs(), transfers=(MOVE,)), owner_id="other")
    assert [one.severity for one in diagnose(facts)] == ["error", "info"]


def test_lost_shards_of_one_group_are_repaired_by_one_command() -> None:
    """Each restore ends with everything readable, not with the next shard missing."""
    found = diagnose(shards(docs(replica(0, 11))))
    lost: list[Finding] = [one for one in found if one.kind == "lost_shard"]
    assert [last_command(one) for one in lost] == [
        "cleancut restore start 5 --collection docs --only-shard 1 --only-shard 2"
    ]


def test_a_name_is_quoted_for_the_shell() -> None:
    """Any name that Qdrant takes can be pasted."""
    name = "it's $(here) ü"
    entry = replace(docs(replica(0, 11), replica(1, 22)), name=name)
    held = replace(group(5), shards=((name, ShardId(2)),))
    found = diagnose(shards(entry, groups=(held,)))
    assert shlex.split(found[0].fixes[0].command)[4:] == ["--collection", name, "--only-shard", "2"]


def healthy(seed: int) -> Facts:
    """Any number of peers, collections, replicas and keys, everything in place."""
    chance = random.Random(seed)
    peers = tuple(
        PeerId(one) for one in sorted(chance.sample(range(1, 2**40), chance.randint(1, 7)))
    )
    collections = []
    for number in range(chance.randint(0, 4)):
        factor, count, keyed = chance.randint(1, len(peers)), chance.randint(1, 6), seed % 2 == 1
        placed = [
            replica(shard, peer, key="k" if keyed and count > 1 else 7 if keyed else None)
            for shard in range(1 if keyed else 0, count + (1 if keyed else 0))
            for peer in chance.sample(peers, factor)
        ]
        more = chance.randint(0, 3) if factor == len(peers) else 0  # as after a smaller restore
        entry = docs(*placed, shards=count, factor=factor + more)
        collections.append(replace(entry, name=f"c{number}", custom=keyed))
    aliases = tuple((f"alias-{entry.name}", entry.name) for entry in collections)
    asked = sorted(chance.sample(peers, chance.randint(1, len(peers))))
    return Facts(
        peers=tuple(told(peer, peers, aliases) for peer in asked),
        agents=tuple(agent(peer, peers) for peer in chance.sample(peers, len(peers))),
        url=url(asked[0]),
        collections=tuple(collections),
        cluster_id="abc",
        owner_id="abc",
    )


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_a_healthy_cluster_has_no_findings(seed: int) -> None:
    """Whatever its size, its replication, its keys, and whomever the coordinator can ask."""
    facts = healthy(seed)
    assert diagnose(facts) == ()
    everybody = tuple(sorted(one.peer_id or 0 for one in facts.agents))
    assert members_of(facts.peers, facts.agents) == everybody


@settings(max_examples=300)
@given(st.integers(0, 2**31), st.integers(0, 100))
def test_a_shard_that_nobody_holds_is_always_found(half: int, choice: int) -> None:
    """In automatic sharding, whichever it is; nothing else of the collection is called lost."""
    facts = healthy(2 * half)
    for entry in facts.collections:
        gone = entry.shard_ids[choice % len(entry.shard_ids)]
        kept = tuple(one for one in entry.replicas if one.shard_id != gone)
        ill = replace(facts, collections=(replace(entry, replicas=kept),))
        assert ill.collections[0].lost == (gone,)
        assert "lost_shard" in [one.kind for one in diagnose(ill)]


@pytest.mark.parametrize("facts", [case[0] for case in CASES])
def test_what_can_lose_data_is_marked_and_never_the_first_or_only_fix(facts: Facts) -> None:
    """Something safe stands before it, and it names its condition."""
    for finding in diagnose(facts):
        effects = [fix.effect for fix in finding.fixes]
        assert effects == sorted(effects, reverse=True)
        for fix in finding.fixes:
            lossy = (
                "forget-peer",
                "restore clean",
                "-X DELETE",
                "backup delete",
                "replicate_shard",
                "adopt",
            )
            if any(word in fix.command for word in lossy):
                assert fix.effect == "loses-data"
                assert fix.what
        assert effects[:1] in ([], ["safe"])


@pytest.mark.parametrize("newest", [None, 4, 6])
def test_damaged_backups_are_named(newest: int | None) -> None:
    """They are less urgent once a newer one is intact; nothing is deleted first."""
    broken = DamagedBackup(epoch=Epoch(5), corrupt=False, why="docs/0 is damaged")
    facts = live(damaged=(broken,), newest_intact=None if newest is None else Epoch(newest))
    (found,) = diagnose(facts)
    assert found.kind == "damaged_backup"
    assert "docs/0 is damaged" in found.what
    assert (found.severity == "warning") is (newest == 6)
    commands = [fix.command for fix in found.fixes]
    assert ("cleancut backup create" in commands) is (newest != 6)
    assert "cleancut backup verify 5" in commands
    assert commands[-1] == "cleancut backup delete 5"
    assert found.fixes[-1].effect == "loses-data"


def test_corrupt_backups_are_named() -> None:
    broken = DamagedBackup(epoch=Epoch(5), corrupt=True, why="not JSON")
    (found,) = diagnose(live(damaged=(broken,), newest_intact=Epoch(6)))
    assert found.kind == "corrupt_backup"
    assert [fix.command for fix in found.fixes] == [
        "cleancut backup show 5",
        "cleancut backup delete 5",
    ]

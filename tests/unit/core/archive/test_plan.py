"""Who follows which shard, when a chunk is cut, which rounds are a mark, what a base is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.archive.bases import (
    ASK_AGAIN_S,
    ASK_NEXT_S,
    Asked,
    ShardBase,
    due_bases,
    first_entry,
    newest_peers,
    without_base,
)
from cleancut.core.archive.following import (
    CHUNK_BYTES,
    Buffer,
    cut_due,
    end_of,
    why_not_continued,
)
from cleancut.core.archive.marks import asked, is_durable, mark_of, missing_from, round_of
from cleancut.core.archive.plan import (
    AWAY_S,
    ArchivePlan,
    ArchiveSettings,
    ArchiveState,
    ArchiveTask,
    FollowedShard,
    Follower,
    RoundEnds,
    check_archive,
    plan_tasks,
)
from cleancut.core.archive.records import Mark, MarkEnd, MarkRound
from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.cluster.view import ACTIVE, ReplicaView
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Standstill, WalEnd
from cleancut.core.wal.tail import Cause, Position, WalEntry
from tests.support.groups import shard

A, B, C = (PeerId(n) for n in (1, 2, 3))
S0 = ShardId(0)


def docs(**replicas: str) -> LiveShards:
    """One shard with a replica in this state at each peer."""
    return LiveShards(
        name="docs",
        uuid="u",
        shard_number=1,
        replication_factor=len(replicas),
        replicas=tuple(
            ReplicaView(shard_id=S0, peer_id=PeerId("ABC".index(name) + 1), state=state)
            for name, state in replicas.items()
        ),
    )


def follower(peer: PeerId, away_s: float = 0.0) -> Follower:
    return Follower(agent=AgentName(f"agent-{peer}"), peer=peer, away_s=away_s)


def task(peer: PeerId) -> ArchiveTask:
    return ArchiveTask(
        collection="docs", uuid="u", shard=S0, peer=peer, agent=AgentName(f"agent-{peer}")
    )


@pytest.mark.parametrize(
    ("replicas", "away", "before", "base", "chosen"),
    [
        ({"A": ACTIVE, "B": ACTIVE}, {}, None, None, A),
        ({"A": ACTIVE, "B": ACTIVE}, {}, None, B, B),
        ({"A": ACTIVE, "B": ACTIVE}, {}, B, A, B),
        ({"A": ACTIVE, "B": "Dead"}, {}, B, B, A),
        ({"A": "Partial", "B": "Dead"}, {}, B, B, None),
        ({"A": ACTIVE, "B": ACTIVE}, {B: AWAY_S}, B, None, B),
        ({"A": ACTIVE, "B": ACTIVE}, {B: AWAY_S + 1}, B, B, A),
        ({"B": ACTIVE}, {B: 9999.0}, B, None, B),
        ({"C": ACTIVE}, {}, None, None, None),
    ],
)
def test_a_shard_has_one_source_that_is_replaced_once_it_is_lost(
    replicas: dict[str, str],
    away: dict[PeerId, float],
    before: PeerId | None,
    base: PeerId | None,
    chosen: PeerId | None,
) -> None:
    found = plan_tasks(
        [docs(**replicas)],
        [follower(peer, away.get(peer, 0.0)) for peer in (A, B)],
        {} if before is None else {("docs", S0): task(before)},
        {} if base is None else {("docs", S0): base},
    )
    assert found == (() if chosen is None else (task(chosen),))


def test_settings_that_cannot_be_meant_are_refused() -> None:
    some = check_archive(ArchiveSettings(collections=("docs-*",)))
    assert some.takes("docs-1", {})
    assert some.takes("new", {"docs-2": "new"}), "by its alias"
    assert not some.takes("other", {"docs-2": "new"})
    assert not ArchiveSettings().takes("docs", {})
    others = check_archive(ArchiveSettings(collections=("*",), exclude=("*@*", "tmp-*")))
    assert others.takes("docs", {})
    assert not others.takes("docs@r-1", {}), "restored, and not published yet"
    assert others.takes("docs@r-1", {"docs": "docs@r-1"}), "published"
    assert not others.takes("docs@r-1", {"tmp-docs": "docs@r-1"})
    for wrong in (
        ArchiveSettings(chunk_s=0.5),
        ArchiveSettings(mark_every_s=0.0),
        ArchiveSettings(keep_s=1.0),
        ArchiveSettings(collections=("",)),
        ArchiveSettings(collections=("*",), exclude=("",)),
    ):
        with pytest.raises(Invalid):
            check_archive(wrong)


def entries(first: int, count: int, size: int = 3) -> list[WalEntry]:
    return [WalEntry(first + n, b"x" * size) for n in range(count)]


def followed(last: int = 7) -> FollowedShard:
    position = Position(seed=1, start=0, count=8, offset=99, crc=5)
    return FollowedShard(
        collection="docs",
        shard=S0,
        uuid="u",
        log="1:2",
        chain="c",
        first=3,
        last=last,
        position=position,
    )


def test_a_chunk_is_cut_by_age_or_size_and_never_of_nothing() -> None:
    full, idle = Buffer(), Buffer()
    assert not cut_due([full, idle], 10**9, 10.0)
    full.add([], 1000)
    assert not cut_due([full, idle], 10**9, 10.0)
    full.add(entries(8, 2), 1000)
    full.add(entries(10, 1), 5000)
    assert not cut_due([full, idle], 10_999, 10.0)
    assert cut_due([full, idle], 11_000, 10.0)
    part = full.take(followed(), None)
    assert (part.first, part.last, part.lengths) == (8, 10, (3, 3, 3))
    assert [(look.at_ms, look.last) for look in part.looks] == [(1000, 9), (5000, 10)]
    assert not cut_due([full], 10**9, 10.0)
    full.add(entries(11, 1, CHUNK_BYTES), 6000)
    assert cut_due([full], 6000, 10.0)


def test_a_chain_goes_on_only_in_the_very_same_log() -> None:
    assert why_not_continued(followed(), "1:2") == ""
    assert "another log" in why_not_continued(followed(), "1:3")
    unproven = replace(followed(), position=None)
    assert "not known" in why_not_continued(unproven, "1:2")
    assert why_not_continued(replace(unproven, last=-1), "1:2") == ""


def test_what_may_stand_under_a_wrong_number_does_not_count() -> None:
    assert end_of(Cause.NUMBERING, 20, 12) == 12
    assert end_of(Cause.NUMBERING, 20, None) == -1
    assert end_of(Cause.REPLACED, 20, 12) == 20


PLAN = ArchivePlan(
    chunk_s=10.0, tasks=(task(A), replace(task(B), shard=ShardId(1), agent=AgentName("agent-2")))
)


def answer(number: int, shard_id: int, last: int) -> RoundEnds:
    end = MarkEnd(
        collection="docs", shard=ShardId(shard_id), peer=A, chain=f"c{shard_id}", last=last
    )
    return RoundEnds(round=number, ends=(end,))


def test_two_rounds_with_the_same_ends_are_a_mark() -> None:
    names = asked(PLAN, [AgentName("agent-1"), AgentName("agent-2"), AgentName("agent-3")])
    assert names == {"agent-1", "agent-2"}

    def made(number: int, *lasts: int) -> MarkRound | None:
        answers = {AgentName(f"agent-{n + 1}"): answer(number, n, at) for n, at in enumerate(lasts)}
        return round_of(number, answers, names)

    assert made(4, 7) is None
    assert round_of(5, {AgentName("agent-1"): answer(4, 0, 7)}, [AgentName("agent-1")]) is None
    first, moved, second = made(4, 7, 8), made(5, 7, 9), made(6, 7, 9)
    assert first
    assert moved
    assert second
    assert mark_of(None, first, 1, "") is None
    assert mark_of(first, moved, 1, "") is None
    mark = mark_of(moved, second, 1, "deploy")
    assert mark is not None
    assert not mark.doubt
    assert missing_from(mark, PLAN) == []
    assert missing_from(replace(mark, after=replace(second, ends=second.ends[:1])), PLAN) == [
        "docs"
    ]


def test_a_mark_counts_once_all_before_it_is_stored() -> None:
    rounds = [MarkRound(number=n, ends=answer(n, 0, 9).ends) for n in (1, 2)]
    mark = Mark(at_ms=1, before=rounds[0], after=rounds[1])

    def state(last: int, first: int = 3) -> ArchiveState:
        one = replace(followed(last), chain="c0", first=first)
        return ArchiveState(
            agent=AgentName("agent-1"), session=FencingToken(1), stream="s", at_ms=0, shards=(one,)
        )

    assert not is_durable(mark, [])
    assert not is_durable(mark, [state(8)])
    assert is_durable(mark, [state(9)])
    assert is_durable(mark, [state(-1, first=10)])


def test_a_base_begins_where_its_stored_entries_do() -> None:
    quiet = replace(shard("docs", 0), chain="c")
    assert quiet.quiet
    assert quiet.second.number is not None
    assert first_entry(quiet) == quiet.second.number + 1
    assert first_entry(replace(quiet, chain="")) is None
    moved = replace(quiet, second=replace(quiet.second, number=quiet.second.number + 5))
    assert first_entry(moved) is None
    end = WalEnd(log="1:2", index=13)
    still = Standstill(round=2, before=end, after=end, ack=4, first=4, wal_bytes=1)
    assert first_entry(replace(moved, standstill=still)) == 4
    grown = replace(still, before=replace(end, index=12))
    assert first_entry(replace(moved, standstill=grown)) == 4, "others moved, too"
    early = WalEnd(log="1:2", index=12)  # before what was applied: no restore is made on it
    assert first_entry(replace(moved, standstill=replace(still, before=early, after=early))) is None


def test_the_newest_base_of_each_shard_counts_and_chains_without_one_are_found() -> None:
    place = "docs", S0
    bases = [
        ShardBase(Epoch(epoch), 0.0, place, peer, chain, 0)
        for epoch, peer, chain in ((1, A, "old"), (2, B, "c"))
    ]
    assert newest_peers(reversed(bases)) == {place: B}
    state = ArchiveState(
        agent=AgentName("agent-1"),
        session=FencingToken(1),
        stream="s",
        at_ms=0,
        shards=(followed(), replace(followed(), chain="new")),
    )
    plan = ArchivePlan(chunk_s=1.0, tasks=(task(A),))
    assert [one.chain for one in without_base(plan, [state], bases)] == ["new"]
    replaced = ArchivePlan(chunk_s=1.0, tasks=(task(B),))
    assert without_base(replaced, [state], bases) == []


def test_a_base_of_a_new_chain_is_asked_for_soon_also_if_another_was_just_asked_for() -> None:
    first, second = followed(), replace(followed(), chain="d")
    now_s = 1000.0
    due = due_bases([first], {}, now_s)
    assert due == {"docs": Asked(now_s, frozenset("c"))}
    assert due_bases([first], due, now_s + ASK_AGAIN_S - 1) == {}
    assert list(due_bases([first], due, now_s + ASK_AGAIN_S)) == ["docs"]
    assert due_bases([second], due, now_s + ASK_NEXT_S - 1) == {}, "chains may break in rows"
    assert due_bases([second, first], due, now_s + ASK_NEXT_S)["docs"].chains == {"c", "d"}
    refused = {"docs": Asked(now_s)}
    assert list(due_bases([first], refused, now_s + ASK_NEXT_S)) == ["docs"]
    assert due_bases([], due, now_s + ASK_AGAIN_S) == {}

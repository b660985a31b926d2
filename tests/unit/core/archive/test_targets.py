"""Targets: which entries a moment means, from which backup, and what is refused, with advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.archive.bases import BaseShard
from cleancut.core.archive.entries import entries_within, nearest, parse_entry, window_of
from cleancut.core.archive.plan import Place
from cleancut.core.archive.records import Chain, ChainEnd, Look, Mark, MarkEnd, MarkRound
from cleancut.core.archive.targets import check_asked, resolve
from cleancut.core.archive.views import Archive, Base, ChainView
from cleancut.core.primitives.errors import CleancutError, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import Epoch, PeerId, ShardId
from cleancut.core.protocol.moment import LogEntry, Moment, MomentRequest
from tests.support.archived import chain_of

START_MS = 1_800_000_000_000
LOOK_MS = 100


@dataclass
class History:
    """Writes to the shards of one collection, `(ms, shard)` in the order of time, and all that is
    seen of them: looks each 100 ms, marks where no shard was written to for 20 ms."""

    writes: list[tuple[int, int]]
    shards: int = 3
    length_ms: int = 10_000
    skip_marks: bool = False
    chains: dict[Place, str] = field(default_factory=dict)

    def key(self, shard: int) -> Place:
        return "docs", ShardId(shard)

    def last(self, shard: int, at_ms: int) -> int:
        """The last entry of a shard at a time; entry 0 is there from the start."""
        return sum(1 for when, where in self.writes if where == shard and when <= at_ms)

    def chain(self, shard: int) -> str:
        return f"chain-{shard}"

    def view(self, shard: int) -> ChainView:
        chain = chain_of(self.chain(shard), shard=ShardId(shard), created_at_ms=START_MS)
        looks = [
            Look(at_ms=START_MS + at, last=self.last(shard, at))
            for at in range(0, self.length_ms + 1, LOOK_MS)
        ]
        last = self.last(shard, self.length_ms)
        return ChainView(
            chain, None, ((0, last),), tuple(looks), lambda first, last: 100 * (last - first + 1)
        )

    def mark(self, at: int, name: str = "") -> Mark:
        ends = tuple(
            MarkEnd(
                collection="docs",
                shard=ShardId(shard),
                peer=PeerId(1),
                chain=self.chain(shard),
                last=self.last(shard, at),
            )
            for shard in range(self.shards)
        )
        rounds = MarkRound(number=1, ends=ends), MarkRound(number=2, ends=ends)
        return Mark(name=name, at_ms=START_MS + at, before=rounds[0], after=rounds[1])

    def marks(self) -> tuple[Mark, ...]:
        still = [
            at
            for at in range(0, self.length_ms + 1, 50)
            if not any(at - 10 <= when <= at + 10 for when, _ in self.writes)
        ]
        return () if self.skip_marks else tuple(self.mark(at) for at in still)

    def archive(self) -> Archive:
        views = [self.view(shard) for shard in range(self.shards)]
        return Archive(
            {view.chain.id: view for view in views},
            self.marks(),
            START_MS,
            START_MS + self.length_ms,
        )

    def base(self, at: int, epoch: int = 1) -> Base:
        """A backup at a time, replayed from two entries before it on."""
        shards = {
            self.key(shard): BaseShard(
                self.chain(shard), max(0, self.last(shard, at) - 2), self.last(shard, at)
            )
            for shard in range(self.shards)
        }
        return Base(Epoch(epoch), START_MS + at, shards)


def restored(moment: Moment, base: Base) -> dict[int, int]:
    """The last entry of each shard after the restore: replayed without a gap behind the base."""
    found = {}
    for shard in moment.shards:
        own = base.shards[shard.collection, shard.shard_id]
        assert shard.first == own.first
        assert shard.last >= own.end
        assert shard.chain == own.chain
        found[int(shard.shard_id)] = shard.last
    return found


HISTORIES = st.lists(
    st.tuples(st.integers(1, 10_000), st.integers(0, 2)), min_size=1, max_size=60
).map(lambda writes: History(sorted(writes)))


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.integers(0, 5_000), st.integers(0, 10_000))
def test_the_newest_mark_before_a_time_is_one_instant_of_all_shards(
    history: History, cut: int, at: int
) -> None:
    base, asked = history.base(cut), MomentRequest(at_ms=START_MS + at)
    usable = [m for m in history.marks() if cut <= m.at_ms - START_MS <= at]
    try:
        moment = resolve(asked, base, history.archive())
    except Refused:
        assert not usable
        return
    then = moment.at_ms - START_MS
    assert moment.instant
    assert moment.skew_ms == 0
    assert restored(moment, base) == {shard: history.last(shard, then) for shard in range(3)}
    assert then <= at
    if usable:
        assert then >= max(mark.at_ms for mark in usable) - START_MS
    assert moment.distance_ms == at - then


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.integers(0, 3_000), st.integers(3_200, 9_900))
def test_an_exact_time_cuts_each_shard_within_the_skew(history: History, cut: int, at: int) -> None:
    base = history.base(cut)
    moment = resolve(MomentRequest(at_ms=START_MS + at, exact=True), base, history.archive())
    assert not moment.instant
    assert moment.at_ms == START_MS + at
    for shard, last in restored(moment, base).items():
        assert history.last(shard, at - moment.skew_ms) <= last <= history.last(shard, at)


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.data(), st.booleans())
def test_before_an_entry_nothing_of_it_and_all_that_precedes_it_is_there(
    history: History, data: st.DataObject, skip_marks: bool
) -> None:
    history.skip_marks = skip_marks
    base, archive = history.base(0), history.archive()
    when, shard = data.draw(st.sampled_from(history.writes))
    index = history.last(shard, when)
    asked = MomentRequest(before=LogEntry(shard_id=ShardId(shard), index=index))
    if index <= base.shards[history.key(shard)].end:
        return
    moment = resolve(asked, base, archive)
    found = restored(moment, base)
    assert found[shard] == index - 1
    for other, last in found.items():
        assert last <= history.last(other, when + LOOK_MS)
        if moment.instant:
            assert last == history.last(other, moment.at_ms - START_MS)
        elif other != shard:
            assert last >= history.last(other, when - 2 * LOOK_MS - moment.skew_ms)


QUIET = History([(100 + 200 * n, n % 3) for n in range(40)])


def refusal(asked: MomentRequest, base: Base, archive: Archive, named: Sequence[str] = ()) -> str:
    with pytest.raises(CleancutError) as caught:
        resolve(asked, base, archive, named)
    assert caught.value.hint
    return str(caught.value)


def at(ms: int, *, exact: bool = False) -> MomentRequest:
    return MomentRequest(at_ms=START_MS + ms, exact=exact)


def test_left_out_entries_keep_their_numbers_and_the_rest_goes_to_the_newest_mark() -> None:
    base, archive = QUIET.base(500), QUIET.archive()
    asked = MomentRequest(without=LogEntry(shard_id=ShardId(1), index=7))
    moment = resolve(asked, base, archive)
    assert moment.at_ms == archive.marks[-1].at_ms
    assert moment.instant
    assert {s.shard_id: s.left_out for s in moment.shards} == {0: (), 1: (7,), 2: ()}
    assert moment.entries == sum(shard.entries for shard in moment.shards) - 1
    both = replace_request(asked, at_ms=START_MS + 6_000)
    assert resolve(both, base, archive).at_ms <= START_MS + 6_000
    early = replace_request(asked, at_ms=START_MS + 1_000)
    assert "comes after that moment" in refusal(early, base, archive)


def replace_request(asked: MomentRequest, **more: object) -> MomentRequest:
    fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
    return MomentRequest(**{**fields, **more})


def test_entries_of_other_shards_that_belong_to_it_are_cut_or_left_out_too() -> None:
    base, archive = QUIET.base(0), QUIET.archive()
    belonging = {QUIET.key(0): 5, QUIET.key(2): 6}
    entry = LogEntry(shard_id=ShardId(1), index=5)
    without = resolve(MomentRequest(without=entry), base, archive, belonging=belonging)
    assert [shard.left_out for shard in without.shards] == [(5,), (5,), (6,)]
    before = resolve(MomentRequest(before=entry), base, archive, belonging=belonging)
    assert [shard.last for shard in before.shards] == [4, 4, 5]


def test_a_mark_is_found_by_its_name_and_an_unknown_one_names_the_others() -> None:
    base, archive = QUIET.base(0), QUIET.archive()
    named = replace(archive, marks=(*archive.marks, QUIET.mark(2_000, "before-migration")))
    moment = resolve(MomentRequest(mark="before-migration"), base, named)
    assert (moment.mark, moment.at_ms) == ("before-migration", START_MS + 2_000)
    assert "'before-migration'" in refusal(MomentRequest(mark="other"), base, named)
    assert "cleancut mark" in refusal(MomentRequest(mark="other"), base, archive)


def test_a_mark_is_judged_again_from_its_rounds() -> None:
    base, mark = QUIET.base(0), QUIET.mark(2_000, "m")
    moved = tuple(
        MarkEnd(
            collection=end.collection,
            shard=end.shard,
            peer=end.peer,
            chain=end.chain,
            last=end.last - 1,
        )
        for end in mark.ends
    )
    torn = Mark(
        name="m",
        at_ms=mark.at_ms,
        before=MarkRound(number=1, ends=moved),
        after=mark.after,
    )
    archive = replace(QUIET.archive(), marks=(torn,))
    assert "not proven to be one instant" in refusal(MomentRequest(mark="m"), base, archive)
    assert "not proven" in refusal(at(2_000), base, archive)


def test_no_mark_near_names_the_nearest_and_the_exact_way() -> None:
    base, archive = QUIET.base(0), QUIET.archive()
    far = replace(archive, marks=(QUIET.mark(1_000), QUIET.mark(900_000)))
    text = refusal(at(600_000), base, far)
    assert "no mark is within 5 minutes" in text
    assert "--at 2027-01-15T08:00:01.000Z and --at 2027-01-15T08:15:00.000Z" in text
    assert "--exact" in text


@pytest.mark.parametrize(
    ("asked", "change", "said"),
    [
        (at(5_000), {"damage": "pack p is missing"}, "damaged: pack p is missing"),
        (at(1_000), {"cut_ms": START_MS}, "older than backup #1"),
        (at(1_000, exact=True), {}, "before backup #1"),
        (at(20_000, exact=True), {}, "reaches to"),
    ],
)
def test_a_base_that_does_not_serve_says_why(
    asked: MomentRequest, change: dict[str, object], said: str
) -> None:
    base = replace(QUIET.base(2_000), **change)  # type: ignore[arg-type]
    assert said in refusal(asked, base, QUIET.archive())


def test_holes_breaks_and_late_chains_are_named() -> None:
    base, archive = QUIET.base(1_000), QUIET.archive()
    views = dict(archive.chains)
    holed = replace(views["chain-1"], ranges=((0, 6), (8, 13)), damage="chunk 7 is damaged")
    assert "it holds 0 to 6, 8 to 13 (chunk 7 is damaged)" in refusal(
        at(9_000), base, replace(archive, chains={**views, "chain-1": holed})
    )
    short = replace(views["chain-1"], ranges=((0, 6),))
    assert "it holds 0 to 6" in refusal(
        at(9_000), base, replace(archive, chains={**views, "chain-1": short})
    )
    view = views["chain-1"]
    late = replace(view, chain=with_first(view.chain, 2))
    assert "followed from entry 2 on" in refusal(
        at(9_000), base, replace(archive, chains={**views, "chain-1": late})
    )
    end = ChainEnd(chain="chain-1", last=6, at_ms=START_MS + 4_000, reason="recovered in place")
    ended = replace(archive, chains={**views, "chain-1": replace(view, end=end)})
    text = refusal(at(9_000, exact=True), base, ended)
    assert "was broken at" in text
    assert "recovered in place" in text
    other = Base(
        base.epoch,
        base.cut_ms,
        {**base.shards, QUIET.key(1): replace(base.shards[QUIET.key(1)], chain="chain-9")},
    )
    assert "was broken" in refusal(at(9_000), other, archive)


def with_first(chain: Chain, first: int) -> Chain:
    fields = {name: getattr(chain, name) for name in chain.__struct_fields__}
    return Chain(**{**fields, "first": first})


def test_collections_are_those_that_are_archived() -> None:
    base, archive = QUIET.base(0), QUIET.archive()
    other = "other", ShardId(0)
    mixed = Base(base.epoch, base.cut_ms, {**base.shards, other: BaseShard("", 1, 0)})
    moment = resolve(at(5_000), mixed, archive)
    assert {shard.collection for shard in moment.shards} == {"docs"}
    assert moment.warnings == ("not archived, so not restored: other",)
    assert "was not archived" in refusal(at(5_000), mixed, archive, ["other"])
    assert "no collection 'docz'" in refusal(at(5_000), mixed, archive, ["docz"])
    none = Base(base.epoch, base.cut_ms, {other: BaseShard("", 1, 0)})
    assert "no log was archived" in refusal(at(5_000), none, archive)
    two = Base(base.epoch, base.cut_ms, {**base.shards, other: BaseShard("c", 1, 0)})
    entry = LogEntry(shard_id=ShardId(1), index=7)
    with pytest.raises(Invalid, match="several collections"):
        resolve(MomentRequest(before=entry), two, archive)


def test_a_shard_in_doubt_makes_no_base() -> None:
    base = QUIET.base(0)
    doubted = replace(base.shards[QUIET.key(2)], doubt="was not drained")
    shards = {**base.shards, QUIET.key(2): doubted}
    text = refusal(at(5_000), Base(base.epoch, base.cut_ms, shards), QUIET.archive())
    assert "cannot be a base for logs: shard 2 of 'docs' was not drained" in text


def test_an_entry_in_the_base_or_behind_the_archive_is_not_to_be_had() -> None:
    base, archive = QUIET.base(4_000), QUIET.archive()
    inside = MomentRequest(before=LogEntry(shard_id=ShardId(1), index=2))
    assert "is in backup #1 already" in refusal(inside, base, archive)
    beyond = MomentRequest(before=LogEntry(shard_id=ShardId(1), index=900))
    with pytest.raises(NotFound, match="no entry 900"):
        resolve(beyond, base, archive)


@pytest.mark.parametrize(
    "asked",
    [
        MomentRequest(),
        MomentRequest(at_ms=5, mark="m"),
        MomentRequest(at_ms=5, before=LogEntry(shard_id=ShardId(0), index=3)),
        MomentRequest(mark="m", exact=True),
        MomentRequest(at_ms=5, force=True),
        MomentRequest(before=LogEntry(shard_id=ShardId(0), index=0)),
        MomentRequest(
            before=LogEntry(shard_id=ShardId(0), index=3),
            without=LogEntry(shard_id=ShardId(0), index=4),
        ),
        MomentRequest(at_ms=START_MS + 1),
    ],
)
def test_requests_that_contradict_themselves_are_invalid(asked: MomentRequest) -> None:
    with pytest.raises(Invalid):
        check_asked(asked, START_MS)


def test_entries_are_spelled_as_shard_and_index() -> None:
    assert str(parse_entry("2:284")) == "2:284"
    for wrong in ("2", "2:", ":3", "a:3", "2:-1", "2:3:4"):
        with pytest.raises(Invalid):
            parse_entry(wrong)


def test_the_window_of_an_entry_lies_between_two_looks() -> None:
    archive = QUIET.archive()
    when = [w for w, shard in QUIET.writes if shard == 1][4]
    window = window_of(archive, "chain-1", 5)
    assert window.start_ms - START_MS < when <= window.end_ms - START_MS
    first, last = entries_within(archive, "chain-0", window)
    assert first <= QUIET.last(0, when) <= last
    assert nearest(archive, "chain-0", window, [2, QUIET.last(0, when), 12]) == QUIET.last(0, when)


@pytest.mark.parametrize("step_ms", [-3_600_000, 3_600_000])
def test_a_mark_of_a_leader_whose_clock_was_wrong_is_not_taken(step_ms: int) -> None:
    """It would be the newest one before a time at which nothing of it was written yet."""
    history = History([(1_000 * n + 500, n % 3) for n in range(1, 9)], length_ms=9_000)
    base, archive = history.base(0), history.archive()
    wrong = history.mark(8_000)
    wrong = msgspec.structs.replace(wrong, at_ms=wrong.at_ms + step_ms)
    asked = MomentRequest(at_ms=START_MS + 2_100)
    right = restored(resolve(asked, base, archive), base)
    stepped = replace(archive, marks=(*archive.marks, wrong))
    assert restored(resolve(asked, base, stepped), base) == right
    late = MomentRequest(without=LogEntry(shard_id=ShardId(0), index=1))
    assert resolve(late, base, stepped).at_ms == resolve(late, base, archive).at_ms
    early = MomentRequest(at_ms=wrong.at_ms + 10)
    if step_ms < 0:
        with pytest.raises(Refused, match="no mark is within 5 minutes"):
            resolve(early, base, stepped)

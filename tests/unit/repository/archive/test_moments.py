"""Moments in a store: bases and archives that are really there, and what a restore would read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from cleancut.core.archive.entries import parse_entry
from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch, ShardId
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.moment import Moment, MomentRequest, ShardMoment
from cleancut.core.wal.operations import NOTHING, decode_operation
from cleancut.core.wal.segments import plan_segments
from cleancut.repository.archive.log_reader import LogFilter, read_log
from cleancut.repository.archive.moments import find_moment
from cleancut.repository.archive.reader import read_chains
from cleancut.repository.archive.writer import put_chain
from cleancut.repository.catalog import publish_group
from cleancut.repository.packs.pack_cache import PackCache
from cleancut.repository.shards.replay import check_replay, open_replay
from cleancut.testing.memory_store import MemoryStore
from tests.support.archived import Archived, delete_by, entry, upsert
from tests.support.capturing import PATHS, capture, shard_tar
from tests.support.groups import manifest, shard

START_MS = 1_800_000_000_000
NOW_MS = START_MS + 3_000_000
TAR = shard_tar({"vectors": random.Random(1).randbytes(30_000), "id": b"7"})
BASE_END = 8
"""The number of `shard()` in `tests.support.groups`: its entries are replayed from 9 on."""


@dataclass
class World:
    """Backups of two shards of `docs` at 1,000 s and 2,000 s, and writes all the while: shard 0 a
    point each 100 s, shard 1 the same and, at 1,500 s, a delete by filter in both."""

    store: MemoryStore = field(default_factory=MemoryStore)
    chunks: list[str] = field(default_factory=list)

    async def fill(self, recipe: str) -> None:
        archived = Archived(self.store, PATHS, began_ms=START_MS)
        for number in range(2):
            await archived.begin(number)
        await archived.add(START_MS, {n: [NOTHING, *map(upsert, range(8))] for n in range(2)})
        end = BASE_END
        for at_s in range(1_000, 3_000, 100):
            at_ms = START_MS + 1000 * at_s
            if at_s in {1_000, 2_000}:
                await self._publish(at_s, recipe, end)
            one = [delete_by("colour", "red")] if at_s == 1_500 else [upsert(at_s)]
            path = await archived.add(at_ms + 50_000, {0: one, 1: [*one, upsert(1)]})
            self.chunks.append(path)
            end += 1
            await archived.mark(at_ms + 60_000, "m" if at_s == 1_700 else "")

    async def _publish(self, at_s: int, recipe: str, end: int) -> None:
        shards = []
        for number in range(2):
            own = end if number == 0 else BASE_END + 2 * (end - BASE_END)
            made = replace(shard("docs", number), recipe=recipe, chain=f"chain-{number}")
            shards.append(
                replace(
                    made,
                    first=replace(made.first, number=own - 1),
                    second=replace(made.second, number=own),
                )
            )
        group = manifest(at_s, tuple(shards), operation=f"b-{at_s}")
        group = replace(group, cut_at=format_time(START_MS / 1000 + at_s))
        await publish_group(self.store, PATHS, group, encode(group))

    async def find(self, asked: MomentRequest) -> tuple[Manifest, Moment]:
        return await find_moment(self.store, PATHS, asked, now_ms=NOW_MS)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World()
    captured = capture(world.store, tmp_path_factory.mktemp("spill"), TAR)
    asyncio.run(world.fill(captured.recipe_digest))
    return world


@pytest.fixture
def world(filled: World) -> World:
    copy = World(MemoryStore(), filled.chunks)
    copy.store.objects = dict(filled.store.objects)
    return copy


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(bounded())


def lasts(moment: Moment) -> list[int]:
    return [one.last for one in moment.shards]


def test_the_newest_backup_and_mark_before_a_time(world: World) -> None:
    async def scenario() -> None:
        group, moment = await world.find(MomentRequest(at_ms=START_MS + 1_899_000))
        assert group.epoch == 1_000
        assert (moment.at_ms - START_MS, moment.distance_ms) == (1_860_000, 39_000)
        assert moment.instant
        assert lasts(moment) == [BASE_END + 9, BASE_END + 18]
        assert [one.first for one in moment.shards] == [BASE_END + 1] * 2
        group, _ = await world.find(MomentRequest(at_ms=START_MS + 2_500_000))
        assert group.epoch == 2_000

    run(scenario)


def test_a_named_mark(world: World) -> None:
    async def scenario() -> None:
        group, moment = await world.find(MomentRequest(mark="m"))
        assert (group.epoch, moment.mark, moment.at_ms) == (1_000, "m", START_MS + 1_760_000)
        with pytest.raises(NotFound, match="no mark is named 'n'"):
            await world.find(MomentRequest(mark="n"))

    run(scenario)


def test_before_a_delete_by_filter_none_of_its_entries_is_there(world: World) -> None:
    """And the entries between two marks that precede it are."""

    async def scenario() -> None:
        group, moment = await world.find(MomentRequest(before=parse_entry("1:19")))
        assert group.epoch == 1_000
        assert lasts(moment) == [BASE_END + 5, BASE_END + 10]
        assert moment.instant, "a mark is of just that moment"
        assert moment.warnings == ()
        _, moment = await world.find(MomentRequest(before=parse_entry("1:20")))
        assert lasts(moment) == [BASE_END + 5, BASE_END + 11]
        assert not moment.instant

    run(scenario)


def test_without_a_delete_by_filter_none_of_its_entries_is_replayed(world: World) -> None:
    async def scenario() -> None:
        asked = MomentRequest(without=parse_entry("1:19"))
        group, moment = await world.find(asked)
        assert group.epoch == 1_000, "the newer backup lacks the deleted points"
        assert [one.left_out for one in moment.shards] == [(14,), (19,)]
        assert moment.at_ms == START_MS + 2_960_000
        shown = moment.shards[1]
        replayed = [data async for _, data in check_replay(world.store, PATHS, shown)]
        assert replayed[19 - shown.first] == NOTHING
        assert len(replayed) == shown.entries
        kinds = {decode_operation(data).kind for data in replayed}
        assert kinds == {"upsert_points"}

    run(scenario)


def test_entries_that_time_alone_takes_for_those_of_one_request_are_said(world: World) -> None:
    """No mark precedes them, or the one that does counts another number in the other shard."""

    async def scenario() -> None:
        marks = [path for path in world.store.objects if "/marks/" in path]
        for path in marks:
            del world.store.objects[path]
        _, moment = await world.find(MomentRequest(before=parse_entry("1:19")))
        assert lasts(moment) == [BASE_END + 5, BASE_END + 10]
        (warning,) = moment.warnings
        assert "no mark says" in warning
        assert "of 1:19; 0:14 by time alone" in warning
        _, moment = await world.find(MomentRequest(without=parse_entry("0:14")))
        assert moment.shards[1].left_out == (19,)
        assert "1:19 by time alone" in moment.warnings[0]
        _, moment = await world.find(MomentRequest(before=parse_entry("1:20")))
        assert moment.warnings == (), "it is of one shard"

    run(scenario)


@pytest.mark.parametrize("backed_up", [False, True])
def test_of_the_same_request_made_twice_the_entries_of_one_are_taken(
    world: World, backed_up: bool
) -> None:
    """Both are in one look at each log; the mark before them says which is the second, also if it
    is older than the backup."""

    async def scenario() -> None:
        archived = Archived(world.store, PATHS, began_ms=START_MS)
        archived._stream.stream = "stream-2"
        archived._next = {0: BASE_END + 21, 1: BASE_END + 41}
        await archived.add(NOW_MS - 35_000, {0: [upsert(1)], 1: [upsert(2), upsert(3)]})
        if backed_up:
            group, _ = await world.find(MomentRequest(mark="m"))
            await world._publish(2_970, group.shards[0].recipe, BASE_END + 21)
        blue = delete_by("colour", "blue")
        await archived.add(
            NOW_MS - 1_000,
            {0: [blue, upsert(1), blue], 1: [upsert(2), blue, upsert(3), upsert(4), blue]},
        )
        await archived.mark(NOW_MS - 500)
        for first, second in ((30, 52), (32, 55)):
            for asked in (f"0:{first}", f"1:{second}"):
                group, moment = await world.find(MomentRequest(before=parse_entry(asked)))
                assert group.epoch == (2_970 if backed_up else 2_000)
                assert lasts(moment) == [first - 1, second - 1]
                without = MomentRequest(without=parse_entry(asked), force=True)
                _, moment = await world.find(without)
                assert [one.left_out for one in moment.shards] == [(first,), (second,)]

    run(scenario)


@pytest.mark.parametrize("asked", ["before", "without"])
def test_an_entry_that_is_not_archived_is_said_with_what_is(world: World, asked: str) -> None:
    async def scenario() -> None:
        request = MomentRequest(**{asked: parse_entry("0:99999")})
        with pytest.raises(NotFound, match="no entry 99999 of shard 0 of 'docs'") as caught:
            await world.find(request)
        assert "it holds 0 to 28" in caught.value.hint

    run(scenario)


def test_entries_that_depend_on_the_one_left_out_are_refused(world: World) -> None:
    async def scenario() -> None:
        asked = MomentRequest(without=parse_entry("1:17"))
        with pytest.raises(Refused, match=r"entry 19 \(delete_points_by_filter\)") as caught:
            await world.find(asked)
        assert "--force" in caught.value.hint
        _, moment = await world.find(replace(asked, force=True))
        assert "entry 19" in moment.warnings[0]
        assert moment.shards[1].left_out == (17,)

    run(scenario)


def test_a_lost_chunk_is_a_gap_and_a_damaged_base_is_passed_over(world: World) -> None:
    async def scenario() -> None:
        lost = world.chunks[3]
        data = world.store.objects.pop(lost)
        with pytest.raises(Refused, match=r"lacks entries of shard 0 of 'docs': 9 to 14"):
            await world.find(MomentRequest(at_ms=START_MS + 1_599_000))
        _, moment = await world.find(MomentRequest(at_ms=START_MS + 1_299_000))
        assert lasts(moment)[0] == BASE_END + 3
        world.store.objects[lost] = data
        broken = {p: d for p, d in world.store.objects.items() if p != PATHS.group(Epoch(2_000))}
        world.store.objects = broken
        group, _ = await world.find(MomentRequest(at_ms=START_MS + 2_500_000))
        assert group.epoch == 1_000
        for path in [p for p in broken if "/packs/" in p]:
            del broken[path]
        with pytest.raises(Refused, match="is damaged"):
            await world.find(MomentRequest(at_ms=START_MS + 2_500_000))

    run(scenario)


def test_before_the_oldest_backup_there_is_nothing(world: World) -> None:
    async def scenario() -> None:
        with pytest.raises(Refused, match=r"no backup was made before 2027-01-15T08:15:00"):
            await world.find(MomentRequest(at_ms=START_MS + 900_000))
        with pytest.raises(Refused, match="no mark is within 5 minutes"):
            await find_moment(
                world.store,
                PATHS,
                MomentRequest(at_ms=NOW_MS + 600_000),
                now_ms=NOW_MS + 600_000,
            )

    run(scenario)


def test_a_log_whose_agent_was_lost_is_not_cut_where_it_was_seen_last(world: World) -> None:
    """It says no end of its chain; another one follows the shard since."""

    async def scenario() -> None:
        chain = (await read_chains(world.store, PATHS))["chain-0"]
        lost = replace(chain, id="later", created_at_ms=START_MS + 2_400_000)
        await put_chain(world.store, PATHS, lost)
        early = MomentRequest(at_ms=START_MS + 2_300_000, exact=True)
        _, moment = await world.find(early)
        assert not moment.instant
        with pytest.raises(Refused, match=r"shard 0 of 'docs' was broken at .*another replica"):
            await world.find(replace(early, at_ms=START_MS + 2_700_000))

    run(scenario)


def test_a_chunk_of_an_agent_whose_clock_is_ahead_is_found(world: World) -> None:
    async def scenario() -> None:
        archived = Archived(world.store, PATHS, began_ms=START_MS)
        archived._stream.stream = "stream-2"
        archived._next = {0: BASE_END + 21, 1: BASE_END + 41}
        await archived.add(NOW_MS + 5_000, {0: [upsert(1)], 1: [upsert(2)]})
        await archived.mark(NOW_MS - 1_000, "ahead")
        _, moment = await world.find(MomentRequest(mark="ahead"))
        assert lasts(moment) == [BASE_END + 21, BASE_END + 41]

    run(scenario)


def test_a_flipped_byte_is_found_before_anything_is_created(world: World) -> None:
    async def scenario() -> None:
        _, moment = await world.find(MomentRequest(at_ms=START_MS + 1_899_000))
        data = world.store.objects[world.chunks[4]]
        world.store.objects[world.chunks[4]] = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
        with pytest.raises(Corrupt):
            async for _ in check_replay(world.store, PATHS, moment.shards[0]):
                pass

    run(scenario)


def test_the_served_tar_has_the_length_that_was_said(world: World) -> None:
    async def scenario() -> None:
        group, moment = await world.find(MomentRequest(without=parse_entry("1:19")))
        one: ShardMoment = moment.shards[1]
        replay = await open_replay(world.store, PATHS, group.shards[1].recipe, one)
        pieces = replay.tar(world.store, PATHS, PackCache(world.store))
        served = b"".join([piece async for piece in pieces])
        assert len(served) == replay.tar_bytes
        (plan,) = plan_segments([0], one.first)
        assert f"wal/{plan.name}".encode() in served
        assert NOTHING in served

    run(scenario)


def test_the_log_says_what_was_written_when(world: World) -> None:
    async def scenario() -> None:
        wanted = LogFilter("docs", START_MS + 1_400_000, START_MS + 1_700_000)
        found, truncated = await read_log(world.store, PATHS, wanted)
        assert not truncated
        assert [one.at_ms for one in found] == sorted(one.at_ms for one in found)
        assert {(one.chain.shard, one.index) for one in found} == {
            *((ShardId(0), n) for n in (13, 14, 15)),
            *((ShardId(1), n) for n in range(17, 23)),
        }
        only = LogFilter(
            "docs", START_MS, NOW_MS, kinds=["delete_points_by_filter"], grep='"red"', limit=1
        )
        (one,), truncated = await read_log(world.store, PATHS, only)
        assert truncated
        assert (one.at_ms - START_MS, one.index) == (1_550_000, 19)
        assert one.operation.filter is not None
        with pytest.raises(NotFound, match="no log of 'other'"):
            await read_log(world.store, PATHS, LogFilter("other", START_MS, NOW_MS))

    run(scenario)


def test_an_entry_of_an_unknown_kind_is_shown_as_such(world: World) -> None:
    async def scenario() -> None:
        archived = Archived(world.store, PATHS, "odd", began_ms=START_MS)
        archived.chain = lambda shard: "odd-0"  # type: ignore[method-assign]
        archived._stream.stream = "stream-2"
        await archived.begin(0)
        await archived.add(START_MS + 5_000, {0: [NOTHING, entry("resharded", 1)]})
        found, _ = await read_log(world.store, PATHS, LogFilter("odd", START_MS, NOW_MS))
        assert [one.operation.kind for one in found] == ["upsert_points", "unknown"]

    run(scenario)

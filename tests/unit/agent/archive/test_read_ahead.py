"""Reading ahead: what is removed while an agent has no session is in its chain all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cleancut.core.archive.following import AWAY_S
from cleancut.repository.archive.reader import ArchiveIndex
from cleancut_agent.archive.read_ahead import POLL_S, ReadAhead
from tests.unit.agent.archive.test_follower import LOG, PATHS, TASK, Place, until


async def followed(tmp_path: Path) -> Place:
    """A place whose agent had a session, until what was written first was stored."""
    place = Place(tmp_path)
    await place.plan(TASK)
    async with place.process(), place.following():
        place.write(30)
        await place.until_stored()
    return place


def test_what_is_removed_while_a_new_process_waits_for_a_session_is_read_before(
    tmp_path: Path,
) -> None:
    """As after KILL: the lease of the one before lasts longer than small segments do."""

    async def body() -> None:
        place = await followed(tmp_path)
        (old,) = [one.id for one in await place.chains()]
        async with place.process():
            for _ in range(5):
                place.write(60)
                await place.until_read_ahead()
                place.remove_old()
            async with place.following():
                assert await place.until_stored() == old
        assert await place.stored(old) == place.written
        assert await place.ends() == {}
        assert place.disk.open_handles == 0

    asyncio.run(body())


def test_what_is_removed_between_two_sessions_is_read_before(tmp_path: Path) -> None:
    """As while etcd is away; what was read and not stored is not lost either."""

    async def body() -> None:
        place = Place(tmp_path)
        await place.plan(TASK)
        async with place.process():
            async with place.following():
                place.write(30)
                old = await place.until_stored()
                place.store.away = True
                place.write(3)
            place.store.away = False
            for _ in range(5):
                place.write(60)
                await place.until_read_ahead()
                place.remove_old()
            async with place.following():
                assert await place.until_stored() == old
        assert await place.stored(old) == place.written
        assert place.disk.open_handles == 0

    asyncio.run(body())


def test_what_is_read_without_a_session_is_bounded_and_let_go_of(tmp_path: Path) -> None:
    async def body() -> None:
        place = await followed(tmp_path)
        async with place.process(held_bytes=600):
            begun_s = place.clock.now_s
            place.write(500)
            await place.until_read_ahead()

            async def let_go() -> bool:
                return place.disk.open_handles == 0

            await until(let_go)
            assert place.clock.now_s > begun_s - POLL_S + AWAY_S  # not full at the look before
            async with place.following():
                chain = await place.until_stored()
        assert await place.stored(chain) == place.written

    asyncio.run(body())


def test_a_log_that_another_process_went_on_with_is_opened_again(tmp_path: Path) -> None:
    async def body() -> None:
        place = await followed(tmp_path)
        (chain,) = [one.id for one in await place.chains()]
        async with place.process():
            place.write(10)
            await place.until_read_ahead()
            mine, other = place.ahead, ReadAhead(place.context(), LOG)
            place.ahead = other
            async with place.following():
                await place.until_stored()
            other.close()
            place.ahead = mine
            place.write(10)
            async with place.following():
                await place.until_stored()
        assert await place.stored(chain) == place.written
        assert [one.id for one in await place.chains()] == [chain]

    asyncio.run(body())


def test_a_chain_of_which_nothing_is_stored_yet_begins_where_it_was_to(tmp_path: Path) -> None:
    """Its agent was killed at once, and its first entry is amid a segment."""

    async def body() -> None:
        place = Place(tmp_path)
        place.write(30)
        place.disk.create("first-index")
        place.disk.write("first-index", 0, b'{"ack_index": 17}')
        await place.plan(TASK)
        place.store.away = True

        async def said() -> str:
            state = await place.state()
            return state.shards[0].chain if state and state.shards else ""

        async with place.process(), place.following():
            chain = await until(said)
        place.store.away = False
        async with place.process():
            await place.until_read_ahead()
            place.write(3)
            async with place.following():
                assert await place.until_stored() == chain
        (begun,) = await place.chains()
        assert begun.first == 17
        assert await place.ends() == {}
        index = await ArchiveIndex.load(
            place.store, PATHS, chains=[chain], since_ms=0, until_ms=10**15
        )
        assert index.coverage(chain) == (17, len(place.written) - 1)

    asyncio.run(body())

"""Reads of the own peer that outlast its being started anew."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from cleancut.core.primitives.errors import TimedOut, Unavailable
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.health import serve
from cleancut_agent.wait_for_peer import PEER_BACK_S, retry_until_reachable

AWAY = Unavailable("cannot reach Qdrant")


class QuickClock(SystemClock):
    """Its sleeps take no time but count as if they did."""

    slept_s = 0.0

    def monotonic_s(self) -> float:
        return self.slept_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


def _read(answers: list[Exception | int], clock: QuickClock) -> int:
    async def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return asyncio.run(retry_until_reachable(clock, read))


def test_a_peer_that_comes_back_is_read_again() -> None:
    clock = QuickClock()
    assert _read([AWAY, AWAY, 7], clock) == 7
    assert 0 < clock.slept_s < PEER_BACK_S


def test_a_peer_that_stays_away_is_told_after_the_bound() -> None:
    clock = QuickClock()
    with pytest.raises(Unavailable):
        _read([AWAY] * 10_000, clock)
    assert PEER_BACK_S <= clock.slept_s < PEER_BACK_S + 10


@pytest.mark.parametrize("refusal", [Unavailable("500 dirty shard", "", status=500), TimedOut("?")])
def test_what_the_peer_itself_says_is_told_at_once(refusal: Exception) -> None:
    clock = QuickClock()
    with pytest.raises(type(refusal)):
        _read([refusal, 7], clock)
    assert clock.slept_s == 0


def test_a_read_without_an_answer_is_not_called_a_change_of_unknown_outcome() -> None:
    """The hint of a write would send people to look for what was changed."""

    async def scenario() -> None:
        ended = asyncio.Event()

        async def hang(_: web.Request) -> web.Response:
            await ended.wait()
            return web.Response()

        app = web.Application()
        for add in (app.router.add_get, app.router.add_post):
            add("/{path:.*}", hang)
        async with serve(app, "127.0.0.1", 0) as port, Qdrant(f"http://127.0.0.1:{port}") as peer:
            for read in (peer.collections(0.1), peer.count("docs", 0, timeout_s=0.1)):
                with pytest.raises(TimedOut) as slow:
                    await read
                assert "nothing was changed" in slow.value.hint
            with pytest.raises(TimedOut) as unknown:
                await peer.drain("docs", (0,), (), timeout_s=0.1)
            assert "outcome is unknown" in unknown.value.hint
            ended.set()

    asyncio.run(scenario())


def test_a_read_that_breaks_off_has_changed_nothing() -> None:
    """A count is a POST, and still no change whose outcome is unknown; a drain is one."""

    async def scenario() -> None:
        async def hang_up(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        app = web.Application()
        app.router.add_post("/{path:.*}", hang_up)
        async with serve(app, "127.0.0.1", 0) as port, Qdrant(f"http://127.0.0.1:{port}") as peer:
            with pytest.raises(Unavailable):
                await peer.count("docs", 0)
            with pytest.raises(TimedOut):
                await peer.drain("docs", (0,), (), timeout_s=5.0)

    asyncio.run(scenario())

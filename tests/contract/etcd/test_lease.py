"""When a lease counts as lost, with every instant chosen: no etcd, and a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cleancut.core.primitives.errors import LeaseLost, TimedOut, Unavailable
from cleancut.etcd.lease import HeldLease, margin_s
from cleancut.runtime.clock import SystemClock

TTL_S = 10.0


class JumpClock(SystemClock):
    """Sleeping takes no time of ours."""

    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


class Server:
    """Answers keepalives as the test says, after `took_s`, then no more."""

    def __init__(self, clock: JumpClock, answers: list[Callable[[], float]]) -> None:
        self.asked_s: list[float] = []
        self.took_s = self.slow_s = 0.0
        self._clock = clock
        self.answers = answers

    async def grant(self, ttl_s: int) -> tuple[int, float]:
        return 1, float(ttl_s)

    async def keep_alive(self, lease: int, timeout_s: float) -> float:
        assert 0 < timeout_s <= TTL_S
        self.asked_s.append(self._clock.now_s)
        if self.slow_s > timeout_s:
            self._clock.now_s += timeout_s
            raise TimedOut("no answer yet")
        if not self.answers:
            return unavailable()
        self._clock.now_s += self.took_s
        return self.answers.pop(0)()

    async def revoke(self, lease: int) -> None:
        pass


def unavailable() -> float:
    raise Unavailable("cut off")


def unknown() -> float:
    raise LeaseLost("etcd no longer knows the lease")


def whole() -> float:
    return TTL_S


def held(clock: JumpClock, *answers: Callable[[], float]) -> tuple[HeldLease, Server]:
    server = Server(clock, list(answers))
    lease = HeldLease(server, clock, 1, clock.now_s)
    lease.renewed(clock.now_s, TTL_S)
    return lease, server


def test_margin() -> None:
    """A fifth of the TTL, and at least a second."""
    assert (margin_s(5), margin_s(15)) == (1, 3)


def test_without_answers_it_is_lost_in_time() -> None:
    """Keepalives from a third of the TTL on, retried often; lost at TTL - margin; for good."""
    clock = JumpClock()
    lease, server = held(clock)
    asyncio.run(lease.keep())
    assert clock.now_s == pytest.approx(1000 + 8, abs=0.2)
    assert server.asked_s[0] == pytest.approx(1000 + TTL_S / 3)
    assert len(server.asked_s) > 10
    assert not lease.alive()
    lease.renewed(clock.now_s, TTL_S)
    assert not lease.alive()
    assert lease.remaining_s() <= 0


def test_the_time_counts_from_before_sending() -> None:
    """An answer that took 2 s prolongs the lease by 2 s less."""
    clock = JumpClock()
    lease, server = held(clock, whole)
    server.took_s = 2.0

    asyncio.run(lease.keep())
    assert clock.now_s == pytest.approx(server.asked_s[0] + 8, abs=0.2)


def test_answers_that_are_slow_are_waited_for() -> None:
    """A process with much to do sees each answer late: a try that was given up is followed by a
    more patient one."""
    clock = JumpClock()
    lease, server = held(clock, whole, whole, whole)
    server.slow_s = server.took_s = 2.5
    asyncio.run(lease.keep())
    assert clock.now_s > 1000 + 3 * TTL_S / 3 + 8
    assert not server.answers


def test_an_answer_after_the_deadline_changes_nothing() -> None:
    """Sent in time, answered by a server that had prolonged it, read too late: lost for good."""
    clock = JumpClock()
    lease, server = held(clock, whole)
    server.took_s = 6.0
    asyncio.run(lease.keep())
    assert len(server.asked_s) == 1
    assert not lease.alive()
    assert lease.remaining_s() <= 0


@pytest.mark.parametrize("answer", [unknown, lambda: 0.0, lambda: -1.0])
def test_a_server_that_knows_nothing_of_it(answer: Callable[[], float]) -> None:
    """Lost at once, though the clock would allow more, and `wait_lost` says why."""
    clock = JumpClock()
    lease, _ = held(clock, whole, answer)
    asyncio.run(lease.keep())
    assert clock.now_s == pytest.approx(1000 + 2 * TTL_S / 3)
    assert not lease.alive()
    assert lease.remaining_s() <= 0
    assert asyncio.run(lease.wait_lost()) == "etcd no longer knows the lease"


def test_a_wait_under_way_ends_when_the_server_says_so() -> None:
    """Seconds before the lease would be over by the clock."""
    clock = JumpClock()
    lease, _ = held(clock, unknown)

    async def body() -> str:
        async with asyncio.timeout(TTL_S / 2), asyncio.TaskGroup() as group:
            waiting = group.create_task(lease.wait_lost())
            await asyncio.sleep(0)
            await lease.keep()
        return waiting.result()

    assert asyncio.run(body()) == "etcd no longer knows the lease"

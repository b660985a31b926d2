"""A lease kept alive in the background of a block, judged by the local clock alone.

Used by the real client and by the in-memory one: they only differ in the three calls below.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from types import TracebackType
from typing import Protocol

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    LeaseLost,
    TimedOut,
    Unavailable,
)
from cleancut.ports.clock import Clock

MIN_TTL_S = 5
_LATE_S = 0.01
"""How late `wait_lost` may be."""
REVOKE_S = 2.0
RETRY_S = 0.1
TRY_S = 2.0
"""How long a first try waits for its answer, so that another member is asked soon; each try that
is not answered doubles it, so that a process with much to do gets its answer as well."""


class LeaseCalls(Protocol):
    """What a server of leases answers. Raises: Unavailable, TimedOut, Denied, LeaseLost."""

    async def grant(self, ttl_s: int) -> tuple[int, float]:
        """Id and granted TTL of a new lease."""
        ...

    async def keep_alive(self, lease: int, timeout_s: float) -> float:
        """The TTL that the lease has again from now; <= 0 if it is gone. One try."""
        ...

    async def revoke(self, lease: int) -> None: ...


def margin_s(ttl_s: float) -> float:
    """What is taken off a lease, for the time between a check and the end of what it allowed."""
    return max(1.0, ttl_s / 5)


class HeldLease:
    """One granted lease; `keep` prolongs it until it is lost.

    **Invariant:** once lost, lost for good, even when a late answer prolongs it at the server.
    """

    def __init__(self, calls: LeaseCalls, clock: Clock, lease: int, sent_s: float) -> None:
        self._calls = calls
        self._clock = clock
        self._id = lease
        self._sent_s = sent_s
        self._ttl_s = 0.0
        self._deadline_s = sent_s
        self._lost = ""
        self._refused = asyncio.Event()
        self._tries = 0

    @property
    def id(self) -> int:
        return self._id

    def remaining_s(self) -> float:
        left_s = self._left_s()
        if left_s <= 0 and not self._lost:
            self._lost = f"no keepalive was answered within {self._ttl_s:g} s"
        return min(left_s, 0.0) if self._lost else left_s

    def _left_s(self) -> float:
        return self._deadline_s - self._clock.monotonic_s()

    def alive(self) -> bool:
        return self.remaining_s() > 0

    async def wait_lost(self) -> str:
        """Returns at once when etcd says so, or as soon as the time is over."""
        while self.alive():
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self.remaining_s(), _LATE_S)):
                    await self._refused.wait()
        return self._lost

    def renewed(self, sent_s: float, ttl_s: float) -> None:
        """Counts from before the request was sent: the server counts from later on."""
        self._sent_s, self._ttl_s = sent_s, ttl_s
        self._deadline_s = sent_s + ttl_s - margin_s(ttl_s)

    async def keep(self) -> None:
        """Returns once the lease is lost. A third of the TTL lies between two keepalives."""
        due_s = self._sent_s + self._ttl_s / 3
        while self.alive():
            await self._clock.sleep(max(due_s - self._clock.monotonic_s(), 0.0))
            sent_s = self._clock.monotonic_s()
            due_s = sent_s + (self._ttl_s / 3 if await self._renew(sent_s) else RETRY_S)

    async def _renew(self, sent_s: float) -> bool:
        wait_s = min(TRY_S, self._ttl_s / 5) * 2**self._tries
        try:
            ttl_s = await self._calls.keep_alive(self._id, min(wait_s, max(TRY_S, self._left_s())))
        except TimedOut:
            self._tries += 1
            return False
        except Unavailable:
            return False
        except (LeaseLost, Denied) as error:
            self._end(error.message)
            return False
        if ttl_s <= 0:
            self._end("etcd no longer knows the lease")
        elif self.alive():
            self._tries = 0
            self.renewed(sent_s, ttl_s)
        return True

    def _end(self, why: str) -> None:
        self._lost = self._lost or why
        self._refused.set()


class LeaseBlock:
    """`async with` grants a lease, keeps it alive, and revokes it at the end, within 2 s.

    Losing it never ends the body: the body asks `alive()` and waits on `wait_lost()`.
    """

    def __init__(self, calls: LeaseCalls, clock: Clock, ttl_s: float) -> None:
        if ttl_s < MIN_TTL_S:
            raise Invalid(
                f"a lease of {ttl_s:g} s", f"{MIN_TTL_S} s is the least that survives a busy etcd"
            )
        self._calls = calls
        self._clock = clock
        self._ttl_s = math.ceil(ttl_s)

    async def __aenter__(self) -> HeldLease:
        sent_s = self._clock.monotonic_s()
        lease, ttl_s = await self._calls.grant(self._ttl_s)
        self._held = HeldLease(self._calls, self._clock, lease, sent_s)
        self._held.renewed(sent_s, ttl_s)
        # Entered by hand, so that what the body raises leaves as it is, not in a group.
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._keeper = self._group.create_task(self._held.keep(), name=f"lease {lease:x}")
        return self._held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._keeper.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            await self._revoke()

    async def _revoke(self) -> None:
        """A lease that cannot be revoked runs out by itself, so failing is not an error."""
        with suppress(CleancutError, TimeoutError):
            async with asyncio.timeout(REVOKE_S):
                await self._calls.revoke(self._held.id)

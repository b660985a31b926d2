"""Watchdog of fences on the local peer: a fence outlives neither its budget nor its epoch, alone or
not.

While this agent takes part in an epoch, its own clock ends the fence at the budget. Any other
fenced alias that its peer shows belongs to an epoch that is over, or to an unknown one: etcd
decides which. Without etcd, and if another installation raised it, it is lifted once it has been
seen for longer than any budget.
"""

from __future__ import annotations

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, TimedOut, Unavailable
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.fence import (
    BUDGET_LIMIT_S,
    Fence,
    LeftoverFence,
    is_raised,
    leftover_fences,
    tag_of,
)
from cleancut.core.protocol.states import FENCED
from cleancut.fencing.aliases import give_back
from cleancut.runtime.log import Logger
from cleancut_agent.context import AgentContext
from cleancut_agent.metrics import AgentMetrics

POLL_S = 5.0
ARMED_POLL_S = 0.25
LIFT_S = 5.0
ASK_S = 2.0
_CONFIRM_POLL_S = 0.01
_AFTERMATH_S = 15.0
"""How long after a fence's end its peer is looked at often: a change that was under way when it was
given up can still come."""


class FenceWatchdog:
    """One a process: it outlives sessions."""

    def __init__(self, context: AgentContext, *, metrics: AgentMetrics, log: Logger) -> None:
        self._context, self._metrics, self._log = context, metrics, log
        self._ends_s: dict[tuple[str, Epoch], float] = {}
        self._installation = ""
        self._seen_s: dict[str, float] = {}
        self._stuck: set[str] = set()

    async def confirm(self, epoch: Epoch) -> Fence:
        """The epoch's fence, as soon as the local peer shows it raised; its end is armed before.

        Raises: Unavailable (etcd names no such fence any more), TimedOut (the budget is over).
        """
        context = self._context
        key = context.keys.fence(epoch)
        found = await context.etcd.get(key)
        if found is None:
            raise Unavailable(f"the fence of epoch {epoch} was lifted already")
        fence = decode(Fence, found.value, key)
        ends_s = context.clock.monotonic_s() + fence.budget_s
        self._ends_s[fence.installation, epoch] = ends_s
        while not is_raised(fence, await context.qdrant.aliases(fence.budget_s)):
            if context.clock.monotonic_s() >= ends_s:
                raise TimedOut(f"its peer did not see the fence within {fence.budget_s:g} s")
            await context.clock.sleep(_CONFIRM_POLL_S)
        return fence

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                await self._look()
            except CleancutError as error:
                self._log.debug("fences not looked for", cause=error.message)
            await self._context.clock.sleep(ARMED_POLL_S if self._ends_s else POLL_S)

    async def _look(self) -> None:
        now_s = self._context.clock.monotonic_s()
        for one in [one for one, ends_s in self._ends_s.items() if now_s > ends_s + _AFTERMATH_S]:
            del self._ends_s[one]
        there = leftover_fences(await self._context.qdrant.aliases(ASK_S))
        self._seen_s = {one.name: self._seen_s.get(one.name, now_s) for one in there}
        self._stuck &= set(self._seen_s)
        for stray in there:
            if await self._is_over(stray, now_s):
                await self._lift(stray)
        self._metrics.set_stuck(len(self._stuck))

    async def _is_over(self, stray: LeftoverFence, now_s: float) -> bool:
        """Order: the own clock first, so that neither etcd nor a leader can prolong a fence."""
        armed_s = self._ends_s.get((stray.installation, stray.epoch))
        if armed_s is not None:
            return now_s >= armed_s
        if now_s >= self._seen_s[stray.name] + BUDGET_LIMIT_S:
            return True
        try:
            if stray.installation != await self._own():
                return False
            found = await self._context.etcd.get(self._context.keys.ctl)
            ctl = decode(Ctl, found.value, found.key) if found else Ctl()
        except CleancutError:
            return False
        return ctl.epoch != stray.epoch or ctl.phase not in FENCED

    async def _own(self) -> str:
        """This installation's, read once."""
        if not self._installation:
            found = await self._context.etcd.get(self._context.keys.id)
            self._installation = tag_of(found.value.decode(errors="replace")) if found else ""
        return self._installation

    async def _lift(self, stray: LeftoverFence) -> None:
        try:
            lifted = await give_back(self._context.qdrant, stray.name, stray.alias, LIFT_S)
        except CleancutError as error:  # one that cannot be lifted keeps no other from being lifted
            if stray.name not in self._stuck:
                self._log.error("fence stays", cause=error.message, hint=error.hint)
            self._stuck.add(stray.name)
            return
        if lifted:
            self._metrics.count_lifted()
            self._log.warning("fence lifted", alias=stray.alias, epoch=stray.epoch)

"""Taker of marks: rounds are asked for until no archived shard moves, and that is stored."""

from __future__ import annotations

import asyncio

from cleancut.core.archive.marks import MARK_S, asked, is_durable, mark_of, missing_from, round_of
from cleancut.core.archive.plan import ArchivePlan, RoundEnds, RoundRequest
from cleancut.core.archive.records import Mark, MarkRound
from cleancut.core.primitives.errors import CleancutError, Refused, TimedOut
from cleancut.core.primitives.ids import AgentName, FencingToken
from cleancut.core.protocol.etcd_keys import agent_of
from cleancut.repository.archive.writer import put_mark
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import (
    decode_or_skip,
    read_archive_plan,
    read_archive_states,
    read_marked_ms,
    read_sessions,
)
from cleancut_coordinator.leader.looks import look_for_ever
from cleancut_coordinator.leader.state import LeaderState

NAMED_S = 30.0
"""How long a mark that was asked for looks for a standstill, at most, if nothing else is said."""
_LOOK_S = 0.01
_ANSWER_S = 2.0
_DURABLE_LOOK_S = 0.5


class MarkTaker:
    """One term's marks; one is taken at a time. `last_ms`: when the newest one was taken; 0: none
    in this term."""

    def __init__(self, context: CoordinatorContext, token: FencingToken, log: Logger) -> None:
        self._context, self._log = context, log
        self._state = LeaderState(context, token)
        self._turn = asyncio.Lock()
        self.last_ms = 0

    async def run(self) -> None:
        """Takes one from time to time, for ever. Raises: Fenced, if another coordinator leads."""

        def note(error: CleancutError) -> None:
            self._log.debug("no mark", cause=error.message)

        settings = self._context.archive
        if settings.collections:
            await look_for_ever(self._look, self._context.clock, settings.mark_every_s, note)

    async def _look(self) -> None:
        plan = await read_archive_plan(self._context)
        if plan.tasks:
            await self._take(plan, "", MARK_S)

    async def take(self, name: str, bound_s: float) -> Mark:
        """A mark under this name, with all that it needs in the store.

        Raises: Refused, if nothing is archived, or a shard is not followed; TimedOut, if no
            standstill is found, or the chunks are not stored in time; Fenced.
        """
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + bound_s
        plan = await read_archive_plan(self._context)
        if not plan.tasks:
            raise Refused("nothing is archived", "name collections in [archive] of the settings")
        mark = await self._take(plan, name, bound_s)
        if mark is None:
            raise TimedOut(
                f"within {bound_s:g} s there was no moment at which all shards stood still",
                "pause the writers for a moment, or give it more time with --timeout",
            )
        while not is_durable(mark, await read_archive_states(self._context)):
            if clock.monotonic_s() > deadline_s + plan.chunk_s:
                raise TimedOut(
                    f"mark {name!r} is taken, but not all before it is stored yet",
                    "see `cleancut archive status`: it counts as soon as nothing lags behind it",
                )
            await clock.sleep(_DURABLE_LOOK_S)
        return mark

    async def _take(self, plan: ArchivePlan, name: str, bound_s: float) -> Mark | None:
        async with self._turn:
            sessions = await read_sessions(self._context)
            agents = asked(plan, list(sessions))
            clock = self._context.clock
            deadline_s = clock.monotonic_s() + bound_s
            before: MarkRound | None = None
            while clock.monotonic_s() < deadline_s:
                number = await self._begin_round()
                at_ms = int(clock.wall_s() * 1000)
                after = await self._answers(number, agents)
                if after is None:
                    before = None
                    continue
                mark = mark_of(before, after, at_ms, name)
                before = after
                if mark is None:
                    continue
                missing = missing_from(mark, plan)
                if name and missing:
                    raise Refused(
                        f"a shard of {missing[0]!r} is not followed now",
                        "see `cleancut archive status`",
                    )
                nonce = self._context.token_hex(4)
                await put_mark(self._context.store, self._context.paths, mark, nonce)
                self.last_ms = at_ms
                return mark
        return None

    async def _begin_round(self) -> int:
        """Its number. Raises: Fenced."""
        marked_ms = max(self.last_ms, await read_marked_ms(self._context))
        request = RoundRequest(nonce=self._context.token_hex(8), marked_ms=marked_ms)
        return await self._state.put(self._context.keys.archive_round, request)

    async def _answers(self, number: int, agents: frozenset[AgentName]) -> MarkRound | None:
        """What all agents answer; None, if one does not in time."""
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + _ANSWER_S
        while True:
            listing = await self._context.etcd.list(self._context.keys.archive_ends)
            answers = {
                agent_of(item.key): answer
                for item in listing.items
                if (answer := decode_or_skip(self._context, RoundEnds, item)) is not None
            }
            found = round_of(number, answers, agents)
            if found is not None or clock.monotonic_s() > deadline_s:
                return found
            await clock.sleep(_LOOK_S)

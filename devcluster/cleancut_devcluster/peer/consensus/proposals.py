"""Proposals: checked against the newest state, written to the journal, applied by every peer.

One machine only, by design: the journal's lock takes the place of Raft.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cleancut.engine.config import Json
from cleancut_devcluster.peer.consensus.journal import ProposalJournal
from cleancut_devcluster.peer.consensus.state import ClusterState
from cleancut_devcluster.peer.engine.errors import Unreachable, service_error

LOCK_S = 10.0
STOPS = "stop"
"""The entry that no peer can apply: its consensus stops there, also after a restart."""
POKE_S = 2.0
Build = Callable[[ClusterState], Json | None]
Settle = Callable[[list[Json]], Awaitable[None]]
Poke = Callable[[int, float], Awaitable[Any]]


class Consensus:
    """The state of this peer, kept equal to the journal; `settle` makes local effects of it."""

    def __init__(self, journal: ProposalJournal, peer_id: int, settle: Settle, poke: Poke) -> None:
        self.state = ClusterState()
        self._journal = journal
        self._peer_id = peer_id
        self._settle = settle
        self._poke = poke
        self._proposing = asyncio.Lock()
        self._settling = asyncio.Lock()
        self._unsettled: list[Json] = []
        self.stopped = ""
        """Why this peer applies nothing any more, or ""."""
        self._closed = False

    async def propose(
        self, build: Build, timeout_s: float = LOCK_S, *, wait: bool = True
    ) -> Json | None:
        """The entry that `build` makes of the newest state, once it is written; None stays None.

        With `wait` also applied here, and by every peer that answers within `timeout_s`.
        Raises: what `build` raises; then nothing was written; Problem 500, if consensus stopped.
        """
        await self._check_works(timeout_s)
        async with self._proposing, self._journal.exclusive(LOCK_S):
            self._apply_new()
            entry = build(self.state)
            if entry is not None:
                self._journal.append(entry)
                self._apply_new()
        if entry is not None:
            if wait:
                await self.settled()
            await self._poke_others(timeout_s if wait else POKE_S)
        return entry

    async def catch_up(self) -> None:
        """Everything in the journal is applied here, effects included."""
        self._apply_new()
        await self.settled()

    async def settled(self) -> None:
        async with self._settling:
            entries, self._unsettled = self._unsettled, []
            if entries:
                await self._settle(entries)

    async def _check_works(self, timeout_s: float) -> None:
        """The first proposal waits in vain, later ones are refused at once, as by a real server.

        Raises: Problem 500. Source: measured, Qdrant 1.18.3
        """
        self._apply_new()
        if self.stopped and self._closed:
            raise service_error("Channel closed: sending on a closed channel")
        if self.stopped:
            self._closed = True
            await asyncio.sleep(timeout_s)
            raise service_error(
                "Waiting for consensus operation commit failed. "
                f"Timeout set at: {timeout_s:g} seconds"
            )

    def _apply_new(self) -> None:
        for entry in self._journal.read_new():
            if self.stopped:
                return
            if entry["op"] == STOPS:
                self.stopped = "Failed to handle committed entries"
                return
            self.state.apply(entry)
            self._unsettled.append(entry)

    async def _poke_others(self, timeout_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            for peer in list(self.state.peers):
                if peer != self._peer_id:
                    group.create_task(self._poke_one(peer, timeout_s))

    async def _poke_one(self, peer: int, timeout_s: float) -> None:
        try:
            await self._poke(peer, timeout_s)
        except Unreachable:
            return  # A peer that is down reads the journal when it is back.

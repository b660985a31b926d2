"""Patience of the leader: which agents are away, and whether a pending operation waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from cleancut.core.backup.patience import Verdict, described, given_up, look
from cleancut.core.doctor.silence import SeenPeers, away_of
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import AgentName, PeerId
from cleancut.core.protocol.etcd_records import Operation, Session
from cleancut.core.protocol.states import State
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_record
from cleancut_coordinator.leader.state import LeaderState


def serving(sessions: Iterable[Session]) -> dict[PeerId, AgentName]:
    """The agents that can use their Qdrant, by its peer."""
    return {said.peer_id: said.name for said in sessions if said.peer_id is not None}


class Patience:
    """The waits of one term."""

    def __init__(self, context: CoordinatorContext, state: LeaderState) -> None:
        self._context, self._state = context, state

    async def next_ready(self) -> Operation | None:
        """The first pending operation that waits for no agent. One whose wait is over ends."""
        for operation in await self._state.all_pending():
            if operation.awaited is None or await self._is_ready(operation):
                return operation
        return None

    async def away(self, able: Mapping[PeerId, AgentName]) -> dict[PeerId, AgentName]:
        """The agents that were there before, of peers that have no usable one now."""
        try:
            key = self._context.keys.seen_peers
            return away_of(await read_record(self._context, key, SeenPeers), able)
        except Corrupt:
            return {}

    async def _is_ready(self, operation: Operation) -> bool:
        awaited = operation.awaited
        assert awaited is not None, "asked of those that wait"
        able = serving(said for _, said in (await self._state.sessions()).values())
        away = await self.away(able)
        verdict = look(awaited, able, away, self._context.clock.wall_s())
        if verdict is Verdict.GIVE_UP:
            failure = given_up(operation, away)
            await self._state.end_operation(operation, State.ABORTED, failure)
        if verdict is Verdict.WAIT and (what := described(awaited, away)) != awaited.what:
            await self._state.note_awaited(operation, replace(awaited, what=what))
        return verdict is Verdict.BEGIN

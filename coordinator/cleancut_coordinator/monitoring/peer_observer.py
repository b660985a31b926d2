"""Observes which peers are heard, and keeps since when the others are silent; the leader only."""

from __future__ import annotations

from functools import partial

from cleancut.core.doctor.facts import AgentReport, PeerReport, members_of
from cleancut.core.doctor.silence import SeenPeers, observe
from cleancut.core.primitives.errors import CleancutError, Corrupt
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, FencingToken, PeerId
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.concurrency import run_all
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_record, read_sessions
from cleancut_coordinator.leader.looks import look_for_ever
from cleancut_coordinator.leader.state import LeaderState

EVERY_S = 20.0
_ASK_S = 4.0
_AT_ONCE = 8


class PeerObserver:
    """One a term."""

    def __init__(self, context: CoordinatorContext, token: FencingToken, log: Logger) -> None:
        self._context, self._log = context, log
        self._state = LeaderState(context, token)

    async def run(self) -> None:
        """Never returns. Raises: Fenced, if another coordinator leads."""

        def note(error: CleancutError) -> None:
            self._log.debug("peers not observed", cause=error.message)

        await look_for_ever(self.look, self._context.clock, EVERY_S, note)

    async def look(self) -> SeenPeers:
        """One observation, written. Raises: Fenced, Unavailable, TimedOut."""
        context = self._context
        sessions = (await read_sessions(context)).values()
        agents = tuple(
            AgentReport(name=one.name, url=one.url, peer_id=one.peer_id, peers=one.peers)
            for one in sessions
        )
        asked = await run_all([partial(_report, peer) for peer in context.peers], _AT_ONCE)
        peers = tuple(one for one in asked if one is not None)
        places = [(one.peer_id, one.url, "") for one in peers]
        places += [(a.peer_id, a.url, a.name) for a in agents if a.peer_id is not None]
        seen = observe(
            await self._before(),
            now_s=context.clock.wall_s(),
            members=members_of(peers, agents),
            heard={peer for peer, _, _ in places},
            urls=places,
        )
        await self._state.put(context.keys.seen_peers, seen)
        return seen

    async def _before(self) -> SeenPeers | None:
        try:
            return await read_record(self._context, self._context.keys.seen_peers, SeenPeers)
        except Corrupt:
            return None


async def _report(qdrant: Qdrant) -> PeerReport | None:
    try:
        cluster = await qdrant.cluster(_ASK_S)
    except CleancutError:
        return None
    peers = tuple(sorted((PeerId(peer), uri) for peer, uri in cluster.peers.items()))
    return PeerReport(
        peer_id=PeerId(cluster.peer_id),
        url=qdrant.url,
        peers=peers or ((WITHOUT_CLUSTER, qdrant.url),),
    )

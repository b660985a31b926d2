"""Reads the cluster that a restore's plan is made against."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from msgspec.structs import replace

from cleancut import __version__
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import AgentName, PeerId, parse_version
from cleancut.core.protocol.etcd_records import Coordinator, Session
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.restore.report import RestoreReport, rate_of
from cleancut.core.restore.target import Rate, Target, TargetPeer
from cleancut.repository.catalog import get_checked
from cleancut_coordinator.any_peer import ask_any, check_peers
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_all, read_sessions
from cleancut_coordinator.layout import read_allowed
from cleancut_coordinator.leader.requests import load_all

_NEWEST = 5


async def read_target(
    context: CoordinatorContext,
    members: Mapping[AgentName, int] | None = None,
    *,
    reshards: bool = False,
) -> Target:
    """The cluster as any one peer shows it, with the agents of its peers.

    `members`: who takes part, with the free bytes that each reported; None: all that have a
    session, with what they say there, and how fast restores were. `reshards`: ask each peer whether
    it allows resharding.
    Raises: Refused, if a URL reaches several peers; Unavailable.
    """
    await check_peers(context.peers)
    cluster = await ask_any(context.peers, lambda peer: peer.cluster())
    collections = await ask_any(context.peers, lambda peer: peer.collections())
    aliases = await ask_any(context.peers, lambda peer: peer.aliases())
    rate = await _read_rate(context) if members is None else None
    sessions = (await read_sessions(context)).values()
    allowed = await read_allowed(context) if reshards else {}
    older = await _read_older(context) if reshards else ()
    beside = {s.peer_id: s for s in sessions if members is None or s.name in members}
    return Target(
        peers=tuple(
            replace(
                _target_peer(PeerId(peer), beside.get(PeerId(peer)), members),
                reshards=allowed.get(PeerId(peer)),
            )
            for peer in sorted(cluster.peers) or [0]
        ),
        collections=tuple(collections),
        aliases=tuple(sorted(aliases.items())),
        rate=rate,
        older=older,
    )


async def _read_older(context: CoordinatorContext) -> tuple[str, ...]:
    known = await read_all(context, context.keys.coordinators, Coordinator)
    mine = parse_version(__version__)
    return tuple(
        f"coordinator {one.name} ({one.version})"
        for one in sorted(known, key=lambda one: one.name)
        if one.version and parse_version(one.version) < mine
    )


async def _read_rate(context: CoordinatorContext) -> Rate | None:
    """What the newest finished restores measured; one whose report cannot be read is skipped."""
    reports = []
    done = [
        one for one in await load_all(context, OperationKind.RESTORE) if one.state is State.DONE
    ]
    for operation in [one for one in done if one.detail][:_NEWEST]:
        path = context.paths.staged(operation.detail_at, operation.detail)
        with contextlib.suppress(CleancutError):
            data = await get_checked(context.store, path, operation.detail)
            reports.append(decode(RestoreReport, data, path))
    return rate_of(reports)


def _target_peer(
    peer_id: PeerId, session: Session | None, told: Mapping[AgentName, int] | None
) -> TargetPeer:
    if session is None:
        return TargetPeer(peer_id=peer_id)
    free = session.free_bytes if told is None else told[session.name]
    return TargetPeer(
        peer_id=peer_id,
        agent=session.name,
        qdrant_version=session.qdrant_version,
        free_bytes=free if free >= 0 else None,
        stores=session.stores,
    )

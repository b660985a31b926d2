"""An agent's life in etcd: one leased session at a time, and what it says of itself there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from msgspec.structs import replace

from cleancut import __version__
from cleancut.core.capture.gate import capture_gate
from cleancut.core.maintenance.clocks import REPORT_EVERY_S
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError, LeaseLost, NotFound, Refused
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, FencingToken, PeerId
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.etcd_records import Session
from cleancut.core.restore.target import FREE_STEP
from cleancut.core.wal.gate import WalFacts, wal_gate
from cleancut.ports.coordination import Created, Lease, Put
from cleancut.qdrant.responses import ClusterInfo
from cleancut_agent.concerns import EVERY_S, find_concerns
from cleancut_agent.context import AgentContext
from cleancut_agent.local_peer import storage_free_bytes

TTL_S = 15.0
_WAIT_S = 2 * TTL_S + 5.0
_RETRY_S = 0.5


@dataclass(slots=True)
class OpenSession:
    """The session key and the lease under it. `token` guards every write of the agent. `startup`:
    when the local peer was started, as it said last."""

    token: FencingToken
    lease: Lease
    said: Session
    tried_s: float
    startup: str = ""


@asynccontextmanager
async def open_session(context: AgentContext, ttl_s: float = TTL_S) -> AsyncIterator[OpenSession]:
    """Registers the agent for the length of the block.

    Waits for the lease of a killed predecessor; that may take twice the TTL, since etcd renews all
    leases when its own leader changes.
    Raises: Refused, if another process lives under this name.
    """
    key = context.keys.session(context.name)
    async with context.etcd.lease(ttl_s) as lease:
        said, tried_s = await describe(context), context.clock.monotonic_s()
        deadline_s = context.clock.monotonic_s() + _WAIT_S
        while True:
            put = Put(key, encode(said), lease=lease.id)
            result = await context.etcd.txn([Created(key, 0)], [put])
            if result.applied:
                token = FencingToken(result.revision)
                break
            found = await context.etcd.get(key)
            if found is not None and found.lease == lease.id:
                token = FencingToken(found.create_revision)  # an earlier try arrived after all
                break
            if not lease.alive():
                raise LeaseLost("the agent's lease ended before it was registered")
            if context.clock.monotonic_s() > deadline_s:
                raise Refused(
                    f"another agent is alive under the name {context.name!r}",
                    "give each agent its own --name",
                )
            await context.clock.sleep(_RETRY_S)
        yield OpenSession(token, lease, said, tried_s)


async def describe(context: AgentContext, known: Session | None = None) -> Session:
    """What the agent says of itself now; `peer_id` is None while its Qdrant cannot be used, for the
    reason in `problem`. `known`: where concerns and the gates of its logs and segments stand; None:
    they are looked for."""
    nonce, clock = context.token_hex(8), format_time(context.clock.wall_s())
    try:
        cluster = await context.qdrant.cluster(timeout_s=5.0)
        version = await context.qdrant.version(timeout_s=5.0)
        if known is None:
            await _check_one_peer(context)
            facts = context.wal.facts() if context.wal is not None else WalFacts()
            keeper = await _keeper(context, cluster)
    except CleancutError as error:
        return Session(
            name=context.name,
            version=__version__,
            url=context.qdrant.url,
            clock=clock,
            problem=f"{error} [{error.reason}]",
            nonce=nonce,
            stores=context.stores,
            spill_max_bytes=context.limits.spill_max_bytes,
            engine=context.engine,
        )
    free = storage_free_bytes(context)
    if known is None:
        concerns = await find_concerns(context, cluster)
        wal: str | None = wal_gate(facts, version, keeper)
        capture: str | None = _capture_gate(context, facts, version, keeper)
    else:
        concerns, wal, capture = known.concerns, known.wal, known.capture
    return Session(
        name=context.name,
        version=__version__,
        peer_id=PeerId(cluster.peer_id),
        qdrant_version=version,
        peers=tuple(PeerId(peer) for peer in sorted(cluster.peers)) or (WITHOUT_CLUSTER,),
        url=context.qdrant.url,
        free_bytes=free if free < 0 else free - free % FREE_STEP,
        concerns=concerns,
        wal=wal,
        capture=capture,
        clock=clock,
        nonce=nonce,
        stores=context.stores,
        spill_max_bytes=context.limits.spill_max_bytes,
        engine=context.engine,
    )


async def _check_one_peer(context: AgentContext) -> None:
    """Raises: Refused, if several peers answer. What cannot be looked at is a problem elsewhere."""
    try:
        await context.qdrant.check_one_peer(timeout_s=5.0)
    except Refused:
        raise
    except CleancutError:
        return


async def _keeper(context: AgentContext, cluster: ClusterInfo) -> PeerId:
    """The id that the local peer's data directory names. Without cluster mode Qdrant shows it
    with collections alone; 0, while it has none."""
    if cluster.enabled or (context.wal is None and context.capture is None):
        return PeerId(cluster.peer_id)
    for name in await context.qdrant.collections(timeout_s=5.0):
        with contextlib.suppress(NotFound):  # deleted just now
            return PeerId((await context.qdrant.placement(name, timeout_s=5.0)).peer_id)
    return WITHOUT_CLUSTER


def _capture_gate(
    context: AgentContext, seen: WalFacts, qdrant_version: str, peer_id: PeerId
) -> str:
    """Why nothing is captured from the disk; empty: it is."""
    if context.capture is None:
        return "the agent does not see Qdrant's storage: set --qdrant-storage"
    gate = capture_gate(context.capture.facts(seen), qdrant_version, peer_id)
    return gate or context.capture.stopped


async def refresh(context: AgentContext, session: OpenSession) -> None:
    """Says it again if it has changed, or if the clock in it is some minutes old. What is looked at
    each minute is looked at once more in a peer that was restarted.

    Raises: LeaseLost, if the session is no longer ours.
    """
    clock_s, said = context.clock.monotonic_s(), session.said
    startup = await _startup(context) or session.startup
    restarted = session.startup not in {"", startup}
    due = clock_s >= session.tried_s + EVERY_S or said.peer_id is None or restarted
    now = await describe(context, None if due else said)
    session.tried_s, session.startup = clock_s if due else session.tried_s, startup
    passed_s = parse_time(now.clock) - parse_time(said.clock)
    changed = replace(now, clock="", nonce="") != replace(said, clock="", nonce="")
    if not changed and abs(passed_s) < REPORT_EVERY_S:
        return
    key = context.keys.session(context.name)
    put = Put(key, encode(now), lease=session.lease.id)
    result = await context.etcd.txn([Created(key, session.token)], [put])
    if not result.applied:
        raise LeaseLost("the agent's session was taken away")
    session.said = now


async def _startup(context: AgentContext) -> str:
    """When the local peer was started; "" while it does not say."""
    try:
        return (await context.qdrant.telemetry(level=0, timeout_s=5.0)).startup
    except CleancutError:
        return ""

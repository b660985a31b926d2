"""Gathers what a doctor looks at. A part that does not answer is a fact too, not an error."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace
from yarl import URL

from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.doctor.facts import (
    AgentReport,
    DamagedBackup,
    Facts,
    FailingTarget,
    GroupShards,
    KnownRestore,
    LocalShard,
    PeerReport,
    PendingFence,
    Refusal,
    StuckOperation,
    members_of,
)
from cleancut.core.doctor.silence import SeenPeers
from cleancut.core.maintenance.garbage import LastGc
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Corrupt, Denied, NotFound, Refused
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, Epoch, PeerId, ShardId
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Coordinator, Operation
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.states import FENCED, OperationKind, State
from cleancut.core.restore.report import RestoreReport
from cleancut.core.verification.damage import NO_DAMAGE, Damage
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.live_shards import live_shards
from cleancut.qdrant.responses import Placement
from cleancut.repository.catalog import CatalogRow, get_checked, list_epochs, read_rows
from cleancut.repository.verification_log import read_damage
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_all, read_ctl, read_record, read_sessions
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leader.cluster_id import read_identities
from cleancut_coordinator.leader.high_water import read_why_behind
from cleancut_coordinator.leader.installation import read_other
from cleancut_coordinator.maintenance.notifier import read_outboxes

ASK_S = 4.0
_AT_ONCE = 8
_CONNECT_S = 2.0
_MAX_REPORTS = 50
_MAX_GROUPS = 100
_CATALOG_S = 20.0


async def gather_facts(context: CoordinatorContext) -> Facts:
    """The cluster as it is now.

    Raises: Unavailable, TimedOut, if etcd does not answer; without it nothing else is known.
    """
    agents = await _agents(context)
    asked = await run_all([partial(_ask, peer) for peer in context.peers], _AT_ONCE)
    peers = tuple(one for one in asked if isinstance(one, PeerReport))
    members = members_of(peers, agents)
    speaker = next((one for one in peers if one.ids == members), None)
    collections = await _collections(context, speaker) if speaker is not None else ()
    if isinstance(collections, Refusal):
        asked, collections = [*asked, collections], ()
    peers = tuple(
        await run_all([partial(_local, context, one, members) for one in peers], _AT_ONCE)
    )
    ctl = await read_ctl(context)
    cluster_id, owner_id, store_problem = await _identity(context)
    last_gc = await read_record(context, context.keys.last_gc, LastGc)
    facts = Facts(
        peers=peers,
        agents=agents,
        url=speaker.url if speaker else "",
        collections=collections,
        restores=await _restores(context),
        fences=tuple(map(_pending, await read_all(context, context.keys.fences, Fence))),
        open_fence=ctl.epoch if ctl.phase in FENCED else None,
        cluster_id=cluster_id,
        owner_id=owner_id,
        store_problem=store_problem,
        refusals=tuple(one for one in asked if isinstance(one, Refusal)),
        coordinators=await _coordinators(context),
        api_open=context.api_open,
        gc_stopped=last_gc.stopped if last_gc else "",
        other=await _other(context),
        behind=await _behind(context),
        alone=context.alone,
        seen=await _seen(context),
        now_s=context.clock.wall_s(),
        unnotified=await _unnotified(context),
    )
    silent = [peer for peer in members if peer not in facts.heard]
    accepting = await run_all([partial(_accepts, facts.addresses.get(p, "")) for p in silent], 8)
    catalog = await _catalog(context)
    at_risk = {shard for peer in silent for shard in facts.only_at(peer)}
    return replace(
        facts,
        stuck=await _stuck(context, {row.epoch for row in catalog.rows}),
        groups=catalog.holders(collections, at_risk),
        damaged=catalog.damaged(),
        newest_intact=catalog.newest_intact(),
        accepting=tuple(peer for peer, takes in zip(silent, accepting, strict=True) if takes),
    )


async def _unnotified(context: CoordinatorContext) -> tuple[FailingTarget, ...]:
    return tuple(
        FailingTarget(
            name=name,
            since_s=parse_time(one.failing_since),
            why=one.failure,
            pending=len(one.pending),
        )
        for name, one in (await read_outboxes(context)).items()
        if one.failing_since
    )


async def _other(context: CoordinatorContext) -> str:
    try:
        return await read_other(context)
    except CleancutError:
        return ""  # no peer answers, which is a finding of its own


async def _behind(context: CoordinatorContext) -> str:
    try:
        return await read_why_behind(context)
    except CleancutError:
        return ""  # the store does not answer, which is a finding of its own


async def _seen(context: CoordinatorContext) -> SeenPeers | None:
    return await read_record(context, context.keys.seen_peers, SeenPeers)


async def _accepts(uri: str) -> bool:
    """Whether the address accepts a connection: a process that hangs does so, too."""
    target = URL(uri)
    if not target.host or not target.port:
        return False
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(target.host, target.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _local(
    context: CoordinatorContext, report: PeerReport, members: tuple[PeerId, ...]
) -> PeerReport:
    """The report with the shards on the peer's own disk, if it differs from the others."""
    if report.ids == members and report.peer_id in members:
        return report
    qdrant = next(one for one in context.peers if one.url == report.url)
    try:
        shards = await _shards_of(qdrant)
    except CleancutError:
        return report
    return replace(report, local=shards)


async def _shards_of(qdrant: Qdrant) -> tuple[LocalShard, ...]:
    """Raises: errors of `Qdrant`."""
    telemetry = await qdrant.telemetry(timeout_s=ASK_S)
    names = {*telemetry.collections, *await qdrant.collections(ASK_S)}
    found: list[LocalShard] = []
    for name in sorted(names):
        entry = telemetry.collections.get(name)
        placement = await qdrant.placement(name, ASK_S)
        counts = [partial(_count, qdrant, name, one.shard_id) for one in placement.local()]
        points = await run_all(counts, _AT_ONCE)
        found += [
            LocalShard(
                collection=name,
                shard_id=ShardId(one.shard_id),
                points=count,
                uuid=(entry.uuid if entry else None) or "",
            )
            for one, count in zip(placement.local(), points, strict=True)
        ]
    return tuple(found)


async def _count(qdrant: Qdrant, name: str, shard_id: int) -> int | None:
    try:
        return await qdrant.count(name, shard_id, timeout_s=ASK_S)
    except CleancutError:
        return None


async def _agents(context: CoordinatorContext) -> tuple[AgentReport, ...]:
    sessions = (await read_sessions(context)).values()
    return tuple(
        AgentReport(
            name=one.name,
            url=one.url,
            peer_id=one.peer_id,
            peers=one.peers,
            problem=one.problem,
            version=one.version,
            concerns=one.concerns,
            wal=one.wal,
            capture=one.capture,
        )
        for one in sessions
    )


async def _coordinators(context: CoordinatorContext) -> tuple[tuple[str, str], ...]:
    known = await read_all(context, context.keys.coordinators, Coordinator)
    return tuple((one.name, one.version) for one in known)


async def _ask(qdrant: Qdrant) -> PeerReport | Refusal | None:
    try:
        cluster = await qdrant.cluster(ASK_S)
        aliases = await qdrant.aliases(ASK_S)
        names = await qdrant.collections(ASK_S)
        await qdrant.check_one_peer(ASK_S)
    except CleancutError as error:
        if isinstance(error, Denied | Corrupt | Refused):
            return Refusal(url=qdrant.url, message=str(error))
        return None
    peers = cluster.peers if cluster.enabled else {WITHOUT_CLUSTER: qdrant.url}
    return PeerReport(
        peer_id=PeerId(cluster.peer_id),
        url=qdrant.url,
        peers=tuple(sorted((PeerId(peer), uri) for peer, uri in peers.items())),
        aliases=tuple(sorted(aliases.items())),
        collections=tuple(names),
        consensus=cluster.consensus,
    )


async def _collections(
    context: CoordinatorContext, speaker: PeerReport
) -> tuple[LiveShards, ...] | Refusal:
    """Configuration comes from telemetry: the collection's own answer needs all its shards."""
    qdrant = next(one for one in context.peers if one.url == speaker.url)
    alone = speaker.peer_id == WITHOUT_CLUSTER
    try:
        telemetry = await qdrant.telemetry()
        entries = sorted(telemetry.collections.items())
        calls = [partial(_placement, qdrant, name) for name, _ in entries]
        placements = await run_all(calls, _AT_ONCE)
    except CleancutError as error:
        return Refusal(url=qdrant.url, message=str(error)) if isinstance(error, Denied) else ()
    return tuple(
        live_shards(name, entry, placement, alone=alone)
        for (name, entry), placement in zip(entries, placements, strict=True)
        if placement is not None
    )


async def _placement(qdrant: Qdrant, name: str) -> Placement | None:
    try:
        return await qdrant.placement(name)
    except NotFound:
        return None  # it was deleted meanwhile


async def _restores(context: CoordinatorContext) -> tuple[KnownRestore, ...]:
    operations = await requests.load_all(context, OperationKind.RESTORE)
    reports = [partial(_kept, context, operation) for operation in operations[:_MAX_REPORTS]]
    kept = await run_all(reports, _AT_ONCE)
    kept += [()] * (len(operations) - len(kept))
    return tuple(
        KnownRestore(
            id=operation.id,
            state=operation.state,
            kept=old,
            message=operation.failure.message if operation.failure else "",
            hint=operation.failure.hint if operation.failure else "",
        )
        for operation, old in zip(operations, kept, strict=True)
    )


async def _stuck(
    context: CoordinatorContext, published: Collection[Epoch]
) -> tuple[StuckOperation, ...]:
    """But for backups that a gc run has published since."""
    kinds = set(OperationKind) - {OperationKind.RESTORE}
    return tuple(
        StuckOperation(
            id=one.id,
            kind=one.kind,
            message=one.failure.message if one.failure else "no reason is known",
            hint=one.failure.hint if one.failure else "",
        )
        for one in await requests.load_all(context, *kinds)
        if one.state is State.NEEDS_OPERATOR and one.epoch not in published
    )


def _pending(fence: Fence) -> PendingFence:
    return PendingFence(
        epoch=fence.epoch,
        raised_at=fence.raised_at,
        budget_s=fence.budget_s,
        aliases=tuple(entry.alias for entry in fence.aliases),
        hooked=tuple(sorted(name for hook in fence.hooks for name in hook.collections)),
    )


async def _kept(context: CoordinatorContext, operation: Operation) -> tuple[tuple[str, str], ...]:
    """What its report says it has kept; nothing, if that cannot be read."""
    if not operation.detail:
        return ()
    path = context.paths.staged(operation.detail_at, operation.detail)
    try:
        data = await get_checked(context.store, path, operation.detail)
        report = decode(RestoreReport, data, path)
    except CleancutError:
        return ()
    return tuple((old.collection, old.uuid) for old in report.kept)


class _Catalog(NamedTuple):
    """The newest groups, newest first, and what is known of their damage."""

    rows: tuple[CatalogRow, ...] = ()
    damage: Damage = NO_DAMAGE

    def damaged(self) -> tuple[DamagedBackup, ...]:
        found = []
        for row in self.rows:
            if row.manifest is None:
                why = row.error.message if row.error else "unreadable"
                found.append(DamagedBackup(epoch=row.epoch, corrupt=True, why=why))
            elif self.damage.of(row.manifest):
                why = self.damage.of(row.manifest)[0]
                found.append(DamagedBackup(epoch=row.epoch, corrupt=False, why=why))
        return tuple(found)

    def newest_intact(self) -> Epoch | None:
        whole = (row for row in self.rows if row.manifest and not self.damage.of(row.manifest))
        return next((row.epoch for row in whole), None)

    def holders(
        self, collections: tuple[LiveShards, ...], at_risk: set[tuple[str, ShardId]]
    ) -> tuple[GroupShards, ...]:
        """Newest first, back to the one that holds the last shard that is lost or at risk;
        damaged shards do not count."""
        lost = {(entry.name, shard) for entry in collections for shard in entry.lost} | at_risk
        groups: list[GroupShards] = []
        for row in self.rows:
            if not lost:
                break
            shards = tuple(
                (shard.collection, shard.shard_id)
                for shard in (row.manifest.shards if row.manifest else ())
                if shard.recipe not in self.damage.recipes
            )
            groups.append(GroupShards(epoch=row.epoch, shards=shards))
            lost -= set(shards)
        return tuple(groups)


async def _catalog(context: CoordinatorContext) -> _Catalog:
    """The newest 100; none, if the store does not answer in time: `owner_id` says that."""
    store, paths = context.store, context.paths
    try:
        async with asyncio.timeout(_CATALOG_S):
            epochs = await list_epochs(store, paths)
            chosen = epochs[::-1][:_MAX_GROUPS]
            rows = [row async for row in read_rows(store, paths, chosen)]
            return _Catalog(tuple(rows), await read_damage(store, paths))
    except (CleancutError, TimeoutError):
        return _Catalog()


async def _identity(context: CoordinatorContext) -> tuple[str, str | None, str]:
    """This cluster's id, and the owner of the store; None: it cannot be used, and why."""
    found = await context.etcd.get(context.keys.id)
    cluster_id = found.value.decode(errors="replace") if found else ""
    try:
        return cluster_id, (await read_identities(context)).owner_id, ""
    except CleancutError as error:
        return cluster_id, None, str(error)

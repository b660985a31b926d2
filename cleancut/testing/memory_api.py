"""API of a coordinator in memory: operations go through their states while a client watches.

A fake of all protocols of `cleancut.api.interface`: it keeps their promises (ids and
epochs, idempotent starts, pages, cancelling), and knows no cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from cleancut.api.archive import (
    Archive,
    ArchivedShard,
    ArchiveMark,
    LoggedOperation,
    LogPage,
    LogQuery,
)
from cleancut.api.backups import Backup, BackupBytes, BackupPage, BackupPlan, Evidence, Seed
from cleancut.api.checks import Drill, DrilledShard, Verdict
from cleancut.api.cluster import (
    AgentSettings,
    ClusterStatus,
    Diagnosis,
    DoctorFinding,
    ForgottenPeer,
    Identity,
    OpenOperation,
    PeerLoss,
    StoreStatus,
)
from cleancut.api.garbage import ExpiredBackup, GarbageCollection
from cleancut.api.interface import Api, PageRequest
from cleancut.api.operations import is_over
from cleancut.api.protection import Protection
from cleancut.api.repairs import Repair
from cleancut.api.restores import (
    PlannedCollection,
    PlannedPeer,
    Restore,
    RestoredCollection,
    RestoreOptions,
    RestorePage,
    RestorePlan,
)
from cleancut.api.values import AgentProgress, OperationError
from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.requests import BackupRequest, ImportRequest, SeedRequest
from cleancut.core.protocol.states import State
from cleancut.core.verification.damage import Level
from cleancut.testing.memory_plans import plan_of
from cleancut.testing.memory_rebalances import MemoryRebalances
from cleancut.testing.memory_reshards import MemoryReshards
from cleancut.testing.memory_schedules import MemorySchedules
from cleancut.testing.memory_status import AGENTS, COORDINATORS, EVIDENCE, PROTECTED, SETTINGS
from cleancut.testing.memory_undeletes import MemoryUndeletes

Op = TypeVar("Op", Backup, Restore)

BACKUP_PATH = (
    State.PREPARING,
    State.CUTTING,
    State.SEALING,
    State.UPLOADING,
    State.COMMITTING,
    State.COMMITTED,
)
SEED_PATH = (State.PREPARING, State.UPLOADING, State.SEEDED)
RESTORE_PATH = (
    State.PREPARING,
    State.CREATING,
    State.RECOVERING,
    State.VERIFYING,
    State.PUBLISHING,
    State.DONE,
)


@dataclass
class Ending:
    """What becomes of operations: they stop at `hold_at` until cancelled, or end in `error`."""

    state: State | None = None
    error: OperationError | None = None
    hold_at: State | None = None


@dataclass
class MemoryApi:
    """`leader`: None leads, else where the leader is. `ending` applies to what is started."""

    leader: str | None = None
    ending: Ending = field(default_factory=Ending)
    blockers: tuple[str, ...] = ()
    backups: dict[str, Backup] = field(default_factory=dict)
    restores: dict[str, Restore] = field(default_factory=dict)
    requests: dict[str, tuple[object, str]] = field(default_factory=dict)
    rebalances: MemoryRebalances = field(default_factory=MemoryRebalances)
    reshards: MemoryReshards = field(default_factory=MemoryReshards)
    undeletes: MemoryUndeletes = field(default_factory=MemoryUndeletes)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    owned: bool = False
    protected: Protection = PROTECTED
    findings: tuple[DoctorFinding, ...] = ()
    schedules: MemorySchedules = field(init=False)
    settings: AgentSettings = SETTINGS
    logged: tuple[LoggedOperation, ...] = ()

    def __post_init__(self) -> None:
        self.schedules = MemorySchedules(self.backups, self.create_backup)

    @property
    def api(self) -> Api:
        """Itself, as `serve_api` takes it."""
        changes = self.rebalances, self.reshards, self.undeletes
        return Api(self.leader_address, self, self, *changes, self.schedules, self)

    def leader_address(self) -> str | None:
        return self.leader

    async def plan_backup(self, request: BackupRequest) -> BackupPlan:
        return plan_of(request, self.blockers)

    async def create_backup(self, request: BackupRequest, request_id: str) -> Backup:
        known = self._known(request_id, request)
        if known is None:
            epoch = len(self.backups) + 1
            known = f"bk-{epoch}"
            self.requests[request_id] = (request, known)
            self.backups[known] = Backup(
                id=known,
                epoch=epoch,
                state=State.PREPARING,
                created_at="2026-01-02T03:04:05Z",
                collections=request.collections or ("books",),
                attempt=1,
                attempts=request.attempts,
                labels=request.labels,
                progress=(AgentProgress(agent="node-0", phase="PREPARE"),),
            )
        return self.backups[known]

    async def seed_backup(self, request: SeedRequest, request_id: str) -> Backup:
        known = self._known(request_id, request)
        if known is None:
            known = f"s-{len(self.backups) + 1}"
            self.requests[request_id] = (request, known)
            self.backups[known] = Backup(
                id=known,
                epoch=len(self.backups) + 1,
                state=State.PREPARING,
                created_at="2026-01-02T03:04:05Z",
                collections=request.collections or ("books",),
                attempt=1,
                attempts=request.attempts,
                seed=Seed(streams=request.streams),
            )
        return self.backups[known]

    async def import_backup(self, request: ImportRequest, request_id: str) -> Backup:
        known = self._known(request_id, request)
        if known is None:
            known = f"i-{len(self.backups) + 1}"
            self.requests[request_id] = (request, known)
            self.backups[known] = Backup(
                id=known,
                epoch=len(self.backups) + 1,
                state=State.COMMITTED,
                created_at="2026-01-02T03:04:05Z",
                cut_at="2026-01-02T03:04:05Z",
                collections=(request.collection,),
                evidence=Evidence(consistency=Consistency.IMPORTED),
                attempt=1,
                attempts=request.attempts,
            )
        return self.backups[known]

    async def get_backup(self, name: str) -> Backup:
        for backup in self.backups.values():
            if name in {backup.id, str(backup.epoch)}:
                return backup
        raise NotFound(f"there is no backup {name}", "see `cleancut backup list`")

    async def list_backups(self, page: PageRequest) -> BackupPage:
        newest = list(reversed(self.backups.values()))
        start = int(page.token or 0)
        rest = start + page.size
        token = str(rest) if rest < len(newest) else ""
        return BackupPage(backups=tuple(newest[start:rest]), next_page_token=token)

    async def watch_backup(self, name: str) -> AsyncIterator[Backup]:
        key = (await self.get_backup(name)).id
        while True:
            seen = self.backups[key]
            yield seen
            if is_over(seen):
                return
            await self._go_on(self.backups, seen, SEED_PATH if seen.seed else BACKUP_PATH)

    async def cancel_backup(self, name: str) -> Backup:
        backup = await self.get_backup(name)
        error = OperationError(reason="CANCELLED", message="cancelled by request")
        return await self._cancel(self.backups, backup, State.ABORTED, error)

    async def plan_restore(
        self, backup: str, options: RestoreOptions, *, deep: bool = False
    ) -> RestorePlan:
        source = await self.get_backup(backup)
        names = options.collections or source.collections
        return RestorePlan(
            backup_id=source.id,
            backup_epoch=source.epoch,
            collections=tuple(
                PlannedCollection(
                    name=n,
                    published_as=n,
                    shards=2,
                    replicas=1,
                    size_bytes=2048,
                    action="beside" if options.beside else "create",
                    created_as=f"{n}@ID" if options.beside else n,
                )
                for n in names
            ),
            peers=(PlannedPeer(peer_id=7, agent="node-0", shards_max=2, size_bytes_max=2048),),
            source_version="1.18.3",
            target_version="1.18.3",
            blockers=self.blockers,
            digest="d1",
            size_bytes=2048,
            estimated_s=3661.5,
        )

    async def start_restore(
        self, backup: str, options: RestoreOptions, *, request_id: str, plan_digest: str
    ) -> Restore:
        del plan_digest
        source = await self.get_backup(backup)
        if self.blockers:
            raise Refused(self.blockers[0], "see `cleancut restore plan`")
        known = self._known(request_id, (backup, options))
        if known is None:
            known = f"rs-{len(self.restores) + 1}"
            self.requests[request_id] = ((backup, options), known)
            self.restores[known] = Restore(
                id=known,
                backup_id=source.id,
                backup_epoch=source.epoch,
                state=State.PREPARING,
                collections=tuple(
                    RestoredCollection(name=name, shards=2)
                    for name in options.collections or source.collections
                ),
            )
        return self.restores[known]

    async def get_restore(self, name: str) -> Restore:
        if name not in self.restores:
            raise NotFound(f"there is no restore {name}", "see `cleancut restore list`")
        return self.restores[name]

    async def list_restores(self, page: PageRequest) -> RestorePage:
        return RestorePage(restores=tuple(reversed(self.restores.values()))[: page.size])

    async def watch_restore(self, name: str) -> AsyncIterator[Restore]:
        key = (await self.get_restore(name)).id
        while True:
            seen = self.restores[key]
            yield seen
            if is_over(seen):
                return
            await self._go_on(self.restores, seen, RESTORE_PATH)

    async def cancel_restore(self, name: str) -> Restore:
        restore = await self.get_restore(name)
        error = OperationError(reason="CANCELLED", message="cancelled by request")
        return await self._cancel(self.restores, restore, State.ROLLED_BACK, error)

    async def clean_restore(self, name: str) -> Restore:
        cleaned = msgspec.structs.replace(await self.get_restore(name), kept=())
        self.restores[cleaned.id] = cleaned
        return cleaned

    async def cluster_status(self) -> ClusterStatus:
        running = [b for b in self.backups.values() if not is_over(b)]
        return ClusterStatus(
            cluster="main",
            leader="co-0",
            coordinators=COORDINATORS,
            agents=AGENTS,
            open_operation=OpenOperation(id=running[0].id, kind="backup") if running else None,
            store=StoreStatus(url="file:///backups", reachable=True, backups=len(self.backups)),
            identity=self._identity(),
        )

    async def protection(self) -> Protection:
        return self.protected

    async def delete_backup(self, name: str) -> Backup:
        backup = await self.get_backup(name)
        if backup.state is not State.COMMITTED:
            raise Refused(f"backup {name} is {backup.state}", "`cleancut backup cancel` ends it")
        del self.backups[backup.id]
        return msgspec.structs.replace(backup, state=State.DELETED, evidence=None)

    async def hold_backup(self, name: str, reason: str, for_s: float) -> Backup:
        del for_s
        return self._held(await self.get_backup(name), {reason}, set())

    async def release_backup(self, name: str, reason: str) -> Backup:
        return self._held(await self.get_backup(name), set(), {reason})

    def _held(self, backup: Backup, more: set[str], less: set[str]) -> Backup:
        holds = tuple(sorted((set(backup.holds) | more) - less))
        self.backups[backup.id] = msgspec.structs.replace(backup, holds=holds)
        return self.backups[backup.id]

    async def read_log(self, query: LogQuery) -> LogPage:
        fits = [
            one
            for one in self.logged
            if (not query.kinds or one.kind in query.kinds) and query.grep in one.filter
        ]
        return LogPage(operations=tuple(fits[-query.limit :]), truncated=len(fits) > query.limit)

    async def collect_garbage(self, *, dry_run: bool, confirmed: bool) -> GarbageCollection:
        oldest = [b for b in self.backups.values() if b.state is State.COMMITTED][:-1]
        expired = tuple(
            ExpiredBackup(epoch=b.epoch, id=b.id, why="no rule keeps it") for b in oldest
        )
        for one in expired:
            if not dry_run:
                del self.backups[one.id]
        return GarbageCollection(
            dry_run=dry_run, expired=expired, marked_objects=3, marked_bytes=4096
        )

    async def repair_backup(self, name: str, from_store: str) -> Repair:
        backup = await self.get_backup(name)
        if from_store != "second":
            raise NotFound(f"there is no store {from_store!r}", "configured: second")
        return Repair(id=backup.id, epoch=backup.epoch, source="file:///second", read_bytes=4096)

    async def verify_backup(
        self, name: str, *, quick: bool, read_percent: int, within_s: float
    ) -> Verdict:
        backup = await self.get_backup(name)
        level, evidence = Level.PRESENCE if quick else Level.ALL, backup.evidence or Evidence()
        return Verdict(id=backup.id, epoch=backup.epoch, evidence=evidence, level=level)

    async def drill_backup(self, name: str, *, collections: tuple[str, ...], shards: int) -> Drill:
        backup = await self.get_backup(name)
        opened = tuple(DrilledShard(one, 0, points=3) for one in collections or backup.collections)
        return Drill(id=backup.id, epoch=backup.epoch, shards=opened[: shards or None])

    async def agent_settings(self) -> AgentSettings:
        return self.settings

    async def update_agent_settings(self, change: AgentSettings) -> AgentSettings:
        given = {k: v for k, v in msgspec.structs.asdict(change).items() if v is not None}
        self.settings = msgspec.structs.replace(self.settings, **given)
        return self.settings

    async def adopt(self, request_id: str) -> Identity:
        del request_id
        self.owned = True
        return self._identity()

    async def diagnose(self) -> Diagnosis:
        return Diagnosis(findings=self.findings)

    async def archive(self) -> Archive:
        shards = (
            ArchivedShard(
                collection="books",
                shard=0,
                agent="agent-1",
                chain="c1",
                stored_entry=41,
                read_entry=44,
                lag_s=3.5,
                base=3,
            ),
            ArchivedShard(collection="books", shard=1, problem="the agent sees no storage"),
        )
        return Archive(
            collections=("books",),
            shards=shards,
            last_mark="2026-01-02T03:04:05.000Z",
            raw_bytes=5000,
            stored_bytes=4000,
        )

    async def take_mark(self, name: str, timeout_s: float) -> ArchiveMark:
        if not timeout_s:
            raise Refused("there was no moment at which all shards stood still", "wait longer")
        return ArchiveMark(name=name, at="2026-01-02T03:04:05.000Z", shards=2)

    async def forget_peer(
        self, peer_id: int, *, force: bool, confirmed: bool, typed_peer_id: int
    ) -> ForgottenPeer:
        self.typed_peer_id = typed_peer_id
        if peer_id != 7:
            raise NotFound(f"there is no peer {peer_id}", "the cluster's peers are 7")
        if not force:
            raise Refused("replicas are on peer 7", "`--force` gives up what is on it")
        losses = (PeerLoss(collection="books", lost_shards=(0,), thinner_shards=(1,)),)
        findings = self.findings if confirmed else ()
        return ForgottenPeer(peer_id=7, losses=losses, forgotten=confirmed, findings=findings)

    def _identity(self) -> Identity:
        return Identity(
            cluster_id="c1", store_cluster_id="c1" if self.owned else "c0", equal=self.owned
        )

    def _known(self, request_id: str, request: object) -> str | None:
        if request_id not in self.requests:
            return None
        asked, key = self.requests[request_id]
        if asked != request:
            raise Invalid("this request id was used for another request", "use a new one")
        return key

    async def _go_on(self, kept: dict[str, Op], seen: Op, path: tuple[State, ...]) -> None:
        """The next state, or a wait for somebody to change it."""
        async with self.changed:
            if seen.state is self.ending.hold_at:
                await self.changed.wait_for(lambda: kept[seen.id] is not seen)
                return
            following = path[path.index(seen.state) + 1]
            if following is path[-1] and self.ending.state is not None:
                following = self.ending.state
            kept[seen.id] = self._arrived(seen, following)
            self.changed.notify_all()

    def _arrived(self, seen: Op, state: State) -> Op:
        changes: dict[str, object] = {"state": state}
        if state is State.COMMITTED:
            changes["evidence"] = EVIDENCE
            changes["cut_at"] = "2026-01-02T03:04:06.250Z"
            changes["bytes"] = BackupBytes(protected=4096, new=1024, stored=512)
        if state is State.SEEDED and isinstance(seen, Backup) and seen.seed is not None:
            changes["seed"] = msgspec.structs.replace(seen.seed, shards=2, read=4096)
            changes["bytes"] = BackupBytes(new=1024, stored=512)
        if state is State.UPLOADING:
            row = AgentProgress(
                agent="node-0", phase="UPLOAD", bytes_done=1024, bytes_total=4096, bytes_per_s=512.0
            )
            changes["progress"] = (row,)
        if state in {State.ABORTED, State.ROLLED_BACK, State.NEEDS_OPERATOR, State.ROLLING_BACK}:
            changes["error"] = self.ending.error
        return msgspec.structs.replace(seen, **changes)

    async def _cancel(
        self, kept: dict[str, Op], seen: Op, state: State, error: OperationError
    ) -> Op:
        if is_over(seen):
            raise Refused(f"{seen.id} is over: {seen.state}", "nothing is left to cancel")
        async with self.changed:
            kept[seen.id] = msgspec.structs.replace(seen, state=state, error=error)
            self.changed.notify_all()
        return kept[seen.id]

"""Client for programs without an event loop: each call of a `Client`, run to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

from cleancut.api.archive import Archive, ArchiveMark, LogPage, LogQuery
from cleancut.api.backups import Backup, BackupPage, BackupPlan
from cleancut.api.checks import Drill, Verdict
from cleancut.api.cluster import AgentSettings, ClusterStatus, Diagnosis, ForgottenPeer, Identity
from cleancut.api.garbage import GarbageCollection
from cleancut.api.protection import Protection
from cleancut.api.rebalances import Rebalance, RebalanceOptions, RebalancePage, RebalancePlan
from cleancut.api.repairs import Repair
from cleancut.api.reshards import Reshard, ReshardOptions, ReshardPage, ReshardPlan
from cleancut.api.restores import Restore, RestoreOptions, RestorePage, RestorePlan
from cleancut.api.schedules import Schedule, ScheduleList
from cleancut.api.undeletes import Undelete, UndeleteOptions, UndeletePage, UndeletePlan
from cleancut.client.client import Client
from cleancut.client.connection import CALL_S
from cleancut.client.defaults import ALL, DEEP_S, EVEN, MARK_S, SEED, WHOLE
from cleancut.core.protocol.requests import BackupRequest, ImportRequest, SeedRequest
from cleancut.runtime.tls import Tls

T = TypeVar("T")


class BlockingClient:
    """A `Client` for one thread without a running event loop; each method is as that of `Client`.

    Use it as a context manager, which closes the client. Raises, Limits: as `Client`.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        tls: Tls | None = None,
        *,
        timeout_s: float = CALL_S,
        token_file: Path | None = None,
    ) -> None:
        self._client = Client(addresses, tls, timeout_s=timeout_s, token_file=token_file)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._runner.run(self._client.__aexit__(*exc))
        finally:
            self._runner.close()

    def plan_backup(self, request: BackupRequest = WHOLE) -> BackupPlan:
        return self._runner.run(self._client.plan_backup(request))

    def create_backup(self, request: BackupRequest = WHOLE, request_id: str = "") -> Backup:
        return self._runner.run(self._client.create_backup(request, request_id))

    def create_and_wait(
        self, request: BackupRequest = WHOLE, request_id: str = "", *, timeout_s: float = DEEP_S
    ) -> Backup:
        return self._runner.run(
            self._client.create_and_wait(request, request_id, timeout_s=timeout_s)
        )

    def seed_backup(self, request: SeedRequest = SEED, request_id: str = "") -> Backup:
        return self._runner.run(self._client.seed_backup(request, request_id))

    def import_backup(self, request: ImportRequest, request_id: str = "") -> Backup:
        return self._runner.run(self._client.import_backup(request, request_id))

    def get_backup(self, name: str) -> Backup:
        return self._runner.run(self._client.get_backup(name))

    def list_backups(
        self, page_size: int = 0, page_token: str = "", *, with_history: bool = False
    ) -> BackupPage:
        return self._runner.run(
            self._client.list_backups(page_size, page_token, with_history=with_history)
        )

    def read_log(self, query: LogQuery) -> LogPage:
        return self._runner.run(self._client.read_log(query))

    def watch_backup(self, name: str) -> Iterator[Backup]:
        return self._each(self._client.watch_backup(name))

    def cancel_backup(self, name: str) -> Backup:
        return self._runner.run(self._client.cancel_backup(name))

    def delete_backup(self, name: str) -> Backup:
        return self._runner.run(self._client.delete_backup(name))

    def hold_backup(self, name: str, reason: str, for_s: float = 0.0) -> Backup:
        return self._runner.run(self._client.hold_backup(name, reason, for_s))

    def release_backup(self, name: str, reason: str) -> Backup:
        return self._runner.run(self._client.release_backup(name, reason))

    def collect_garbage(
        self, *, dry_run: bool = False, confirmed: bool = False
    ) -> GarbageCollection:
        return self._runner.run(self._client.collect_garbage(dry_run=dry_run, confirmed=confirmed))

    def repair_backup(self, backup_id: str, from_store: str) -> Repair:
        return self._runner.run(self._client.repair_backup(backup_id, from_store))

    def verify_backup(
        self, name: str, *, quick: bool = False, read_percent: int = 0, within_s: float = 0.0
    ) -> Verdict:
        return self._runner.run(
            self._client.verify_backup(
                name, quick=quick, read_percent=read_percent, within_s=within_s
            )
        )

    def drill_backup(self, name: str, *, collections: Sequence[str] = (), shards: int = 0) -> Drill:
        return self._runner.run(
            self._client.drill_backup(name, collections=collections, shards=shards)
        )

    def list_schedules(self) -> ScheduleList:
        return self._runner.run(self._client.list_schedules())

    def trigger_schedule(self, name: str, request_id: str = "") -> Backup:
        return self._runner.run(self._client.trigger_schedule(name, request_id))

    def pause_schedule(self, name: str) -> Schedule:
        return self._runner.run(self._client.pause_schedule(name))

    def resume_schedule(self, name: str) -> Schedule:
        return self._runner.run(self._client.resume_schedule(name))

    def put_schedule(self, schedule: Schedule) -> Schedule:
        return self._runner.run(self._client.put_schedule(schedule))

    def delete_schedule(self, name: str, revision: int, owner: str = "") -> None:
        self._runner.run(self._client.delete_schedule(name, revision, owner))

    def plan_restore(
        self, backup: str, options: RestoreOptions = ALL, *, deep: bool = False
    ) -> RestorePlan:
        return self._runner.run(self._client.plan_restore(backup, options, deep=deep))

    def start_restore(
        self,
        backup: str,
        request_id: str = "",
        options: RestoreOptions = ALL,
        plan_digest: str = "",
    ) -> Restore:
        return self._runner.run(
            self._client.start_restore(backup, request_id, options, plan_digest)
        )

    def restore_and_wait(
        self,
        backup: str,
        options: RestoreOptions = ALL,
        request_id: str = "",
        *,
        timeout_s: float = DEEP_S,
    ) -> Restore:
        return self._runner.run(
            self._client.restore_and_wait(backup, options, request_id, timeout_s=timeout_s)
        )

    def get_restore(self, name: str) -> Restore:
        return self._runner.run(self._client.get_restore(name))

    def list_restores(self, page_size: int = 0, page_token: str = "") -> RestorePage:
        return self._runner.run(self._client.list_restores(page_size, page_token))

    def watch_restore(self, name: str) -> Iterator[Restore]:
        return self._each(self._client.watch_restore(name))

    def cancel_restore(self, name: str) -> Restore:
        return self._runner.run(self._client.cancel_restore(name))

    def clean_restore(self, name: str) -> Restore:
        return self._runner.run(self._client.clean_restore(name))

    def plan_rebalance(self, options: RebalanceOptions = EVEN) -> RebalancePlan:
        return self._runner.run(self._client.plan_rebalance(options))

    def start_rebalance(
        self, request_id: str = "", options: RebalanceOptions = EVEN, plan_digest: str = ""
    ) -> Rebalance:
        return self._runner.run(self._client.start_rebalance(request_id, options, plan_digest))

    def get_rebalance(self, name: str) -> Rebalance:
        return self._runner.run(self._client.get_rebalance(name))

    def list_rebalances(self, page_size: int = 0, page_token: str = "") -> RebalancePage:
        return self._runner.run(self._client.list_rebalances(page_size, page_token))

    def watch_rebalance(self, name: str) -> Iterator[Rebalance]:
        return self._each(self._client.watch_rebalance(name))

    def cancel_rebalance(self, name: str) -> Rebalance:
        return self._runner.run(self._client.cancel_rebalance(name))

    def plan_reshard(self, options: ReshardOptions) -> ReshardPlan:
        return self._runner.run(self._client.plan_reshard(options))

    def start_reshard(
        self, request_id: str, options: ReshardOptions, plan_digest: str = ""
    ) -> Reshard:
        return self._runner.run(self._client.start_reshard(request_id, options, plan_digest))

    def get_reshard(self, name: str) -> Reshard:
        return self._runner.run(self._client.get_reshard(name))

    def list_reshards(self, page_size: int = 0, page_token: str = "") -> ReshardPage:
        return self._runner.run(self._client.list_reshards(page_size, page_token))

    def watch_reshard(self, name: str) -> Iterator[Reshard]:
        return self._each(self._client.watch_reshard(name))

    def cancel_reshard(self, name: str) -> Reshard:
        return self._runner.run(self._client.cancel_reshard(name))

    def plan_undelete(self, options: UndeleteOptions) -> UndeletePlan:
        return self._runner.run(self._client.plan_undelete(options))

    def start_undelete(
        self, request_id: str, options: UndeleteOptions, plan_digest: str = ""
    ) -> Undelete:
        return self._runner.run(self._client.start_undelete(request_id, options, plan_digest))

    def get_undelete(self, name: str) -> Undelete:
        return self._runner.run(self._client.get_undelete(name))

    def list_undeletes(self, page_size: int = 0, page_token: str = "") -> UndeletePage:
        return self._runner.run(self._client.list_undeletes(page_size, page_token))

    def watch_undelete(self, name: str) -> Iterator[Undelete]:
        return self._each(self._client.watch_undelete(name))

    def cancel_undelete(self, name: str) -> Undelete:
        return self._runner.run(self._client.cancel_undelete(name))

    def cluster_status(self) -> ClusterStatus:
        return self._runner.run(self._client.cluster_status())

    def protection(self) -> Protection:
        return self._runner.run(self._client.protection())

    def agent_settings(self) -> AgentSettings:
        return self._runner.run(self._client.agent_settings())

    def update_agent_settings(self, change: AgentSettings) -> AgentSettings:
        return self._runner.run(self._client.update_agent_settings(change))

    def adopt(self, request_id: str = "") -> Identity:
        return self._runner.run(self._client.adopt(request_id))

    def diagnose(self) -> Diagnosis:
        return self._runner.run(self._client.diagnose())

    def archive(self) -> Archive:
        return self._runner.run(self._client.archive())

    def take_mark(self, name: str, *, timeout_s: float = MARK_S) -> ArchiveMark:
        return self._runner.run(self._client.take_mark(name, timeout_s=timeout_s))

    def forget_peer(
        self, peer_id: int, *, force: bool = False, confirmed: bool = True, typed_peer_id: int = 0
    ) -> ForgottenPeer:
        return self._runner.run(
            self._client.forget_peer(
                peer_id, force=force, confirmed=confirmed, typed_peer_id=typed_peer_id
            )
        )

    def _each(self, stream: AsyncGenerator[T, None]) -> Iterator[T]:
        """Until the operation ends or the caller leaves the loop."""
        try:
            while True:
                try:
                    yield self._runner.run(_next(stream))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(stream.aclose())


async def _next(stream: AsyncGenerator[T, None]) -> T:
    return await anext(stream)

"""The coordinator as the API sees it: reads from etcd and the store, writes as the leader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from cleancut.api.backups import Backup, BackupPage
from cleancut.api.cluster import ClusterStatus, Identity
from cleancut.api.from_manifest import shown_group
from cleancut.api.operations import is_over, shown_error
from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import Epoch, FencingToken
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.fence import check_fence
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, State
from cleancut.repository.catalog import find_group, list_epochs, load_group
from cleancut.repository.holds import labels_of
from cleancut_coordinator.api.agent_settings import Limits
from cleancut_coordinator.api.cluster import Care
from cleancut_coordinator.api.cluster_status import read_progress, read_status, wait_over, watch
from cleancut_coordinator.api.deletions import Deletions, hint_for
from cleancut_coordinator.api.interface import PageRequest
from cleancut_coordinator.api.leadership import Leadership
from cleancut_coordinator.api.rebalances import Rebalances
from cleancut_coordinator.api.restores import Restores
from cleancut_coordinator.api.schedules import Schedules
from cleancut_coordinator.api.seeds import Seeds, shown_seed
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import cluster_id, requests
from cleancut_coordinator.leader.term import LeaderTerm
from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector
from cleancut_coordinator.maintenance.scheduler import Scheduler

_KINDS = (OperationKind.BACKUP, OperationKind.SEED)
"""What users see as backups."""


class CoordinatorOperations(Restores, Rebalances, Care, Deletions, Schedules, Seeds, Limits):
    """Implements `cleancut_coordinator.api.interface.Operations`."""

    def __init__(
        self,
        context: CoordinatorContext,
        leadership: Callable[[], Leadership],
        leader_address: Callable[[], str | None],
    ) -> None:
        super().__init__(context)
        self._context, self._leadership = context, leadership
        self.leader_address = leader_address

    def leading(self) -> tuple[FencingToken, LeaderTerm]:
        held = self._leadership()
        return held.token, held.term

    def garbage_collector(self) -> GarbageCollector:
        return self._leadership().garbage

    def scheduler(self) -> Scheduler:
        return self._leadership().scheduler

    async def find_epoch(self, backup: str, source: str) -> Epoch:
        if source:
            paths = self._context.paths.of(source)
            return (await find_group(self._context.store, paths, backup)).epoch
        found = await self.get_backup(backup)
        if found.state is not State.COMMITTED:
            raise Refused(f"backup {backup} is {found.state}, not committed", hint_for(found))
        return Epoch(found.epoch)

    # Backups

    async def create_backup(self, request: BackupRequest, request_id: str) -> Backup:
        token, term = self.leading()
        requests.check_request(request.collections, request.attempts)
        check_fence(request)
        await cluster_id.check_store_owner(self._context)
        operation = await requests.record(
            self._context, token, OperationKind.BACKUP, request=request, request_id=request_id
        )
        term.poke()
        return await self._shown(operation)

    async def get_backup(self, name: str) -> Backup:
        found, context = await self._found(name), self._context
        if found.state is not State.COMMITTED:
            return found
        epoch, now_s = Epoch(found.epoch), context.clock.wall_s()
        return replace(found, holds=await labels_of(context.store, context.paths, epoch, now_s))

    async def _found(self, name: str) -> Backup:
        if not name.isdigit():
            try:
                return await self._shown(await requests.load(self._context, name, *_KINDS))
            except NotFound:
                return shown_group(await find_group(self._context.store, self._context.paths, name))
        epoch = Epoch(int(name))
        for operation in await requests.load_all(self._context, *_KINDS):
            if operation.epoch == epoch:
                return await self._shown(operation)
        return shown_group(await self._load(epoch))

    async def list_backups(self, page: PageRequest) -> BackupPage:
        operations = await requests.load_all(self._context, *_KINDS)
        committed = {op.epoch for op in operations if op.state is State.COMMITTED}
        epochs = await list_epochs(self._context.store, self._context.paths)
        entries: list[Operation | Epoch] = list(operations)
        entries += [epoch for epoch in reversed(epochs) if epoch not in committed]
        start = int(page.token) if page.token.isdigit() else 0
        chosen = entries[start : start + page.size]
        backups = [
            await self._shown(entry, with_shards=False)
            if isinstance(entry, Operation)
            else shown_group(await self._load(entry), with_shards=False)
            for entry in chosen
        ]
        following = start + page.size
        return BackupPage(
            backups=tuple(backups),
            next_page_token=str(following) if following < len(entries) else "",
        )

    def watch_backup(self, name: str) -> AsyncIterator[Backup]:
        return watch(self._context.clock, lambda: self.get_backup(name))

    async def cancel_backup(self, name: str) -> Backup:
        _, term = self.leading()
        backup = await self.get_backup(name)
        if backup.state in {State.COMMITTED, State.SEEDED}:
            already = f"backup {name} is already {backup.state.lower()}"
            raise Refused(already, "nothing is left to cancel")
        if not is_over(backup):
            operation = await requests.load(self._context, backup.id, *_KINDS)
            term.cancel(operation.id)
            backup = await wait_over(self.watch_backup(backup.id), backup)
        return backup

    async def _load(self, epoch: Epoch) -> Manifest:
        return await load_group(self._context.store, self._context.paths, epoch)

    async def _shown(self, operation: Operation, *, with_shards: bool = True) -> Backup:
        if operation.kind is OperationKind.SEED:
            return await shown_seed(self._context, operation)
        request = decode(BackupRequest, operation.request.encode(), "the request")
        shown = Backup(
            id=operation.id,
            epoch=operation.epoch,
            state=operation.state,
            created_at=operation.created_at or None,
            ended_at=operation.ended_at or None,
            collections=request.collections,
            attempt=operation.attempts,
            attempts=request.attempts,
            schedule=request.schedule,
            error=shown_error(operation.failure),
        )
        if operation.state is State.COMMITTED:
            return await self._with_group(shown, with_shards=with_shards)
        if operation.state in FINAL_STATES:
            return shown
        return replace(shown, progress=await read_progress(self._context, operation.epoch))

    async def _with_group(self, shown: Backup, *, with_shards: bool) -> Backup:
        try:
            manifest = await self._load(Epoch(shown.epoch))
        except NotFound:
            return replace(shown, state=State.DELETED)
        group = shown_group(manifest, with_shards=with_shards)
        return replace(
            group,
            created_at=shown.created_at,
            ended_at=shown.ended_at,
            attempt=shown.attempt,
            attempts=shown.attempts,
        )

    # The cluster

    async def cluster_status(self) -> ClusterStatus:
        return await read_status(self._context)

    async def adopt(self, request_id: str) -> Identity:
        self.leading()
        now = await cluster_id.write_owner(
            self._context, await cluster_id.read_identities(self._context)
        )
        return Identity(cluster_id=now.cluster_id, store_cluster_id=now.owner_id, equal=now.equal)

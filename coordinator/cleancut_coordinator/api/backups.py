"""Backups as the API sees them: created, seeded, watched, held, deleted, and garbage collected."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Callable
from functools import partial

from msgspec.structs import replace

from cleancut.api.archive import LoggedOperation, LogPage, LogQuery
from cleancut.api.backups import Backup, BackupPage, BackupPlan
from cleancut.api.checks import Drill, Verdict
from cleancut.api.from_manifest import shown_corrupt, shown_group
from cleancut.api.from_operation import backup_from
from cleancut.api.from_plan import shown_plan
from cleancut.api.from_story import backup_of
from cleancut.api.garbage import GarbageCollection
from cleancut.api.interface import PageRequest
from cleancut.api.operations import is_over
from cleancut.api.repairs import Repair
from cleancut.api.state_words import state_of, title_of
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import (
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
    from_reason,
)
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.primitives.timestamps import format_second, parse_asked
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.fence import check_fence
from cleancut.core.protocol.requests import (
    BackupRequest,
    ImportRequest,
    SeedRequest,
    check_import,
    check_marks,
    check_streams,
)
from cleancut.core.protocol.states import (
    BACKUP_KINDS,
    FINAL_STATES,
    IN_CATALOG,
    OperationKind,
    Phase,
    State,
)
from cleancut.core.verification.damage import Damage
from cleancut.repository.archive.log_reader import LogFilter, LoggedEntry, read_log
from cleancut.repository.catalog import find_group, list_epochs, load_group
from cleancut.repository.clusters import find_cluster
from cleancut.repository.garbage import read_holds
from cleancut.repository.holds import drop_reason, put_reason, reasons_of
from cleancut.repository.verification_log import read_damage
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.api.backup_details import BackupDetails
from cleancut_coordinator.api.backup_plan import plan_backup
from cleancut_coordinator.api.history import BackupHistory, find_old, resolve_any
from cleancut_coordinator.api.pages import OldBackup, cut_page, position
from cleancut_coordinator.api.progress import (
    read_behind,
    read_optimizing,
    read_progress,
    read_rounds,
    wait_over,
    watch,
)
from cleancut_coordinator.api.validation import check_named
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leader.cluster_id import check_store_owner
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.maintenance.expiry import delete_group, epochs_in_use
from cleancut_coordinator.maintenance.scheduled_checks import run_repair

_AT_ONCE = 8
_LOG_S = 3600.0
_ALIASES_S = 3.0
_LOGGED_IDS = 100
_read_upload = partial(read_progress, moving=Phase.UPLOAD)
_PROGRESS = {State.PREPARING: read_optimizing, State.SEALING: read_rounds}
"""What is shown of states in which no bytes move."""


class BackupService:
    """Implements `BackupApi`. `leading` raises Unavailable on a standby."""

    def __init__(self, context: CoordinatorContext, leading: Callable[[], Leadership]) -> None:
        self._context, self._leading = context, leading
        self._details = BackupDetails(context)
        self._history = BackupHistory(context)

    async def plan_backup(self, request: BackupRequest) -> BackupPlan:
        _check(request)
        await check_named(self._context, request)
        return shown_plan(await plan_backup(self._context, request))

    async def create_backup(self, request: BackupRequest, request_id: str) -> Backup:
        leader = self._leading()
        _check(request)
        if not await requests.is_recorded(self._context, request_id):
            await check_named(self._context, request)
        await check_store_owner(self._context)
        operation = await requests.record(
            self._context,
            leader.token,
            OperationKind.BACKUP,
            request=request,
            request_id=request_id,
        )
        leader.term.poke()
        return await self._shown(operation)

    async def seed_backup(self, request: SeedRequest, request_id: str) -> Backup:
        leader = self._leading()
        requests.check_request(request.collections, request.attempts)
        check_streams(request.streams)
        if not await requests.is_recorded(self._context, request_id):
            await check_named(self._context, BackupRequest(collections=request.collections))
        await check_store_owner(self._context)
        operation = await requests.record(
            self._context,
            leader.token,
            OperationKind.SEED,
            request=request,
            request_id=request_id,
        )
        leader.term.poke()
        return await self._shown(operation)

    async def import_backup(self, request: ImportRequest, request_id: str) -> Backup:
        leader = self._leading()
        requests.check_request([request.collection], request.attempts)
        check_import(request)
        await check_store_owner(self._context)
        operation = await requests.record(
            self._context,
            leader.token,
            OperationKind.IMPORT,
            request=request,
            request_id=request_id,
        )
        leader.term.poke()
        return await self._shown(operation)

    async def get_backup(self, name: str) -> Backup:
        found = await self._held(name)
        return await self._details.add(found) if found.state in IN_CATALOG else found

    async def _held(self, name: str) -> Backup:
        """The backup and what holds it: what is needed to act on it."""
        found, context = await self._found(name), self._context
        if found.state not in IN_CATALOG:
            return found
        epoch, now_s = Epoch(found.epoch), context.clock.wall_s()
        return replace(found, holds=await reasons_of(context.store, context.paths, epoch, now_s))

    async def _found(self, name: str) -> Backup:
        number = whole_number(name)
        if number is None:
            name = await resolve_any(self._context, name, *BACKUP_KINDS)
            try:
                return await self._shown(await requests.load(self._context, name, *BACKUP_KINDS))
            except NotFound:
                return await self._find_old(name)
        epoch = Epoch(number)
        for operation in await requests.load_all(self._context, *BACKUP_KINDS):
            if operation.epoch == epoch:
                return await self._shown(operation)
        try:
            return await self._of_epoch(epoch, await self._damage())
        except NotFound:
            story = await self._history.of_epoch(epoch, *BACKUP_KINDS)
            shown = None if story is None else backup_of(story)
            if shown is None:
                raise
            return shown

    async def _find_old(self, name: str) -> Backup:
        """One that etcd does not hold. Raises: NotFound."""
        context = self._context
        try:
            found = await find_group(context.store, context.paths, name)
        except NotFound:
            old = await find_old(context, name, *BACKUP_KINDS, then=backup_of)
            if old is None:
                raise
            return old
        return shown_group(found, damage=await self._damage())

    async def list_backups(self, page: PageRequest) -> BackupPage:
        operations = await requests.load_all(self._context, *BACKUP_KINDS)
        committed = {op.epoch for op in operations if op.state is State.COMMITTED}
        epochs = await list_epochs(self._context.store, self._context.paths)
        older: list[Epoch | OldBackup] = [e for e in epochs if e not in committed]
        if page.all:
            older += await self._history.older(operations, set(epochs), page, *BACKUP_KINDS)
        entries: list[Operation | Epoch | OldBackup] = list(operations)
        entries += sorted(older, key=position, reverse=True)
        chosen, token = cut_page(entries, page)
        damage = await self._damage()

        async def shown(entry: Operation | Epoch | OldBackup) -> Backup | None:
            if isinstance(entry, OldBackup):
                return backup_of(entry.story)
            if isinstance(entry, Operation):
                return await self._shown(entry, damage, with_shards=False)
            try:
                return await self._of_epoch(entry, damage, with_shards=False)
            except NotFound:
                return None  # deleted meanwhile

        found = await run_all([partial(shown, entry) for entry in chosen], _AT_ONCE)
        backups = [one for one in found if one is not None]
        return BackupPage(backups=tuple(backups), next_page_token=token)

    def watch_backup(self, name: str) -> AsyncIterator[Backup]:
        return watch(self._context.clock, lambda: self.get_backup(name))

    async def cancel_backup(self, name: str) -> Backup:
        term = self._leading().term
        backup = await self._held(name)
        if backup.state in {*IN_CATALOG, State.SEEDED}:
            already = f"backup {title_of(backup)} is {state_of(backup)} already"
            raise Refused(already, "nothing is left to cancel")
        if not is_over(backup):
            operation = await requests.load(self._context, backup.id, *BACKUP_KINDS)
            term.cancel(operation.id)
            backup = await wait_over(self.watch_backup(backup.id), backup)
        return backup

    async def find_epoch(self, backup: str, source: str, from_store: str = "") -> Epoch:
        """The epoch of the group that `backup` names, in the catalog of the cluster `source`; "":
        this one. `from_store`: the name of the store that has the catalog; "": the main one.

        Raises: NotFound; Refused, unless it is committed; what its manifest cannot be read for.
        """
        if source or from_store:
            context, store = self._context, self._context.store_of(from_store)
            where = context.stores[from_store].rule.url if from_store else context.store_url
            paths = Paths(await find_cluster(store, source or context.paths.cluster, where))
            return (await find_group(store, paths, backup)).epoch
        found = await self._committed(backup)
        if found.state is State.CORRUPT and found.error is not None:
            raise from_reason(found.error.reason)(found.error.message, found.error.hint)
        return Epoch(found.epoch)

    # Logs

    async def read_log(self, query: LogQuery) -> LogPage:
        context, now_s = self._context, self._context.clock.wall_s()
        since_s = parse_asked(query.since) if query.since else now_s - _LOG_S
        until_s = parse_asked(query.until) if query.until else now_s
        if until_s < since_s:
            until = query.until or "now"
            raise Invalid(f"{until} is before {query.since}", "give other times")
        wanted = LogFilter(
            collection=await self._behind(query.collection),
            since_ms=round(since_s * 1000),
            until_ms=round(until_s * 1000),
            kinds=query.kinds,
            grep=query.grep,
            limit=query.limit,
        )
        entries, truncated = await read_log(context.store, context.paths, wanted)
        return LogPage(operations=tuple(map(_logged, entries)), truncated=truncated)

    async def _behind(self, name: str) -> str:
        """The collection behind an alias now; any other name stays."""
        try:
            aliases = await ask_any(self._context.peers, lambda peer: peer.aliases(_ALIASES_S))
        except (Unavailable, TimedOut, Denied):
            return name  # its log may be read without any peer
        return aliases.get(name, name)

    # Deletion and holds

    async def delete_backup(self, name: str) -> Backup:
        self._leading()
        await check_store_owner(self._context)
        backup = await self._committed(name)
        await self._check_unused(backup)
        if not await delete_group(self._context, Epoch(backup.epoch), "asked for"):
            await self._check_unused(await self._committed(name))
            raise Refused(f"backup {backup.epoch} was held meanwhile", "delete it again")
        return replace(backup, state=State.DELETED, evidence=None)

    async def hold_backup(self, name: str, reason: str, for_s: float) -> Backup:
        self._leading()
        epoch, context = Epoch((await self._committed(name)).epoch), self._context
        now_s = context.clock.wall_s()
        await put_reason(context.store, context.paths, epoch, reason, now_s=now_s, for_s=for_s)
        return await self.get_backup(name)

    async def release_backup(self, name: str, reason: str) -> Backup:
        self._leading()
        epoch = Epoch((await self._committed(name)).epoch)
        await drop_reason(self._context.store, self._context.paths, epoch, reason)
        return await self.get_backup(name)

    async def _committed(self, name: str) -> Backup:
        """Raises: NotFound or Refused, unless it is one."""
        backup = await self._held(name)
        if backup.state is State.DELETED:
            raise NotFound(f"backup {name} was deleted", "see `cleancut backup list`")
        if backup.seed is not None:
            hint = "it only stores data ahead; run `cleancut backup create`"
            raise Refused(f"{name} is a seed, not a backup", hint)
        if backup.state not in IN_CATALOG:
            raise Refused(f"backup {name} is {state_of(backup)}", _hint_for(backup))
        return backup

    async def collect_garbage(self, *, dry_run: bool, confirmed: bool) -> GarbageCollection:
        return await self._leading().garbage.collect(dry_run=dry_run, confirmed=confirmed)

    async def repair_backup(self, name: str, from_store: str) -> Repair:
        self._leading()
        return await run_repair(self._context, name, from_store)

    async def verify_backup(
        self, name: str, *, quick: bool, read_percent: int, within_s: float
    ) -> Verdict:
        return await self._leading().checks.verify(
            name, quick=quick, read_percent=read_percent, within_s=within_s
        )

    async def drill_backup(self, name: str, *, collections: tuple[str, ...], shards: int) -> Drill:
        return await self._leading().checks.drill(name, collections=collections, shards=shards)

    async def _check_unused(self, backup: Backup) -> None:
        """Raises: Refused, while somebody is known to read the group, or holds it."""
        context, epoch = self._context, Epoch(backup.epoch)
        user = (await epochs_in_use(context)).get(epoch)
        if user is not None:
            raise Refused(
                f"{user.kind} {user.id} needs backup {epoch}",
                f"wait for its end: `cleancut {user.kind} watch {user.id}`",
            )
        if backup.holds:
            reason = shlex.quote(backup.holds[0])
            raise Refused(
                f"backup {epoch} is held for {'; '.join(backup.holds)}",
                f"`cleancut backup release {epoch} --reason {reason}` gives it free",
            )
        now_s = context.clock.wall_s()
        holds, _ = await read_holds(context.store, context.paths, now_s, epoch)
        if holds:
            raise Refused(
                f"another cluster holds backup {epoch}, to restore it ({min(holds)})",
                "wait for that restore's end; a hold ends by itself after 48 h",
            )

    # What is shown

    async def _damage(self) -> Damage:
        return await read_damage(self._context.store, self._context.paths)

    async def _of_epoch(self, epoch: Epoch, damage: Damage, *, with_shards: bool = True) -> Backup:
        """A group of the catalog. Raises: NotFound."""
        try:
            manifest = await load_group(self._context.store, self._context.paths, epoch)
        except (Corrupt, Refused) as error:
            return shown_corrupt(epoch, error)
        return shown_group(manifest, with_shards=with_shards, damage=damage)

    async def _shown(
        self, operation: Operation, damage: Damage | None = None, *, with_shards: bool = True
    ) -> Backup:
        """`damage`: read if it is not given and is needed."""
        shown = backup_from(operation if with_shards else replace(operation, traces=()))
        if operation.state is State.COMMITTED:
            known = await self._damage() if damage is None else damage
            return await self._with_group(shown, known, with_shards=with_shards)
        if operation.state in FINAL_STATES:
            return shown
        seeds = operation.kind is OperationKind.SEED
        read = _read_upload if seeds else _PROGRESS.get(operation.state, _read_upload)
        return replace(
            shown,
            progress=await read(self._context, operation.epoch),
            warnings=(*shown.warnings, *await read_behind(self._context, operation)),
        )

    async def _with_group(self, shown: Backup, damage: Damage, *, with_shards: bool) -> Backup:
        try:
            group = await self._of_epoch(Epoch(shown.epoch), damage, with_shards=with_shards)
        except NotFound:
            return replace(shown, state=State.DELETED)
        if group.state is State.CORRUPT:
            return replace(shown, state=group.state, error=group.error)
        return replace(
            group,
            created_at=shown.created_at,
            ended_at=shown.ended_at,
            attempt=shown.attempt,
            attempts=shown.attempts,
        )


def _hint_for(backup: Backup) -> str:
    """What to do about one that is not committed."""
    if is_over(backup):
        return "see `cleancut backup list`"
    return "`cleancut backup cancel` ends one that is under way"


def _check(request: BackupRequest) -> None:
    """Raises: Invalid, for what no backup may ask for."""
    requests.check_request(request.collections, request.attempts)
    check_fence(request)
    check_marks(request)


def _logged(entry: LoggedEntry) -> LoggedOperation:
    one = entry.operation
    return LoggedOperation(
        at=format_second(entry.at_ms / 1000),
        at_ms=entry.at_ms,
        shard_id=entry.chain.shard,
        index=entry.index,
        kind=one.kind,
        points=one.points,
        keys=one.keys,
        detail=one.detail,
        ids=tuple(map(str, one.ids[:_LOGGED_IDS])),
        filter="" if one.filter is None else encode(one.filter).decode(),
        chain=entry.chain.id,
    )

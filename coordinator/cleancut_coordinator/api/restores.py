"""Restores as the API sees them."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial

from msgspec.structs import replace

from cleancut.api.asked import read_asked
from cleancut.api.from_operation import restore_from, shown_moment
from cleancut.api.from_story import restore_of
from cleancut.api.interface import PageRequest
from cleancut.api.operations import is_over
from cleancut.api.restores import (
    KeptCollection,
    MomentOptions,
    PlannedCollection,
    PlannedPeer,
    PlannedReshard,
    Restore,
    RestoredCollection,
    RestoreEstimate,
    RestoreOptions,
    RestorePage,
    RestorePlan,
)
from cleancut.api.values import to_value
from cleancut.core.archive.entries import parse_entry
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import (
    Epoch,
    OperationId,
    PeerId,
    ShardId,
    numbered,
    parse_cluster,
)
from cleancut.core.primitives.timestamps import parse_asked, to_second
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.followers import is_reshard_after, rebalance_after
from cleancut.core.protocol.moment import Moment, MomentRequest
from cleancut.core.protocol.requests import ReshardRequest, RestoreRequest, ShardNumber
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, Phase, State
from cleancut.core.restore import plan as plans
from cleancut.core.restore.names import created_as
from cleancut.core.restore.overwrite import hold_reason, kept_backup_of
from cleancut.core.restore.report import RestoreReport
from cleancut.core.restore.shard_numbers import ReshardAfter, reshards_after
from cleancut.ports.coordination import Put
from cleancut.repository.archive.moments import find_moment
from cleancut.repository.catalog import LATEST, get_checked, load_group
from cleancut.repository.holds import reason_expiry
from cleancut_coordinator.api.backups import BackupService
from cleancut_coordinator.api.history import find_any, list_all, resolve_any
from cleancut_coordinator.api.progress import wait_over, watch, with_progress
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.restore.drop_replaced import drop_replaced, remaining_replaced
from cleancut_coordinator.restore.effects import RestoreEffects

_UNSEEN = frozenset(
    {
        State.RESHARDING,
        State.PREPARING,
        State.VERIFYING,
        State.ROLLING_BACK,
        State.ROLLED_BACK,
    }
)
"""With a report, and its names are not published."""


class RestoreService:
    """Implements `RestoreApi`. `leading` raises Unavailable on a standby."""

    def __init__(
        self,
        context: CoordinatorContext,
        leading: Callable[[], Leadership],
        backups: BackupService,
    ) -> None:
        self._context, self._leading, self._backups = context, leading, backups

    async def plan_restore(
        self, backup: str, options: RestoreOptions, *, deep: bool = False
    ) -> RestorePlan:
        request = await self._request(backup, options, "")
        return _shown_plan(await RestoreEffects(self._context).plan(request, deep=deep))

    async def start_restore(
        self, backup: str, options: RestoreOptions, *, request_id: str, plan_digest: str
    ) -> Restore:
        leader = self._leading()
        if options.offline:
            raise Refused(
                "shards are not built offline by a coordinator",
                "run `cleancut restore start --offline`, which builds them and restores them",
            )
        known = await requests.recorded(self._context, request_id, OperationKind.RESTORE)
        request = await self._request(backup, options, plan_digest, known)
        _check_confirmed(options)
        if (plan_digest or request.overwrite) and known is None:
            plan = await RestoreEffects(self._context).plan(request)
            plans.check_agreed(plan, plan_digest)
            if request.overwrite:
                plans.check_plan(plan)  # else a backup would be made for nothing
        reshards = await self._reshards(request) if known is None else ()
        operation = await requests.record(
            self._context,
            leader.token,
            OperationKind.RESTORE,
            request=request,
            request_id=request_id,
            also=partial(self._recorded_with, request, reshards),
            after=kept_backup_of if request.overwrite else None,
        )
        leader.term.poke()
        return await self._shown_restore(operation)

    async def _reshards(self, request: RestoreRequest) -> tuple[ReshardAfter, ...]:
        """Those that follow this restore. Raises: NotFound, Invalid, Corrupt, Unavailable."""
        if not request.shards:
            return ()
        paths = self._context.paths.of(request.from_cluster)
        store = self._context.store_of(request.from_store)
        manifest = await load_group(store, paths, request.backup)
        return reshards_after(manifest, plans.choose(manifest, request), request)

    def _recorded_with(
        self, request: RestoreRequest, reshards: Sequence[ReshardAfter], operation: Operation
    ) -> list[Put]:
        """The backup that comes before the restore, and what follows it."""
        follow = [
            ReshardRequest(
                collection=created_as(one.collection, request, operation.id),
                shards=one.wanted,
                shard_key=None if one.shard_key is None else str(one.shard_key),
            )
            for one in reshards
        ]
        puts = requests.put_followers(
            self._context, operation, reshards=follow, rebalance=request.rebalance
        )
        if request.overwrite:
            (collection,) = request.collections
            puts.append(requests.put_kept_backup(self._context, operation, collection))
        return puts

    async def _request(
        self,
        backup: str,
        options: RestoreOptions,
        plan_digest: str,
        known: Operation | None = None,
    ) -> RestoreRequest:
        """`known`: the operation of an earlier call, whose moment or latest backup counts: there
        may be newer ones.

        Raises: NotFound, Refused, Corrupt, and what the store does; nothing is recorded then.
        """
        source = parse_cluster(options.from_cluster) if options.from_cluster else ""
        if source == self._context.paths.cluster:
            source = ""
        named, target = tuple(sorted(set(options.collections))), None
        if options.target is None:
            before = _recorded(known) if backup == LATEST else None
            epoch = before.backup if before else await self._named(backup, source, options)
            named = await self._behind(epoch, source, options)
        elif options.from_store:
            raise Refused(
                "archived logs are not copied, so a backup in a copy is restored as it is",
                "leave --at, --to, --before and --without out, or restore from the main store",
            )
        else:
            asked = asked_of(options.target)
            moment = _recorded_moment(known, asked)
            epoch, target = moment or await self._moment(backup, asked, source, named)
            named = tuple(sorted({shard.collection for shard in target.shards}))
        return RestoreRequest(
            backup=epoch,
            collections=named,
            from_cluster=source,
            renames=tuple(sorted((one.old_name, one.new_name) for one in options.renames)),
            beside=options.beside,
            replace=options.replace,
            replicas=options.replicas,
            only_shards=tuple(ShardId(number) for number in sorted(set(options.only_shards))),
            shards=tuple(
                sorted(
                    (ShardNumber(of=one.of, shards=one.shards) for one in options.shards),
                    key=lambda one: one.of,
                )
            ),
            peer=None if options.peer_id is None else PeerId(options.peer_id),
            plan=plan_digest,
            rebalance=options.rebalance,
            strict=options.strict,
            accept_count=options.accept_count,
            target=target,
            from_store=options.from_store,
            quotas=options.quotas,
            offline=options.offline,
            overwrite=options.overwrite,
        )

    async def _named(self, backup: str, source: str, options: RestoreOptions) -> Epoch:
        """Raises: as `find_epoch`; Invalid, for the latest one in the place of a collection."""
        if options.overwrite and backup == LATEST:
            raise Invalid(
                "`latest` cannot overwrite a collection: the backup of the old data, which is made"
                " before, is the latest one afterwards",
                "give the backup's number or id, see `cleancut backup list`",
            )
        return await self._backups.find_epoch(backup, source, options.from_store)

    async def _behind(self, epoch: Epoch, source: str, options: RestoreOptions) -> tuple[str, ...]:
        """The collections of the backup that are meant: it knows which was behind an alias. What
        is overwritten has to be named itself. Raises: as `load_group`."""
        if not options.collections or options.overwrite:
            return tuple(sorted(set(options.collections)))
        store, paths = self._context.store_of(options.from_store), self._context.paths.of(source)
        return (await load_group(store, paths, epoch)).named(options.collections)

    async def _moment(
        self, backup: str, asked: MomentRequest, source: str, named: tuple[str, ...]
    ) -> tuple[Epoch, Moment]:
        """The backup, and the moment that it can be rolled forward to. Raises: as `find_moment`."""
        context = self._context
        latest = backup == LATEST
        epoch = None if latest else await self._backups.find_epoch(backup, source)
        manifest, moment = await find_moment(
            context.store,
            context.paths.of(source),
            asked,
            now_ms=round(context.clock.wall_s() * 1000),
            backup=epoch,
            named=named,
        )
        return manifest.epoch, moment

    async def get_restore(self, name: str) -> Restore:
        return await self._with_hold(
            await find_any(
                self._context, name, OperationKind.RESTORE, now=self._shown_restore, then=restore_of
            )
        )

    async def list_restores(self, page: PageRequest) -> RestorePage:
        shown, token = await list_all(
            self._context, page, OperationKind.RESTORE, now=self._shown_restore, then=restore_of
        )
        return RestorePage(restores=tuple(shown), next_page_token=token)

    def watch_restore(self, name: str) -> AsyncIterator[Restore]:
        return watch(self._context.clock, lambda: self.get_restore(name))

    async def cancel_restore(self, name: str) -> Restore:
        term = self._leading().term
        restore = await self.get_restore(name)
        if restore.state in {State.DONE, State.PUBLISHING}:
            raise Refused(
                f"restore {name} is already published",
                f"nothing is left to cancel; `cleancut restore show {name}` shows what it made",
            )
        if not is_over(restore):
            operation = await requests.load(self._context, restore.id, OperationKind.RESTORE)
            term.cancel(operation.id)
            restore = await wait_over(self.watch_restore(restore.id), restore)
        return restore

    async def clean_restore(self, name: str) -> Restore:
        token = self._leading().token
        name = await resolve_any(self._context, name, OperationKind.RESTORE)
        operation = await requests.load(self._context, name, OperationKind.RESTORE)
        if operation.state is not State.DONE:
            raise Refused(
                f"restore {name} is {operation.state}, not {State.DONE}",
                "only a restore that is done has replaced anything",
            )
        await drop_replaced(self._context, token, (await self._report(operation)).kept)
        return await self._shown_restore(operation)

    async def _shown_restore(self, operation: Operation) -> Restore:
        nothing = RestoreRequest(backup=Epoch(0))
        request, unread = read_asked(operation, RestoreRequest, nothing)
        shown = restore_from(operation, request, unread)
        if request.rebalance:
            shown = replace(shown, rebalance_id=rebalance_after(operation.id))
        if request.shards:
            shown = await self._with_reshards(shown)
        if not unread:
            shown = await self._of_store(shown, operation, request)
        return await with_progress(self._context, shown, operation, Phase.RECOVER)

    async def _with_hold(self, shown: Restore) -> Restore:
        """`shown`, with what can be read now of the backup of what it overwrites."""
        old, context = shown.overwritten, self._context
        if old is None:
            return shown
        with contextlib.suppress(CleancutError):
            epoch = await self._backups.find_epoch(old.backup_id, "")
            reason = hold_reason(OperationId(shown.id))
            until = await reason_expiry(context.store, context.paths, epoch, reason)
            old = replace(old, backup_epoch=epoch, held_until=to_second(until))
        return replace(shown, overwritten=old)

    async def _with_reshards(self, shown: Restore) -> Restore:
        """`shown`, with the reshards that follow, and what has become of them."""
        restore = OperationId(shown.id)
        recorded = await requests.load_all(self._context, OperationKind.RESHARD)
        followers = [one for one in recorded if is_reshard_after(one.id, restore)]
        followers.sort(key=lambda one: numbered(one.id))
        warnings = [text for one in followers for text in _of_reshard(one, shown.state)]
        return replace(
            shown,
            reshard_ids=tuple(one.id for one in followers),
            warnings=(*shown.warnings, *warnings),
        )

    async def _of_store(
        self, shown: Restore, operation: Operation, request: RestoreRequest
    ) -> Restore:
        """`shown`, with what the store holds of it. The restore goes on whether or not the store
        can be read now, so that is a warning."""
        try:
            with contextlib.suppress(NotFound):  # the backup was deleted meanwhile
                shown = await self._of_group(shown, request)
            if operation.detail:
                shown = await self._with_report(shown, await self._report(operation))
        except CleancutError as error:
            unread = f"not all of this restore can be shown: {error.message}"
            return replace(shown, warnings=(*shown.warnings, unread))
        return shown

    async def _of_group(self, shown: Restore, request: RestoreRequest) -> Restore:
        epoch, paths = Epoch(shown.backup_epoch), self._context.paths.of(request.from_cluster)
        group = await load_group(self._context.store_of(request.from_store), paths, epoch)
        names = [entry.name for entry in shown.collections]
        return replace(
            shown,
            backup_id=group.operation,
            collections=tuple(
                RestoredCollection(name=name, shards=len(group.shards_of(name)))
                for name in names or [entry.name for entry in group.collections]
            ),
        )

    async def _report(self, operation: Operation) -> RestoreReport:
        path = self._context.paths.staged(operation.detail_at, operation.detail)
        data = await get_checked(self._context.store, path, operation.detail)
        return decode(RestoreReport, data, path)

    async def _with_report(self, shown: Restore, report: RestoreReport) -> Restore:
        published, seen = shown.state is State.DONE, shown.state not in _UNSEEN
        kept = await remaining_replaced(self._context, report.kept) if published else ()
        return replace(
            shown,
            collections=tuple(
                to_value(
                    RestoredCollection,
                    one,
                    sample_queries_equal=one.canaries_equal,
                    published_as=one.published_as if seen else "",
                    aliases=one.aliases if seen else (),
                )
                for one in report.collections
            ),
            kept=tuple(to_value(KeptCollection, one) for one in kept),
            warnings=(*shown.warnings, *report.warnings),
        )


def _check_confirmed(options: RestoreOptions) -> None:
    """Raises: Refused, unless the name of what is overwritten was repeated."""
    if not options.overwrite:
        if options.confirm:
            raise Invalid("a name is confirmed only to overwrite it", "leave it out")
        return
    names = " ".join(sorted(set(options.collections)))
    if options.confirm != names:
        wrong = f", not {options.confirm!r}" if options.confirm else ""
        raise Refused(
            f"the collection is deleted, so its name has to be confirmed: {names!r}{wrong}",
            f"read `cleancut restore plan`, then add `--confirm {shlex.quote(names)}`",
        )


def _of_reshard(operation: Operation, restore: State) -> Iterator[str]:
    """Warnings of one that follows a restore in this state. The restore is whole without it, so
    they say how to go on."""
    request, unread = read_asked(operation, ReshardRequest, ReshardRequest(collection="", shards=0))
    yield from unread
    if restore is not State.DONE or operation.state not in FINAL_STATES - {State.DONE}:
        return
    cause = operation.failure.message if operation.failure else "no reason is recorded"
    key = f" --shard-key {shlex.quote(request.shard_key)}" if request.shard_key is not None else ""
    command = f"{shlex.quote(request.collection)} --shards {request.shards}{key}"
    on = "" if unread else f"; `cleancut reshard start {command}` goes on"
    yield f"reshard {operation.id} is {operation.state}: {cause}{on}"


def _shown_plan(plan: plans.PlacementPlan) -> RestorePlan:
    return to_value(
        RestorePlan,
        plan,
        collections=tuple(to_value(PlannedCollection, one) for one in plan.collections),
        peers=tuple(to_value(PlannedPeer, one) for one in plan.peers),
        digest=plan.digest,
        reshards=tuple(
            to_value(
                PlannedReshard,
                one,
                shard_key=None if one.shard_key is None else str(one.shard_key),
                steps=one.steps,
                estimated_s=one.estimated_s,
            )
            for one in plan.reshards
        ),
        moment=shown_moment(plan.moment) if plan.moment is not None else None,
        estimated_s=plan.estimate.usual_s if plan.estimate is not None else None,
        estimate=to_value(RestoreEstimate, plan.estimate) if plan.estimate is not None else None,
    )


def _recorded(known: Operation | None) -> RestoreRequest | None:
    """What an earlier call asked for."""
    return None if known is None else decode(RestoreRequest, known.request.encode(), known.id)


def _recorded_moment(known: Operation | None, asked: MomentRequest) -> tuple[Epoch, Moment] | None:
    """What an earlier call resolved this to, if it asked for the same."""
    request = _recorded(known)
    if request is None:
        return None
    same = request.target is not None and request.target.asked == asked
    return (request.backup, request.target) if request.target is not None and same else None


def asked_of(options: MomentOptions) -> MomentRequest:
    """Raises: Invalid, for a time or an entry of another form."""
    return MomentRequest(
        at_ms=(round(parse_asked(options.at) * 1000) or 1) if options.at else 0,  # 0: no time
        mark=options.mark,
        before=parse_entry(options.before) if options.before else None,
        without=parse_entry(options.without) if options.without else None,
        exact=options.exact,
        force=options.force,
    )

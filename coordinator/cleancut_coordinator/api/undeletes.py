"""Undeletes as the API sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from cleancut.api.from_operation import shard_of, undelete_from, with_shards
from cleancut.api.from_story import undelete_of
from cleancut.api.interface import PageRequest
from cleancut.api.operations import is_over
from cleancut.api.undeletes import Undelete, UndeleteOptions, UndeletePage, UndeletePlan
from cleancut.core.points.selection import parse_ids
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, NotFound
from cleancut.core.primitives.ids import check_collection_name
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import UndeleteRequest, check_undelete
from cleancut.core.protocol.states import FINAL_STATES, OperationKind
from cleancut.core.undelete import plan as planning
from cleancut.repository.catalog import LATEST, find_group
from cleancut_coordinator.api.history import find_any, list_all
from cleancut_coordinator.api.progress import wait_over, watch, with_progress
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.undelete.effects import UndeleteEffects, selection_of


class UndeleteService:
    """Implements `UndeleteApi`. `leading` raises Unavailable on a standby."""

    def __init__(self, context: CoordinatorContext, leading: Callable[[], Leadership]) -> None:
        self._context, self._leading = context, leading

    async def plan_undelete(self, options: UndeleteOptions) -> UndeletePlan:
        request = await self._request(options, "")
        plan = await UndeleteEffects(self._context).plan(request)
        return UndeletePlan(
            backup_id=options.backup_id,
            backup_epoch=plan.backup,
            collection=plan.collection,
            into=plan.into,
            shards=tuple(map(shard_of, plan.shards)),
            notes=plan.notes,
            blockers=plan.blockers,
            digest=plan.digest,
            size_bytes=sum(shard.size_bytes for shard in plan.shards),
        )

    async def start_undelete(
        self, options: UndeleteOptions, *, request_id: str, plan_digest: str
    ) -> Undelete:
        leader = self._leading()
        known = await requests.recorded(self._context, request_id, OperationKind.UNDELETE)
        request = await self._request(options, plan_digest, known)
        if known is None:
            plan = await UndeleteEffects(self._context).plan(request)
            planning.check_agreed(planning.check_undelete(plan), plan_digest)
        operation = await requests.record(
            self._context,
            leader.token,
            OperationKind.UNDELETE,
            request=request,
            request_id=request_id,
        )
        leader.term.poke()
        return await self._shown(operation)

    async def get_undelete(self, name: str) -> Undelete:
        return await find_any(
            self._context, name, OperationKind.UNDELETE, now=self._shown, then=undelete_of
        )

    async def list_undeletes(self, page: PageRequest) -> UndeletePage:
        shown, token = await list_all(
            self._context, page, OperationKind.UNDELETE, now=self._shown, then=undelete_of
        )
        return UndeletePage(undeletes=tuple(shown), next_page_token=token)

    def watch_undelete(self, name: str) -> AsyncIterator[Undelete]:
        return watch(self._context.clock, lambda: self.get_undelete(name))

    async def cancel_undelete(self, name: str) -> Undelete:
        term = self._leading().term
        undelete = await self.get_undelete(name)
        if is_over(undelete):
            return undelete
        term.cancel((await requests.load(self._context, undelete.id, OperationKind.UNDELETE)).id)
        return await wait_over(self.watch_undelete(undelete.id), undelete)

    async def _request(
        self, options: UndeleteOptions, plan_digest: str, known: Operation | None = None
    ) -> UndeleteRequest:
        """`known`: the operation of an earlier call, whose latest backup counts: there may be a
        newer one. Raises: Invalid, NotFound."""
        if known is not None and options.backup_id == LATEST:
            epoch = decode(UndeleteRequest, known.request.encode(), known.id).backup
        else:
            context = self._context
            epoch = (await find_group(context.store, context.paths, options.backup_id)).epoch
        request = UndeleteRequest(
            backup=epoch,
            collection=check_collection_name(options.collection),
            into=check_collection_name(options.into or options.collection),
            ids=parse_ids(options.ids),
            filter=options.filter,
            shard_keys=options.shard_keys,
            overwrite=options.overwrite,
            points_per_s=options.points_per_s,
            count_only=options.count_only,
            plan=plan_digest,
        )
        selection_of(check_undelete(request))
        return request

    async def _shown(self, operation: Operation) -> Undelete:
        shown = undelete_from(operation)
        effects = UndeleteEffects(self._context)
        if operation.detail:
            try:
                draft = await effects.draft(operation.epoch, operation.detail)
                if operation.state not in FINAL_STATES:
                    draft = replace(draft, shards=await effects.progress(operation.id))
            except NotFound:
                pass  # it was garbage collected meanwhile
            except CleancutError as error:  # the undelete goes on all the same
                unread = f"its shards cannot be shown: {error.message}"
                shown = replace(shown, warnings=(*shown.warnings, unread))
            else:
                shown = with_shards(shown, draft)
        return await with_progress(self._context, shown, operation)

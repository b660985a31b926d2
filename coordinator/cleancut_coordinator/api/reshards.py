"""Reshards as the API sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from cleancut.api.agent_names import with_step_agents
from cleancut.api.from_operation import reshard_from, step_of, with_steps
from cleancut.api.from_story import reshard_of
from cleancut.api.interface import PageRequest
from cleancut.api.operations import is_over
from cleancut.api.reshards import Reshard, ReshardOptions, ReshardPage, ReshardPlan
from cleancut.core.primitives.errors import CleancutError, NotFound
from cleancut.core.primitives.ids import check_collection_name
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import ReshardRequest, check_shard_number
from cleancut.core.protocol.states import OperationKind
from cleancut.core.reshard import plan as planning
from cleancut_coordinator.api.history import find_any, list_all
from cleancut_coordinator.api.progress import wait_over, watch, with_progress
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.peer_agents import read_peer_agents
from cleancut_coordinator.reshard.effects import ReshardEffects


class ReshardService:
    """Implements `ReshardApi`. `leading` raises Unavailable on a standby."""

    def __init__(self, context: CoordinatorContext, leading: Callable[[], Leadership]) -> None:
        self._context, self._leading = context, leading

    async def plan_reshard(self, options: ReshardOptions) -> ReshardPlan:
        plan = await ReshardEffects(self._context).plan(_request(options, ""))
        shown = ReshardPlan(
            collection=plan.collection,
            shard_key=_shown_key(plan.shard_key),
            shards=plan.present,
            wanted=plan.wanted,
            steps=tuple(map(step_of, plan.steps)),
            notes=plan.notes,
            blockers=plan.blockers,
            digest=plan.digest,
            size_bytes=plan.moved_bytes,
        )
        return with_step_agents(shown, await read_peer_agents(self._context))

    async def start_reshard(
        self, options: ReshardOptions, *, request_id: str, plan_digest: str
    ) -> Reshard:
        leader = self._leading()
        request = _request(options, plan_digest)
        if not await requests.is_recorded(self._context, request_id):
            plan = planning.check_reshard(await ReshardEffects(self._context).plan(request))
            planning.check_agreed(plan, plan_digest)
        operation = await requests.record(
            self._context,
            leader.token,
            OperationKind.RESHARD,
            request=request,
            request_id=request_id,
        )
        leader.term.poke()
        return await self._shown(operation)

    async def get_reshard(self, name: str) -> Reshard:
        return await find_any(
            self._context, name, OperationKind.RESHARD, now=self._shown, then=reshard_of
        )

    async def list_reshards(self, page: PageRequest) -> ReshardPage:
        shown, token = await list_all(
            self._context, page, OperationKind.RESHARD, now=self._shown, then=reshard_of
        )
        return ReshardPage(reshards=tuple(shown), next_page_token=token)

    def watch_reshard(self, name: str) -> AsyncIterator[Reshard]:
        return watch(self._context.clock, lambda: self.get_reshard(name))

    async def cancel_reshard(self, name: str) -> Reshard:
        term = self._leading().term
        reshard = await self.get_reshard(name)
        if is_over(reshard):
            return reshard
        term.cancel((await requests.load(self._context, reshard.id, OperationKind.RESHARD)).id)
        return await wait_over(self.watch_reshard(reshard.id), reshard)

    async def _shown(self, operation: Operation) -> Reshard:
        shown = reshard_from(operation)
        if operation.detail:
            effects = ReshardEffects(self._context)
            try:
                draft = await effects.draft(operation.detail_epoch, operation.detail)
            except NotFound:
                pass  # it was garbage collected meanwhile
            except CleancutError as error:  # the reshard goes on all the same
                unplanned = f"the steps cannot be shown: {error.message}"
                shown = replace(shown, warnings=(*shown.warnings, unplanned))
            else:
                agents = await read_peer_agents(self._context)
                shown = with_step_agents(with_steps(shown, draft), agents)
        return await with_progress(self._context, shown, operation)


def _request(options: ReshardOptions, plan_digest: str) -> ReshardRequest:
    return ReshardRequest(
        collection=check_collection_name(options.collection),
        shards=check_shard_number(options.shards),
        shard_key=options.shard_key,
        plan=plan_digest,
    )


def _shown_key(key: str | int | None) -> str | None:
    return None if key is None else str(key)

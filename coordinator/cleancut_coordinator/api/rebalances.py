"""Rebalances as the API sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec.structs import replace

from cleancut.api.agent_names import with_agents
from cleancut.api.from_operation import moves_of, peers_of, rebalance_from, with_moves
from cleancut.api.from_story import rebalance_of
from cleancut.api.interface import PageRequest
from cleancut.api.operations import is_over
from cleancut.api.rebalances import (
    Rebalance,
    RebalanceOptions,
    RebalancePage,
    RebalancePlan,
)
from cleancut.api.values import to_value
from cleancut.core.primitives.errors import CleancutError, NotFound
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import RebalanceRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.rebalance.plan import Step, check_balance
from cleancut.core.rebalance.ready_moves import done_steps
from cleancut_coordinator.api.history import find_any, list_all
from cleancut_coordinator.api.progress import wait_over, watch, with_progress
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.peer_agents import read_peer_agents
from cleancut_coordinator.rebalance.effects import RebalanceEffects, check_agreed
from cleancut_coordinator.rebalance.transfers import read_now

_LOOK_S = 2.0
"""So long a look at the places of shards may take."""


class RebalanceService:
    """Implements `RebalanceApi`. `leading` raises Unavailable on a standby."""

    def __init__(self, context: CoordinatorContext, leading: Callable[[], Leadership]) -> None:
        self._context, self._leading = context, leading

    async def plan_rebalance(self, options: RebalanceOptions) -> RebalancePlan:
        plan = await RebalanceEffects(self._context).plan(_request(options, ""))
        shown = to_value(
            RebalancePlan,
            plan,
            steps=moves_of(plan),
            peers=peers_of(plan),
            digest=plan.digest,
            size_bytes=plan.moved_bytes,
        )
        return with_agents(shown, await read_peer_agents(self._context))

    async def start_rebalance(
        self, options: RebalanceOptions, *, request_id: str, plan_digest: str
    ) -> Rebalance:
        leader = self._leading()
        request = _request(options, plan_digest)
        if not await requests.is_recorded(self._context, request_id):
            plan = check_balance(await RebalanceEffects(self._context).plan(request))
            check_agreed(plan, plan_digest)
        operation = await requests.record(
            self._context,
            leader.token,
            OperationKind.REBALANCE,
            request=request,
            request_id=request_id,
        )
        leader.term.poke()
        return await self._shown_rebalance(operation)

    async def get_rebalance(self, name: str) -> Rebalance:
        return await find_any(
            self._context,
            name,
            OperationKind.REBALANCE,
            now=self._shown_rebalance,
            then=rebalance_of,
        )

    async def list_rebalances(self, page: PageRequest) -> RebalancePage:
        shown, token = await list_all(
            self._context,
            page,
            OperationKind.REBALANCE,
            now=self._shown_rebalance,
            then=rebalance_of,
        )
        return RebalancePage(rebalances=tuple(shown), next_page_token=token)

    def watch_rebalance(self, name: str) -> AsyncIterator[Rebalance]:
        return watch(self._context.clock, lambda: self.get_rebalance(name))

    async def cancel_rebalance(self, name: str) -> Rebalance:
        term = self._leading().term
        rebalance = await self.get_rebalance(name)
        if is_over(rebalance):
            return rebalance
        term.cancel((await requests.load(self._context, rebalance.id, OperationKind.REBALANCE)).id)
        return await wait_over(self.watch_rebalance(rebalance.id), rebalance)

    async def _shown_rebalance(self, operation: Operation) -> Rebalance:
        shown = rebalance_from(operation)
        if operation.detail:
            effects = RebalanceEffects(self._context)
            try:
                draft = await effects.draft(operation.epoch, operation.detail)
            except NotFound:
                pass  # it was garbage collected meanwhile
            except CleancutError as error:  # the rebalance goes on all the same
                unplanned = f"the plan cannot be shown: {error.message}"
                shown = replace(shown, warnings=(*shown.warnings, unplanned))
            else:
                agents = await read_peer_agents(self._context)
                done = await self._done(draft.plan.steps) if shown.state is State.MOVING else None
                shown = with_agents(with_moves(shown, draft, done), agents)
        return await with_progress(self._context, shown, operation)

    async def _done(self, steps: Sequence[Step]) -> set[Step] | None:
        """Those that the cluster shows to be done; None, if it does not say in time."""
        try:
            async with asyncio.timeout(_LOOK_S):
                return done_steps(steps, await read_now(self._context, steps))
        except (CleancutError, TimeoutError):
            return None


def _request(options: RebalanceOptions, plan_digest: str) -> RebalanceRequest:
    return RebalanceRequest(
        max_moves=options.max_moves,
        bandwidth_aware=options.bandwidth_aware,
        drop_surplus=options.drop_surplus,
        plan=plan_digest,
    )

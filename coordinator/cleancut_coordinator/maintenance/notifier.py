"""Notifications by the leader: each target has an outbox in etcd, so that the next leader sends
what this one did not. An event that was sent but not yet taken off is sent again, with its id."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from cleancut.core.maintenance.notifications import (
    Notification,
    Outbox,
    Seen,
    SeenOperation,
    SeenSchedule,
    failed,
    observed,
    opened,
    refused,
    sent,
    without_old,
)
from cleancut.core.maintenance.notify_bodies import body_of
from cleancut.core.maintenance.notify_rules import Event, NotifyRule
from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, Refused
from cleancut.core.primitives.ids import Epoch, FencingToken
from cleancut.core.protocol.etcd_records import Operation
from cleancut.runtime.concurrency import run_all
from cleancut.runtime.log import Logger
from cleancut.runtime.watched_files import WatchedSecret
from cleancut.runtime.webhook import POST_S, check_webhook_url, post
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import decode_or_skip, read_record
from cleancut_coordinator.leader.state import LeaderState
from cleancut_coordinator.maintenance.scheduler import read_state
from cleancut_coordinator.metrics.notify_metrics import DROPPED, FAILED, SENT, NotifyMetrics
from cleancut_coordinator.schedules import read_schedules

EVERY_S = 5.0
DAMAGE_S = 300.0
FIRST_RETRY_S, LAST_RETRY_S = 5.0, 300.0
_AT_ONCE = 8
_IN_A_ROW = 5
"""Events that one target is sent before all are looked at again."""


class Post(Protocol):
    """What `webhook.post` does."""

    async def __call__(
        self, url: str, body: bytes, *, content_type: str, token: str = "", bound_s: float = POST_S
    ) -> None: ...


class Target:
    """One `[notify.NAME]` in this process: its outbox as etcd has it, and when it is tried next."""

    def __init__(self, name: str, rule: NotifyRule) -> None:
        self.name, self.rule = name, rule
        self.outbox: Outbox | None = None
        self.retry_s = self.not_before_s = 0.0
        self._url = WatchedSecret(Path(rule.url_file)) if rule.url_file else None
        self._token = WatchedSecret(Path(rule.token_file)) if rule.token_file else None

    def address(self, event: Event) -> tuple[str, str]:
        """URL and token of such an event. Raises: Denied (a file cannot be read), Invalid."""
        own = self._url.get() if self._url is not None else self.rule.url
        url = self.rule.url_of(event, own)
        check_webhook_url(url, insecure=self.rule.insecure)
        return url, self._token.get() if self._token is not None else ""


class Notifier:
    """One term's notifications."""

    def __init__(
        self,
        context: CoordinatorContext,
        token: FencingToken,
        *,
        metrics: NotifyMetrics,
        log: Logger,
        post: Post = post,
    ) -> None:
        self._context, self._log, self._post = context, log, post
        self._metrics, self._state = metrics, LeaderState(context, token)
        self._targets = [Target(name, rule) for name, rule in sorted(context.notify.items())]
        self._wants_damage = any(Event.DAMAGED in one.rule.on for one in self._targets)
        self._damage_at_s = 0.0

    async def run(self) -> None:
        """Sends for ever, if there is a target; a failure is logged and tried again."""
        forgotten = False
        while self._targets:
            try:
                if not forgotten:
                    await forget_targets(self._context, self._state)
                    forgotten = True
                await self.look()
            except (Fenced, LeaseLost):
                return  # the term ends by itself
            except CleancutError as error:
                self._log.warning("notifications not looked at", cause=error.message)
            await self._context.clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Notes what is new, and sends what is due. Raises: Fenced; errors of etcd."""
        seen = await self._read()
        for target in self._targets:
            await self._note(target, seen)
        await run_all([partial(self._send, target) for target in self._targets], _AT_ONCE)

    async def _note(self, target: Target, seen: Seen) -> None:
        key = self._context.keys.notified_of(target.name)
        before = target.outbox or await read_record(self._context, key, Outbox)
        after = opened(seen) if before is None else observed(before, seen, target.rule)
        after = without_old(after, seen.now_s)
        if before is not None and after.dropped > before.dropped:
            lost = after.dropped - before.dropped
            self._metrics.count(target.name, DROPPED, lost)
            self._log.error("events not delivered", notify=target.name, number=lost)
        await self._keep(target, before, after)

    async def _send(self, target: Target) -> None:
        """Oldest first; a failure holds the others up, so that they arrive in order."""
        clock = self._context.clock
        for _ in range(_IN_A_ROW):
            before = target.outbox
            if before is None or not before.pending or clock.monotonic_s() < target.not_before_s:
                return
            one, wall_s = before.pending[0], clock.wall_s()
            try:
                await self._deliver(target, one)
            except Refused as error:
                self._note_failure(target, DROPPED, error)
                after = refused(before, one.id, error.message, wall_s)
            except CleancutError as error:
                self._note_failure(target, FAILED, error)
                target.retry_s = min(max(FIRST_RETRY_S, 2 * target.retry_s), LAST_RETRY_S)
                target.not_before_s = clock.monotonic_s() + target.retry_s
                after = failed(before, error.message, wall_s)
            else:
                target.retry_s = 0.0
                self._metrics.count(target.name, SENT)
                self._log.info("notified", notify=target.name, event_id=one.id)
                after = sent(before, one.id, wall_s)
            await self._keep(target, before, after)

    async def _deliver(self, target: Target, one: Notification) -> None:
        url, token = target.address(one.event)
        cluster = self._context.keys.cluster
        body, content_type = body_of(target.rule.template, cluster, one)
        await self._post(url, body, content_type=content_type, token=token)

    def _note_failure(self, target: Target, outcome: str, error: CleancutError) -> None:
        self._metrics.count(target.name, outcome)
        told = self._log.warning if target.retry_s < LAST_RETRY_S else self._log.debug
        told(
            "not notified",
            notify=target.name,
            cause=error.message,
            hint=error.hint,
            again=outcome == FAILED,
        )

    async def _keep(self, target: Target, before: Outbox | None, after: Outbox) -> None:
        """Writes it, if anything is new; this process goes on with what is written."""
        if after != before:
            record = replace(after, nonce=self._context.token_hex(8))
            await self._state.put(self._context.keys.notified_of(target.name), record)
        target.outbox = after

    async def _read(self) -> Seen:
        context = self._context
        listing = await context.etcd.list(context.keys.operations)
        operations = [
            SeenOperation(item.mod_revision, record)
            for item in listing.items
            if (record := decode_or_skip(context, Operation, item)) is not None
        ]
        schedules: dict[str, SeenSchedule] = {}
        for name, rule in (await read_schedules(context)).items():
            state = await read_state(context, name)
            if state is not None:
                schedules[name] = SeenSchedule(rule.do, state)
        damaged = await self._damaged()
        return Seen(context.clock.wall_s(), tuple(operations), schedules, damaged)

    async def _damaged(self) -> Mapping[Epoch, str] | None:
        """None, if no target wants it, it was read a while ago, or the store does not answer."""
        context = self._context
        if not self._wants_damage or context.clock.monotonic_s() < self._damage_at_s:
            return None
        self._damage_at_s = context.clock.monotonic_s() + DAMAGE_S
        try:
            stock, _ = await self._context.catalog.read()
        except CleancutError as error:
            self._log.debug("damage not read", cause=error.message)
            return None
        return stock.damaged


async def read_outboxes(context: CoordinatorContext) -> dict[str, Outbox]:
    """What etcd holds of each target; nothing of one that no leader has looked at."""
    keys = [(name, context.keys.notified_of(name)) for name in sorted(context.notify)]
    found = [(name, await read_record(context, key, Outbox)) for name, key in keys]
    return {name: outbox for name, outbox in found if outbox is not None}


async def forget_targets(context: CoordinatorContext, state: LeaderState) -> None:
    """Deletes the outboxes of targets that are not configured any more. Raises: Fenced."""
    keys = context.keys
    listing = await context.etcd.list(keys.notified)
    wanted = {keys.notified_of(name) for name in context.notify}
    await state.delete_all([item.key for item in listing.items if item.key not in wanted])

"""The leader's notifications, over an etcd in memory and a receiver on loopback: leaders change,
receivers fail, and every event arrives with an id that stays the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace as replace_
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.notify_rules import NotifyRule, Template
from cleancut.core.maintenance.schedule import Do, ScheduleRule, ScheduleState
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Fenced
from cleancut.core.primitives.ids import ClusterName, Epoch, FencingToken, OperationId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.ports.coordination import Created, Delete, Put
from cleancut.repository.verification_log import put_check
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.api.doctor_facts import _unnotified
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.state import LeaderState, format_now
from cleancut_coordinator.maintenance.notifier import (
    DAMAGE_S,
    FIRST_RETRY_S,
    Notifier,
    forget_targets,
    read_outboxes,
)
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from tests.support.groups import manifest, shard
from tests.support.receiver import Receiver, receiving

LOG = configure_logging("critical", "test")
SECRET = "T0K3N"


class HandClock(SystemClock):
    """Set by hand."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def wall_s(self) -> float:
        return self.now_s

    def monotonic_s(self) -> float:
        return self.now_s


class Cluster:
    """Coordinators that lead one after the other, with one receiver."""

    def __init__(self, receiver: Receiver, **rule: object) -> None:
        self.receiver, self.clock = receiver, HandClock()
        fields = {"url": receiver.url, **rule}
        self.context = CoordinatorContext(
            name="c0",
            store_url="memory",
            keys=Keys(ClusterName("prod")),
            paths=Paths(ClusterName("prod")),
            etcd=MemoryEtcd(self.clock),
            store=MemoryStore(),
            peers=(),
            clock=self.clock,
            file_schedules={"second": ScheduleRule(cron="@daily", do=Do.COPY, to="second")},
            notify={"ops": NotifyRule(**fields)},  # type: ignore[arg-type]
        )
        self.metrics = CoordinatorMetrics("prod", ("ops",))
        self.token = FencingToken(0)

    async def lead(self) -> Notifier:
        """A new leader, which knows nothing but what etcd holds."""
        key, etcd = self.context.keys.leader, self.context.etcd
        await etcd.txn([], [Delete(key)])
        result = await etcd.txn([Created(key, 0)], [Put(key, b"{}")])
        self.token = FencingToken(result.revision)
        return Notifier(self.context, self.token, metrics=self.metrics.notified, log=LOG)

    async def end(self, number: int, state: State = State.COMMITTED) -> None:
        """An operation ends, as the leader writes it."""
        now = format_now(self.clock)
        one = Operation(
            id=OperationId(f"b-{number}"),
            kind=OperationKind.BACKUP,
            state=state,
            request="{}",
            epoch=Epoch(number),
            created_at=now,
            ended_at=now,
        )
        await self.context.etcd.txn([], [Put(self.context.keys.operation(one.id), encode(one))])

    def counted(self, outcome: str) -> float:
        labels = {"cluster": "prod", "notify": "ops", "outcome": outcome}
        return self.metrics.registry.get_sample_value("cleancut_notifications_total", labels) or 0.0


def run(act: Callable[[Cluster], Awaitable[None]], **rule: object) -> None:
    async def body() -> None:
        async with receiving() as receiver:
            await act(Cluster(receiver, **rule))

    asyncio.run(body())


def test_an_event_is_sent_once_and_what_was_before_is_not() -> None:
    async def act(cluster: Cluster) -> None:
        await cluster.end(1)
        notifier = await cluster.lead()
        await notifier.look()
        await cluster.end(2)
        await notifier.look()
        await notifier.look()
        (one,) = cluster.receiver.taken
        assert one.json["id"] == "committed-b-2"
        assert (one.json["cluster"], one.json["epoch"], one.json["backup"]) == ("prod", 2, "b-2")
        assert cluster.counted("sent") == 1

    run(act)


def test_the_next_leader_sends_what_the_one_before_did_not() -> None:
    """One ended while there was no leader, one while the receiver failed."""

    async def act(cluster: Cluster) -> None:
        await (await cluster.lead()).look()
        await cluster.end(1)
        cluster.receiver.answers = [503]
        await (await cluster.lead()).look()
        await cluster.end(2, State.ABORTED)
        await (await cluster.lead()).look()
        ids = [one.json["id"] for one in cluster.receiver.taken]
        assert ids == ["committed-b-1", "committed-b-1", "aborted-b-2"]
        assert (cluster.counted("failed"), cluster.counted("sent")) == (1, 2)

    run(act)


def test_a_leader_that_is_deposed_between_sending_and_noting_it_has_the_event_sent_again() -> None:
    """At least once: the second one has the same id, from which a receiver knows it."""

    async def act(cluster: Cluster) -> None:
        await (await cluster.lead()).look()
        await cluster.end(1)
        old = await cluster.lead()
        deliver = old._deliver

        async def and_depose(*of: object) -> None:
            await deliver(*of)  # type: ignore[arg-type]
            await cluster.lead()

        old._deliver = and_depose  # type: ignore[assignment, method-assign]
        with pytest.raises(Fenced):
            await old.look()
        await (await cluster.lead()).look()
        bodies = [one.json for one in cluster.receiver.taken]
        assert len(bodies) == 2
        assert bodies[0] == bodies[1]

    run(act)


def test_a_receiver_that_fails_is_tried_again_later_and_later_and_in_order() -> None:
    async def act(cluster: Cluster) -> None:
        notifier = await cluster.lead()
        await notifier.look()
        cluster.receiver.answers = [500, 500]
        await cluster.end(1)
        await notifier.look()
        await cluster.end(2)
        await notifier.look()
        assert len(cluster.receiver.taken) == 1  # before its time, nothing is tried
        (failing,) = await _unnotified(cluster.context)
        assert (failing.name, failing.pending) == ("ops", 2)
        assert "answered 500" in failing.why
        cluster.clock.now_s += FIRST_RETRY_S
        await notifier.look()
        assert len(cluster.receiver.taken) == 2
        cluster.clock.now_s += FIRST_RETRY_S
        await notifier.look()
        assert len(cluster.receiver.taken) == 2  # the second wait is longer
        cluster.clock.now_s += FIRST_RETRY_S
        await notifier.look()
        ids = [one.json["id"] for one in cluster.receiver.taken]
        assert ids == [*3 * ["committed-b-1"], "committed-b-2"]
        assert await _unnotified(cluster.context) == ()

    run(act)


def test_an_event_that_a_receiver_refuses_for_good_does_not_hold_up_the_others() -> None:
    async def act(cluster: Cluster) -> None:
        notifier = await cluster.lead()
        await notifier.look()
        cluster.receiver.answers = [400]
        await cluster.end(1)
        await cluster.end(2)
        await notifier.look()
        assert [one.json["id"] for one in cluster.receiver.taken] == [
            "committed-b-1",
            "committed-b-2",
        ]
        assert (await read_outboxes(cluster.context))["ops"].dropped == 1
        assert cluster.counted("dropped") == 1

    run(act)


def test_events_that_were_tried_for_a_day_are_dropped_and_counted() -> None:
    async def act(cluster: Cluster) -> None:
        notifier = await cluster.lead()
        await notifier.look()
        cluster.receiver.answers = [500]
        await cluster.end(1)
        await notifier.look()
        cluster.clock.now_s += 86401
        await notifier.look()
        assert len(cluster.receiver.taken) == 1
        assert cluster.counted("dropped") == 1

    run(act)


def test_copies_and_damage() -> None:
    async def act(cluster: Cluster) -> None:
        context = cluster.context
        one = shard("docs", 0)
        await context.store.put(context.paths.group(Epoch(3)), encode(manifest(3, (one,))))
        notifier = await cluster.lead()
        await notifier.look()
        at = format_now(cluster.clock)
        state = ScheduleState(timing="", seen=at, due=at, outcome="good")
        await LeaderState(context, cluster.token).put(context.keys.schedule("second"), state)
        found = VerificationRecord(
            level=Level.ALL, epoch=Epoch(3), at=at, problems=("bad",), damaged=(one.recipe,)
        )
        await put_check(context.store, context.paths, found)
        cluster.clock.now_s += DAMAGE_S
        await notifier.look()
        assert cluster.receiver.events == ["copied", "damaged"]
        assert cluster.receiver.taken[1].json["epoch"] == 3

    run(act)


def test_url_and_token_come_from_files_which_may_be_replaced(tmp_path: Path) -> None:
    """A secret is nowhere but in its file: not in etcd, not in what doctor says."""

    async def act(cluster: Cluster) -> None:
        url, token = tmp_path / "url", tmp_path / "token"
        rule = NotifyRule(url_file=str(url), token_file=str(token), template=Template.SLACK)
        cluster.context = replace_(cluster.context, notify={"ops": rule})
        notifier = await cluster.lead()
        await notifier.look()
        await cluster.end(1)
        await notifier.look()
        (failing,) = await _unnotified(cluster.context)
        assert failing.why == f"cannot read {url}"
        url.write_text(f"http://hooks.example/{SECRET}\n")
        token.write_text("abc\n")
        cluster.clock.now_s += FIRST_RETRY_S
        await notifier.look()
        (failing,) = await _unnotified(cluster.context)
        assert "plaintext" in failing.why
        outbox = await cluster.context.etcd.get(cluster.context.keys.notified_of("ops"))
        assert outbox is not None
        assert SECRET not in outbox.value.decode()

    run(act)


def test_outboxes_of_targets_that_are_no_longer_configured_are_deleted() -> None:
    async def act(cluster: Cluster) -> None:
        await (await cluster.lead()).look()
        assert set(await read_outboxes(cluster.context)) == {"ops"}
        renamed = replace_(
            cluster.context, notify={"pager": replace(cluster.context.notify["ops"])}
        )
        await cluster.lead()
        await forget_targets(renamed, LeaderState(renamed, cluster.token))
        assert await read_outboxes(cluster.context) == {}

    run(act)

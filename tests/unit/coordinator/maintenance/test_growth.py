"""Growth: what is left in etcd and in the store after very many backups."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import Counter

from msgspec.structs import replace

from cleancut.core.format.paths import COORDINATOR_PROBE, kind_of
from cleancut.core.maintenance.retention import Policy, Retention
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken, OperationId, Sha256
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.commands import Decide, Persist
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Operation, ProbeObject, Vote
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.ports.coordination import Put
from cleancut.repository.catalog import publish_group, put_staged
from cleancut.repository.verification_log import put_check
from cleancut_coordinator.leader.cluster_id import establish
from cleancut_coordinator.leader.high_water import put_opened
from cleancut_coordinator.leader.state import LeaderState
from tests.unit.coordinator.maintenance.test_gc_stops import KEYS, NOW_S, PATHS, World, _manifest

BACKUPS = int(os.environ.get("GROWTH_BACKUPS", "640"))
HOUR_S = 3600.0
PER_DAY = 8
KEPT = 10
AGENT = AgentName("a1")


class Growing(World):
    """A backup every three hours, one in six aborted; retention keeps the newest ten, and
    the history of twenty days."""

    def __init__(self) -> None:
        policy = Policy(Retention(keep_last=KEPT), max_expire_share=1.0)
        super().__init__(policy, days=0)
        gc = dataclasses.replace(self.context.gc, stories_s=20 * 24 * HOUR_S)
        self.context = dataclasses.replace(self.context, gc=gc)

    async def back_up(self, state: LeaderState, number: int) -> None:
        epoch = await state.next_epoch()
        operation = Operation(
            id=OperationId(f"b-{number}"),
            kind=OperationKind.BACKUP,
            state=State.PENDING,
            request="{}",
            request_id=f"r-{number}",
            epoch=epoch,
            created_at=format_time(self.clock.wall_s()),
        )
        request = Put(KEYS.request(operation.request_id), operation.id.encode())
        assert (await state.txn([request])).applied
        await put_opened(self.context, epoch)
        probe = PATHS.probe(epoch, COORDINATOR_PROBE)
        await self.store.put(probe, encode(ProbeObject(nonce=f"{number}")))
        ctl = Ctl(phase=Phase.PREPARE, epoch=epoch, operation=operation.id)
        members = {AGENT: EpochMember(session=FencingToken(1))}
        assert await state.persist(Persist(ctl, operation, members), epoch)
        vote = Vote(session=FencingToken(1), yes=True)
        await self.etcd.txn([], [Put(KEYS.vote(epoch, "UPLOAD", AGENT), encode(vote))])
        if number % 6 == 5:
            operation = replace(operation, state=State.ABORTED)
            assert await state.persist(Persist(replace(ctl, phase=Phase.ABORT), operation), epoch)
            return
        await self.commit(state, ctl, operation)

    async def commit(self, state: LeaderState, ctl: Ctl, operation: Operation) -> None:
        manifest = _manifest(ctl.epoch, self.clock.wall_s())
        manifest = replace(manifest, operation=operation.id)
        sha256 = await put_staged(self.store, PATHS, ctl.epoch, manifest)
        ctl = replace(ctl, phase=Phase.COMMIT, manifest=Sha256(sha256))
        vote = Vote(session=FencingToken(1), yes=True)
        assert await state.decide(Decide(ctl, "UPLOAD", (AGENT,)), {AGENT: vote})
        await publish_group(self.store, PATHS, manifest, encode(manifest))
        for _ in range(5):
            check = VerificationRecord(
                epoch=ctl.epoch,
                at=format_time(self.clock.wall_s()),
                level=Level.ALL,
            )
            await put_check(self.store, PATHS, check)
        done = replace(operation, state=State.COMMITTED)
        assert await state.persist(Persist(replace(ctl, phase=Phase.IDLE), done), ctl.epoch)

    def pass_hours(self, number: int) -> None:
        self.clock.shown_s += number * HOUR_S
        self.store.time_s = self.clock.shown_s

    async def keys(self) -> Counter[str]:
        listing = await self.etcd.list(KEYS.root)
        return Counter(item.key.removeprefix(KEYS.root).partition("/")[0] for item in listing.items)

    def objects(self) -> Counter[str]:
        return Counter(kind_of(path.removeprefix(PATHS.root)).value for path in self.store.objects)


def test_what_is_left_does_not_grow_with_the_number_of_backups() -> None:
    """Neither keys in etcd nor objects in the store: after eighty days it is as after forty."""
    world, seen = Growing(), []

    async def day_of(state: LeaderState, first: int, last: int) -> None:
        for number in range(first, last):
            await world.back_up(state, number)
            world.pass_hours(24 // PER_DAY)

    async def begin() -> LeaderState:
        token = await world.etcd_token()
        await establish(world.context, token)
        state = LeaderState(world.context, token)
        await state.load()
        return state

    state = asyncio.run(begin())
    for day in range(BACKUPS // PER_DAY):
        asyncio.run(day_of(state, day * PER_DAY, (day + 1) * PER_DAY))
        world.gc()
        seen.append((asyncio.run(world.keys()), world.objects()))
    half = len(seen) // 2 + 5
    for which, name in enumerate(("etcd", "store")):
        early = {kind for one in seen for kind in one[which]}
        for kind in early:
            before = max(one[which][kind] for one in seen[:half])
            after = max(one[which][kind] for one in seen[half:])
            assert after <= before, f"{kind} in {name} grows: {before}, then {after}"
    keys, objects = seen[-1]
    assert keys["group"] <= 80
    assert objects["tombstone"] < 33 * PER_DAY
    assert sum(keys.values()) < 300
    assert sum(objects.values()) < 2000, objects


def test_checks_of_one_backup_do_not_pile_up() -> None:
    """An hourly verification of a backup that stays: the newest hundred are kept."""
    world = Growing()

    async def begin() -> None:
        token = await world.etcd_token()
        await establish(world.context, token)
        state = LeaderState(world.context, token)
        await state.load()
        await world.back_up(state, 0)

    asyncio.run(begin())
    for number in range(300):
        world.pass_hours(1)
        at = format_time(world.clock.wall_s())
        record = VerificationRecord(epoch=Epoch(1), at=at, level=Level.ALL)
        asyncio.run(put_check(world.store, PATHS, record))
        if number % 50 == 49:
            world.gc()
    world.gc()
    assert world.objects()["verification"] <= 150
    newest = format_time(NOW_S + 300 * HOUR_S).replace(":", "")
    assert any(newest in path for path in world.store.objects)

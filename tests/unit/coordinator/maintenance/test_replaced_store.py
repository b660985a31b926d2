"""A store that was replaced: groups that only etcd remembers stop no gc run."""

from __future__ import annotations

import asyncio

from cleancut.core.maintenance.retention import Policy, Retention
from cleancut.core.primitives.codec import digest_of, encode
from cleancut.core.primitives.ids import Epoch, OperationId, Sha256
from cleancut.core.protocol.etcd_records import Group
from cleancut.ports.coordination import Put
from tests.unit.coordinator.maintenance.test_gc_stops import KEYS, PATHS, World


def decided(world: World, epoch: int, sha256: str) -> None:
    group = Group(epoch=Epoch(epoch), operation=OperationId(f"b-{epoch}"), manifest=Sha256(sha256))
    asyncio.run(world.etcd.txn([], [Put(KEYS.group(Epoch(epoch)), encode(group))]))


def test_groups_without_their_staged_manifest_are_skipped_and_reported() -> None:
    """One is gone with the old store, one is of another format; retention goes on."""
    world = World(Policy(Retention(keep_last=1), max_expire_share=1.0), days=3)
    reported: list[str] = []
    world.context.skipped.report = lambda key, _cause: reported.append(key)
    decided(world, 11, "0" * 64)
    foreign = {"format": 99, "epoch": 12}
    world.store.objects[PATHS.staged(Epoch(12), digest_of(foreign))] = encode(foreign)
    decided(world, 12, digest_of(foreign))
    assert [one.epoch for one in world.gc().expired] == [1, 2]
    assert reported == [KEYS.group(Epoch(11)), KEYS.group(Epoch(12))]

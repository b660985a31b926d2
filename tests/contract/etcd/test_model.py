"""The model of etcd against etcd: the same random calls, the same results, step by step."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from cleancut.core.primitives.errors import Invalid
from cleancut.etcd.client import Etcd, open_etcd
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.ports.coordination import (
    Change,
    Created,
    Delete,
    Guard,
    KeyValue,
    Modified,
    Op,
    Put,
    TxnResult,
    UnchangedSince,
)
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_etcd import MemoryEtcd
from tests.contract.etcd.worlds import watching
from tests.support.etcd_cluster import EtcdCluster

STEPS = 250


class Pair:
    """A real etcd and the model; revisions and leases of the one translated to the other's."""

    def __init__(self, etcd: Etcd, model: EtcdModel, root: str, base: int) -> None:
        self.etcd = etcd
        self.model = model
        self.root = root
        self.offset = base - model.revision
        self.leases = {0: 0}
        self.granted = {0: 0}
        """The model's lease by the real one's id, the revoked ones too."""

    def kv_to_model(self, kv: KeyValue) -> KeyValue:
        return replace(
            kv,
            create_revision=kv.create_revision and kv.create_revision - self.offset,
            mod_revision=kv.mod_revision - self.offset,
            lease=self.granted[kv.lease],
        )

    def guard_to_real(self, guard: Guard) -> Guard:
        return replace(guard, revision=guard.revision and guard.revision + self.offset)

    def op_to_real(self, op: Op) -> Op:
        return replace(op, lease=self.leases[op.lease]) if isinstance(op, Put) else op

    async def txn(self, guards: list[Guard], ops: list[Op]) -> bool:
        """Both did the same; whether it was applied."""
        try:
            expected = self.model.txn(guards, ops)
        except Invalid:
            with pytest.raises(Invalid):
                await self._real_txn(guards, ops)
            return False
        assert await self._real_txn(guards, ops) == expected, (guards, ops)
        return expected.applied

    async def _real_txn(self, guards: list[Guard], ops: list[Op]) -> TxnResult:
        result = await self.etcd.txn(
            [self.guard_to_real(guard) for guard in guards], [self.op_to_real(op) for op in ops]
        )
        return replace(result, revision=result.revision - self.offset)

    async def check_listing(self) -> None:
        listing = await self.etcd.list(self.root)
        assert listing.revision - self.offset == self.model.revision
        found = tuple(self.kv_to_model(kv) for kv in listing.items)
        assert found == self.model.list(self.root).items

    async def check_history(self, start: int) -> None:
        """A watch from `start` (the model's revision) shows what the model remembers."""
        expected = [c for changes in self.model.changes_since(self.root, start) for c in changes]
        seen: list[Change] = []
        async with (
            asyncio.timeout(30),
            watching(self.etcd, self.root, start + self.offset) as watch,
        ):
            while len(seen) < len(expected):
                seen += await anext(watch)
        assert [Change(self.kv_to_model(c.kv), c.deleted) for c in seen] == expected


class Dice:
    """Random guards and operations over four keys, half of them near the truth."""

    def __init__(self, seed: int, pair: Pair) -> None:
        self._random = random.Random(seed)
        self._pair = pair
        self._keys = [f"{pair.root}{name}" for name in ("a", "a/1", "a/2", "b")]

    def chance(self, percent: int) -> bool:
        return self._random.randrange(100) < percent

    def guard(self) -> Guard:
        model, key = self._pair.model, self._random.choice(self._keys)
        found = model.get(key)
        if self.chance(25):
            prefix = self._random.choice([self._pair.root, *self._keys])
            return UnchangedSince(prefix, max(0, model.revision - self._random.randrange(3)))
        near = self.chance(80)
        if self.chance(50):
            truth = found.create_revision if found else 0
            return Created(key, truth if near else self._random.randrange(5))
        truth = found.mod_revision if found else 0
        return Modified(key, truth if near else self._random.randrange(5))

    def op(self) -> Op:
        key = self._random.choice(self._keys)
        if self.chance(30):
            return Delete(key)
        lease = self._random.choice(list(self._pair.leases))
        return Put(key, self._random.randbytes(3), lease)

    def some(self, most: int) -> range:
        return range(self._random.randrange(most + 1))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_model_does_what_etcd_does(etcd_trio: EtcdCluster, etcd_root: str, seed: int) -> None:
    """Results, listings, revisions and leases are equal after every call, and so is the history
    that a watch shows afterwards."""

    async def main() -> None:
        async with asyncio.timeout(120), open_etcd(etcd_trio.endpoints) as etcd:
            base = (await etcd.list(etcd_root)).revision
            pair = Pair(etcd, EtcdModel(), etcd_root, base)
            dice = Dice(seed, pair)
            applied = 0
            for step in range(STEPS):
                if step % 25 == 0:
                    await renew_lease(pair, etcd_trio)
                guards = [dice.guard() for _ in dice.some(2)]
                applied += await pair.txn(guards, [dice.op() for _ in dice.some(3)])
                await pair.check_listing()
            assert STEPS / 5 < applied < STEPS
            await pair.check_history(2)

    asyncio.run(main())


async def renew_lease(pair: Pair, cluster: EtcdCluster) -> None:
    """Revokes the lease in use on both sides, with the keys under it, and grants another."""
    member = cluster.members[0]
    old = [lease for lease in pair.leases if lease in pair.model.leases]
    for lease in old:
        pair.model.revoke(lease)
        cluster.post(member, "lease/revoke", ID=str(pair.leases.pop(lease)))
    granted = cluster.post(member, "lease/grant", TTL="600")
    lease = pair.model.grant(600, 0)
    pair.leases[lease] = int(granted["ID"])
    pair.granted[int(granted["ID"])] = lease


def test_leases_of_the_model_run_out_in_order() -> None:
    """Each at its own time, prolonged by keepalives and by a change of leader, one revision each,
    and one without keys makes none."""
    model = EtcdModel()
    first, second, bare = model.grant(5, 0), model.grant(7, 0), model.grant(6, 0)
    model.txn([], [Put("a", b"", first), Put("b", b"", second), Put("c", b"", first)])
    model.expire(4.9)
    assert model.keep_alive(first, 4.9) == 5
    model.expire(9.8)
    assert [kv.key for kv in model.list("").items] == ["a", "c"]
    assert (model.keep_alive(second, 9.8), model.keep_alive(bare, 9.8)) == (0, 0)
    assert model.revision == 3
    model.change_leader(9.8)
    model.expire(14.7)
    assert model.next_expiry_s() == pytest.approx(14.8)
    model.expire(14.8)
    deleted = [[(c.kv.key, c.deleted) for c in cs] for cs in model.changes_since("", 3)]
    assert deleted == [[("b", True)], [("a", True), ("c", True)]]
    assert model.next_expiry_s() is None


async def one_change(watch: AsyncGenerator[tuple[Change, ...], None]) -> tuple[Change, ...]:
    return await anext(watch)


def test_clients_of_one_model_see_each_other() -> None:
    """A watch of one client shows the other's write at once, and closing one leaves the other."""

    async def main() -> None:
        model = EtcdModel()
        one, two = MemoryEtcd(SystemClock(), model), MemoryEtcd(SystemClock(), model)
        async with asyncio.timeout(5), watching(one, "k", 1) as watch:
            async with asyncio.TaskGroup() as group:
                seen = group.create_task(one_change(watch))
                await asyncio.sleep(0)
                await two.txn([], [Put("k", b"v")])
                await two.close()
            assert seen.result()[0].kv.value == b"v"
            assert await one.get("k") is not None

    asyncio.run(main())

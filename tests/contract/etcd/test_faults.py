"""The real client on real members that die, freeze, lose their majority or their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cleancut.core.primitives.errors import TimedOut, Unavailable
from cleancut.etcd.calls import TRY_S
from cleancut.etcd.client import Etcd, open_etcd
from cleancut.ports.coordination import Created, Delete, Lease, Modified, Put, TxnResult
from cleancut.runtime.clock import SystemClock
from tests.contract.etcd.worlds import wait_until, watching
from tests.support.addresses import dead_address
from tests.support.etcd_cluster import EtcdCluster, Member
from tests.support.etcd_proxy import Proxy, open_proxy

CLOCK = SystemClock()


class Writer:
    """Writes a counter by guarded txns until told to stop, and knows what has been written."""

    def __init__(self, etcd: Etcd, key: str) -> None:
        self.written: list[bytes] = []
        self.longest_s = 0.0
        self.stop = False
        self._etcd = etcd
        self._key = key

    async def run(self) -> None:
        revision = 0
        while not self.stop:
            value = b"%d" % len(self.written)
            started_s = CLOCK.monotonic_s()
            result = await self._etcd.txn([Modified(self._key, revision)], [Put(self._key, value)])
            self.longest_s = max(self.longest_s, CLOCK.monotonic_s() - started_s)
            assert result.applied, (value, revision, result, await self._etcd.get(self._key))
            revision = result.revision
            self.written.append(value)
            await asyncio.sleep(0.005)

    async def wait_written(self, more: int, limit_s: float = 20) -> None:
        goal = len(self.written) + more

        async def enough() -> bool:
            return len(self.written) >= goal

        await wait_until(enough, limit_s)


async def watch_until(
    etcd: Etcd, key: str, start: int, last: Callable[[], bytes | None]
) -> list[bytes]:
    """All values of `key` that a watch from revision `start` shows, up to `last()`."""
    seen: list[bytes] = []
    async with watching(etcd, key, start) as watch:
        async for changes in watch:
            seen += [change.kv.value for change in changes]
            if seen[-1] == last():
                break
    return seen


async def under_fault(etcd: Etcd, key: str, fault: Callable[[], None]) -> tuple[Writer, Lease]:
    """Writes, watches and keeps a lease while `fault` happens, and checks that nothing is lost,
    doubled or given up."""
    writer = Writer(etcd, key)

    def last() -> bytes | None:
        return writer.written[-1] if writer.stop and done.is_set() else None

    done = asyncio.Event()
    start = (await etcd.list(key)).revision + 1  # what other tests compacted is before it
    async with etcd.lease(10) as lease, asyncio.TaskGroup() as group:
        writing = group.create_task(writer.run())
        watching = group.create_task(watch_until(etcd, key, start, last))
        await writer.wait_written(20)
        fault()
        await writer.wait_written(20)
        writer.stop = True
        await writing
        # One more write makes the watch show the end.
        writer.written.append(b"end")
        done.set()
        await etcd.txn([], [Put(key, b"end")])
        async with asyncio.timeout(20):
            seen = await watching
        assert seen == writer.written
        assert lease.alive()
    return writer, lease


def go(members: list[str], body: Callable[[Etcd], Awaitable[Any]], call_s: float = 10) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), open_etcd(members, call_s=call_s) as etcd:
            await body(etcd)

    asyncio.run(main())


def leader_first(cluster: EtcdCluster) -> tuple[Member, list[str]]:
    leader = cluster.leader()
    return leader, [leader.endpoint, *(m.endpoint for m in cluster.followers())]


def test_leader_killed(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """The client was on it: each write ends within a call's 10 s, the watch loses and doubles
    nothing, the lease is kept."""
    leader, endpoints = leader_first(etcd_trio)

    async def body(etcd: Etcd) -> None:
        await under_fault(etcd, f"{etcd_root}k", lambda: etcd_trio.kill(leader))

    go(endpoints, body)


def test_leader_killed_behind_a_follower(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """The client stays on a follower, which forwards to the dead leader for a while."""
    leader, endpoints = leader_first(etcd_trio)

    async def body(etcd: Etcd) -> None:
        await under_fault(etcd, f"{etcd_root}k", lambda: etcd_trio.kill(leader))

    go(endpoints[1:], body)


def test_member_frozen(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """The frozen leader's connections stay open and silent: calls move on after a try, the watch
    once pings go unanswered; nothing is lost, the lease is kept."""
    leader, endpoints = leader_first(etcd_trio)

    async def body(etcd: Etcd) -> None:
        writer, _ = await under_fault(etcd, f"{etcd_root}k", lambda: etcd_trio.freeze(leader))
        assert writer.longest_s > 1

    go(endpoints, body)


def test_quiet_watch_on_a_frozen_member(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """Only unanswered pings betray it, 3-13 s later: the watch moves on and shows what was written
    meanwhile."""
    member = etcd_trio.followers()[0]
    others = [m.endpoint for m in etcd_trio.members if m is not member]

    async def body(etcd: Etcd) -> None:
        start = (await etcd.list(etcd_root)).revision + 1
        async with open_etcd(others) as direct, watching(etcd, etcd_root, start) as watch:
            await direct.txn([], [Put(f"{etcd_root}k", b"1")])
            assert (await anext(watch))[0].kv.value == b"1"
            etcd_trio.freeze(member)
            await direct.txn([], [Put(f"{etcd_root}k", b"2")])
            async with asyncio.timeout(30):
                assert (await anext(watch))[0].kv.value == b"2"

    go([member.endpoint, *others], body)


def test_majority_lost(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """Reads, writes and the watch of the member left fail in bounded time, as retryable errors;
    the client works again once the majority is back."""
    leader = etcd_trio.leader()
    left = etcd_trio.followers()[0]

    async def read(etcd: Etcd) -> None:
        with pytest.raises(Unavailable):
            await etcd.get(f"{etcd_root}k")

    async def write(etcd: Etcd) -> None:
        with pytest.raises((Unavailable, TimedOut)):
            await etcd.txn([Created(f"{etcd_root}k", 0)], [Put(f"{etcd_root}k", b"v")])

    async def watch(etcd: Etcd) -> None:
        started_s = CLOCK.monotonic_s()
        with pytest.raises(Unavailable):
            await anext(etcd.watch(etcd_root, 0))
        assert CLOCK.monotonic_s() - started_s > 1

    async def body(etcd: Etcd) -> None:
        await etcd.list(etcd_root)
        for member in etcd_trio.members:
            if member is not left:
                etcd_trio.kill(member)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            tasks = [group.create_task(call(etcd)) for call in (read, write, watch)]
        assert not any(task.cancelled() for task in tasks)
        await asyncio.to_thread(etcd_trio.repair)
        assert (await etcd.txn([], [Put(f"{etcd_root}again", b"v")])).applied

    go([left.endpoint, leader.endpoint], body, call_s=5)


def test_dead_endpoint_costs_nothing(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """Nobody listens at the first endpoint: the next one answers at once, writes included. A client
    that spent a try on it would do so each time, however busy the machine is."""
    took_s = []

    async def body(etcd: Etcd) -> None:
        started_s = CLOCK.monotonic_s()
        assert (await etcd.txn([], [Put(f"{etcd_root}k", b"v")])).applied
        assert (await etcd.version()).count(".") == 2
        took_s.append(CLOCK.monotonic_s() - started_s)

    with dead_address() as dead:
        for _ in range(5):
            go([dead, *etcd_trio.endpoints], body)
    assert min(took_s) < TRY_S


Txn = Callable[[Etcd], Awaitable[TxnResult]]


async def lose_an_answer(cluster: EtcdCluster, txn: Txn, applied: Callable[[Etcd], Any]) -> Any:
    """What `txn` makes of an answer that is lost after the txn has been applied."""
    async with open_proxy(cluster.endpoints[0]) as proxy, open_etcd(cluster.endpoints) as direct:
        return await _through(proxy, txn, lambda: wait_until(lambda: applied(direct)))


async def lose_a_request(cluster: EtcdCluster, txn: Txn, meanwhile: Callable[[Etcd], Any]) -> Any:
    """What `txn` makes of a request that is lost while somebody else does `meanwhile`."""
    async with open_proxy(cluster.endpoints[0]) as proxy, open_etcd(cluster.endpoints) as direct:

        async def lost() -> bool:
            return proxy.lost_bytes > 0

        async def until() -> None:
            await wait_until(lost)
            await meanwhile(direct)

        return await _through(proxy, txn, until, requests=True)


async def _through(
    proxy: Proxy, txn: Txn, until: Callable[[], Awaitable[Any]], requests: bool = False
) -> Any:
    """Cuts the proxy's connections after `until`, with the txn's answer or request swallowed."""
    async with open_etcd([proxy.endpoint]) as etcd:
        await etcd.list("/")
        if requests:
            proxy.lose_requests()
        else:
            proxy.lose_answers()

        async def outcome() -> Any:
            try:
                return await txn(etcd)
            except TimedOut as error:
                return error

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            running = group.create_task(outcome())
            await until()
            proxy.cut()
        return running.result()


def test_lost_answer_of_an_applied_txn(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """Sent again and refused, its own value read back: applied, with the revision of its write;
    and written once."""
    key = f"{etcd_root}k"

    async def main() -> None:
        async def txn(etcd: Etcd) -> TxnResult:
            return await etcd.txn([Created(key, 0)], [Put(key, b"nonce 1")])

        async def applied(direct: Etcd) -> bool:
            return await direct.get(key) is not None

        result = await lose_an_answer(etcd_trio, txn, applied)
        async with open_etcd(etcd_trio.endpoints) as direct:
            found = await direct.get(key)
        assert found is not None
        assert result == TxnResult(True, found.mod_revision)
        assert found.create_revision == found.mod_revision

    asyncio.run(main())


def test_lost_request_and_somebody_was_faster(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """Sent again and refused, another's value read back: refused."""
    key = f"{etcd_root}k"

    async def main() -> None:
        async def txn(etcd: Etcd) -> TxnResult:
            return await etcd.txn([Created(key, 0)], [Put(key, b"nonce 1")])

        async def meanwhile(direct: Etcd) -> None:
            await direct.txn([], [Put(key, b"nonce 2")])

        result = await lose_a_request(etcd_trio, txn, meanwhile)
        assert isinstance(result, TxnResult)
        assert not result.applied

    asyncio.run(main())


def test_lost_request_is_sent_again(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """Nobody wrote meanwhile: the second try is applied."""
    key = f"{etcd_root}k"

    async def main() -> None:
        async def txn(etcd: Etcd) -> TxnResult:
            return await etcd.txn([Created(key, 0)], [Put(key, b"nonce 1")])

        async def meanwhile(direct: Etcd) -> None:
            assert await direct.get(key) is None

        assert (await lose_a_request(etcd_trio, txn, meanwhile)).applied

    asyncio.run(main())


@pytest.mark.parametrize("guarded", [True, False])
def test_unknown_stays_unknown(etcd_trio: EtcdCluster, etcd_root: str, guarded: bool) -> None:
    """A lost answer that nothing can resolve is TimedOut: a guarded txn of deletions only (refused
    the second time, whoever deleted), and a write without a guard, which is never sent again."""
    key, beside = f"{etcd_root}k", f"{etcd_root}beside"

    async def main() -> None:
        async with open_etcd(etcd_trio.endpoints) as direct:
            born = (await direct.txn([], [Put(key, b"v")])).revision

        async def txn(etcd: Etcd) -> TxnResult:
            if guarded:
                return await etcd.txn([Modified(key, born)], [Delete(key)])
            return await etcd.txn([], [Delete(key), Put(beside, b"v")])

        async def applied(direct: Etcd) -> bool:
            return await direct.get(key) is None

        assert isinstance(await lose_an_answer(etcd_trio, txn, applied), TimedOut)
        if not guarded:
            async with open_etcd(etcd_trio.endpoints) as direct:
                found = await direct.get(beside)
            assert found is not None
            assert found.create_revision == found.mod_revision

    asyncio.run(main())


def test_closed_during_a_txn(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """Sent, and the client closed before the answer: TimedOut, for it may have been applied."""

    async def main() -> None:
        async with open_proxy(etcd_trio.endpoints[0]) as proxy, open_etcd([proxy.endpoint]) as etcd:
            await etcd.list("/")
            proxy.lose_answers()

            async def lost() -> bool:
                return proxy.lost_bytes > 0

            async def txn() -> None:
                key = f"{etcd_root}k"
                with pytest.raises(TimedOut):
                    await etcd.txn([Created(key, 0)], [Put(key, b"v")])

            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                sending = group.create_task(txn())
                await wait_until(lost)
                await etcd.close()
            assert not sending.cancelled()

    asyncio.run(main())

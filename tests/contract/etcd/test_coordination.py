"""The `Coordination` port: one suite for the real etcd and for the one in memory."""

from __future__ import annotations

import asyncio

import pytest

from cleancut.core.primitives.errors import Invalid, LeaseLost, TimedOut, Unavailable
from cleancut.ports.coordination import (
    Change,
    Compacted,
    Coordination,
    Created,
    Delete,
    DeleteRange,
    Guard,
    Modified,
    Put,
    UnchangedSince,
)
from tests.contract.etcd.worlds import World, run, wait_until, watching


async def put(etcd: Coordination, key: str, value: bytes = b"v") -> int:
    """Writes without a guard; the revision."""
    return (await etcd.txn([], [Put(key, value)])).revision


async def holds(etcd: Coordination, guard: Guard) -> bool:
    return (await etcd.txn([guard], [])).applied


def test_reading_tells_revisions(world: World) -> None:
    """create_revision stays over writes, mod_revision follows them, absent keys are None."""

    async def body(etcd: Coordination) -> None:
        key = f"{world.root}k"
        assert await etcd.get(key) is None
        first = await put(etcd, key, b"1")
        second = await put(etcd, key, b"\x00\xff")
        found = await etcd.get(key)
        assert found is not None
        assert (found.key, found.value, found.lease) == (key, b"\x00\xff", 0)
        assert (found.create_revision, found.mod_revision) == (first, second)
        assert second == first + 1

    run(world, body)


def test_list_is_sorted_and_keeps_to_its_prefix(world: World) -> None:
    """All keys under the prefix in byte order, none beside it, and the store's revision."""

    async def body(etcd: Coordination) -> None:
        empty = await etcd.list(f"{world.root}a/")
        assert empty.items == ()
        for name in ("a/2", "a/10", "a/é", "a0", "a", "b/1"):
            last = await put(etcd, world.root + name)
        listing = await etcd.list(f"{world.root}a/")
        assert [kv.key.removeprefix(world.root) for kv in listing.items] == ["a/10", "a/2", "a/é"]
        assert listing.revision == last > empty.revision

    run(world, body)


def test_guards_on_one_key(world: World) -> None:
    """Created follows the life of a key, Modified each write; 0 says that it must not exist."""

    async def body(etcd: Coordination) -> None:
        key = f"{world.root}k"
        assert await holds(etcd, Created(key, 0))
        assert await holds(etcd, Modified(key, 0))
        born = await put(etcd, key)
        assert not await holds(etcd, Created(key, 0))
        assert not await holds(etcd, Modified(key, 0))
        assert await holds(etcd, Modified(key, born))
        changed = await put(etcd, key)
        assert await holds(etcd, Created(key, born))
        assert not await holds(etcd, Created(key, changed))
        assert await holds(etcd, Modified(key, changed))
        assert not await holds(etcd, Modified(key, born))
        await etcd.txn([], [Delete(key)])
        assert not await holds(etcd, Created(key, born))
        await put(etcd, key)
        assert not await holds(etcd, Created(key, born))

    run(world, body)


def test_all_guards_must_hold_or_nothing_is_written(world: World) -> None:
    """One false guard of three, and neither put nor delete happens, nor does the revision move."""

    async def body(etcd: Coordination) -> None:
        key, other = f"{world.root}k", f"{world.root}other"
        born = await put(etcd, key, b"old")
        guards: list[Guard] = [Created(key, born), Modified(key, born), Created(other, 7)]
        refused = await etcd.txn(guards, [Put(other, b"x"), Delete(key)])
        assert not refused.applied
        assert refused.revision == born
        assert [kv.value for kv in (await etcd.list(world.root)).items] == [b"old"]
        applied = await etcd.txn(guards[:2], [Put(other, b"x"), Delete(key)])
        assert applied.applied
        assert applied.revision == born + 1
        assert [kv.key for kv in (await etcd.list(world.root)).items] == [other]

    run(world, body)


def test_unchanged_since(world: World) -> None:
    """A changed and a new vote are caught; an empty prefix is true; deletions are not seen."""

    async def body(etcd: Coordination) -> None:
        votes = f"{world.root}vote/"
        assert await holds(etcd, UnchangedSince(votes, 1))
        await put(etcd, f"{votes}a")
        read = (await etcd.list(votes)).revision
        await put(etcd, f"{world.root}elsewhere")
        assert await holds(etcd, UnchangedSince(votes, read))
        await put(etcd, f"{votes}a", b"changed my mind")
        assert not await holds(etcd, UnchangedSince(votes, read))
        read = (await etcd.list(votes)).revision
        assert await holds(etcd, UnchangedSince(votes, read))
        await put(etcd, f"{votes}b")
        assert not await holds(etcd, UnchangedSince(votes, read))
        await etcd.txn([], [Delete(f"{votes}b")])
        assert await holds(etcd, UnchangedSince(votes, read))

    run(world, body)


def test_a_range_is_deleted_up_to_its_end(world: World) -> None:
    """What lies before and at the end stays, all in one revision; a put within it is refused."""
    root = world.root

    async def body(etcd: Coordination) -> None:
        for name in ("a", "r/1", "r/2", "r/3", "s"):
            await put(etcd, f"{root}{name}")
        revision = (await etcd.list(root)).revision
        gone = DeleteRange(f"{root}r/", f"{root}r/3")
        result = await etcd.txn([], [gone, Delete(f"{root}a")])
        assert result.applied
        assert result.revision == revision + 1
        left = [item.key.removeprefix(root) for item in (await etcd.list(root)).items]
        assert left == ["r/3", "s"]
        assert (await etcd.txn([], [gone])).revision == result.revision
        with pytest.raises(Invalid):
            await etcd.txn([], [gone, Put(f"{root}r/2", b"x")])

    run(world, body)


def test_deleting_nothing_is_no_change(world: World) -> None:
    """The txn applies, and the revision stays."""

    async def body(etcd: Coordination) -> None:
        before = await put(etcd, f"{world.root}k")
        result = await etcd.txn([], [Delete(f"{world.root}absent")])
        assert result.applied
        assert result.revision == before

    run(world, body)


def test_txn_limits(world: World) -> None:
    """128 guards and operations pass; 129, a key written twice and an empty key are Invalid."""

    async def body(etcd: Coordination) -> None:
        keys = [f"{world.root}{i}" for i in range(129)]
        guards, ops = [Created(key, 0) for key in keys], [Put(key, b"v") for key in keys]
        assert (await etcd.txn(guards[:128], ops[:128])).applied
        with pytest.raises(Invalid):
            await etcd.txn(guards, [])
        with pytest.raises(Invalid):
            await etcd.txn([], ops)
        with pytest.raises(Invalid):
            await etcd.txn([], [ops[0], ops[0]])
        with pytest.raises(Invalid):
            await etcd.txn([], [ops[0], Delete(keys[0])])
        with pytest.raises(Invalid):
            await etcd.get("")
        assert len((await etcd.list(world.root)).items) == 128

    run(world, body)


def test_watch_from_the_past(world: World) -> None:
    """Everything since the start revision in order, a txn's changes together, then live ones."""

    async def body(etcd: Coordination) -> None:
        a, b = f"{world.root}w/a", f"{world.root}w/b"
        start = await put(etcd, a, b"1")
        await put(etcd, f"{world.root}x/beside")
        both = (await etcd.txn([], [Put(a, b"2"), Put(b, b"3")])).revision
        gone = (await etcd.txn([], [Delete(a)])).revision
        seen: list[Change] = []
        async with watching(etcd, f"{world.root}w/", start) as watch:
            async for changes in watch:
                revisions = {change.kv.mod_revision for change in changes}
                assert (
                    both not in revisions
                    or sum(change.kv.mod_revision == both for change in changes) == 2
                )
                seen += changes
                if len(seen) == 4:
                    live = await put(etcd, b, b"4")
                if len(seen) >= 5:
                    break
        told = [(c.kv.key, c.kv.value, c.kv.mod_revision, c.deleted) for c in seen]
        assert told == [
            (a, b"1", start, False),
            (a, b"2", both, False),
            (b, b"3", both, False),
            (a, b"", gone, True),
            (b, b"4", live, False),
        ]
        assert seen[4].kv.create_revision == both

    run(world, body)


def test_watch_from_now(world: World) -> None:
    """Start revision 0 shows later changes only."""

    async def body(etcd: Coordination) -> None:
        old = await put(etcd, f"{world.root}k", b"old")
        seen: list[Change] = []

        async def watch_one() -> None:
            async with watching(etcd, world.root, 0) as watch:
                seen.extend(await anext(watch))

        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch_one())
            while not watcher.done():
                await put(etcd, f"{world.root}k", b"new")
                await asyncio.sleep(0.01)
        assert seen[0].kv.value == b"new"
        assert seen[0].kv.mod_revision > old

    run(world, body)


def test_compaction(world: World) -> None:
    """A watch from before it raises Compacted; one that is up to date goes on; so does one from
    a new list."""

    async def body(etcd: Coordination) -> None:
        key = f"{world.root}k"
        first = await put(etcd, key, b"1")
        second = await put(etcd, key, b"2")
        async with watching(etcd, world.root, second) as current:
            await anext(current)
            last = await put(etcd, key, b"3")
            assert (await anext(current))[0].kv.value == b"3"
            world.compact(last)
            with pytest.raises(Compacted) as caught:
                await anext(etcd.watch(world.root, first))
            assert caught.value.compact_revision == last
            await put(etcd, key, b"4")
            assert (await anext(current))[0].kv.value == b"4"
        listing = await etcd.list(world.root)
        await put(etcd, key, b"5")
        async with watching(etcd, world.root, listing.revision + 1) as again:
            assert (await anext(again))[0].kv.value == b"5"

    run(world, body)


def test_lease_outlives_its_ttl_and_ends_with_its_block(world: World) -> None:
    """Kept alive for longer than the TTL; the margin is off; the end of the block deletes keys."""

    async def body(etcd: Coordination) -> None:
        key = f"{world.root}leased"
        async with etcd.lease(5) as lease:
            assert 0 < lease.remaining_s() <= 4
            born = await etcd.txn([Created(key, 0)], [Put(key, b"v", lease.id)])
            found = await etcd.get(key)
            assert found is not None
            assert found.lease == lease.id
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(6):
                    await lease.wait_lost()
            assert lease.alive()
            assert await etcd.get(key) == found
        async with watching(etcd, key, born.revision + 1) as watch:
            (gone,) = await anext(watch)
        assert gone.deleted
        assert await etcd.get(key) is None

    run(world, body)


def test_lease_is_lost_in_silence(world: World) -> None:
    """No answer for longer than the TTL: lost by the local clock in time, for good, without
    cancelling the body; the key goes too, and its token no longer guards anything."""

    async def body(etcd: Coordination) -> None:
        key = f"{world.root}leased"
        async with etcd.lease(5) as lease:
            token = (await etcd.txn([Created(key, 0)], [Put(key, b"v", lease.id)])).revision
            assert await holds(etcd, Created(key, token))
            started_s = world.clock.monotonic_s()
            world.silence()
            try:
                passed_s = 0.0
                while passed_s < 5.5:
                    assert passed_s < 5 or not lease.alive()
                    await world.clock.sleep(0.1)
                    passed_s = world.clock.monotonic_s() - started_s
                reason = await lease.wait_lost()
                assert reason
                assert not lease.alive()
            finally:
                world.unsilence()

            async def gone() -> bool:
                return await etcd.get(key) is None

            await wait_until(gone)
            assert not await holds(etcd, Created(key, token))
            assert not lease.alive()
            assert lease.remaining_s() <= 0
            assert await lease.wait_lost() == reason

    run(world, body)


def test_lease_revoked_by_somebody_else(world: World) -> None:
    """The next keepalive finds out, not the local clock; writes under it are LeaseLost."""

    async def body(etcd: Coordination) -> None:
        async with etcd.lease(5) as lease:
            world.revoke(lease.id)
            with pytest.raises(LeaseLost):
                await etcd.txn([], [Put(f"{world.root}k", b"v", lease.id)])
            assert "no longer knows" in await lease.wait_lost()
            assert not lease.alive()

    run(world, body)


def test_key_leaves_its_lease_with_a_plain_put(world: World) -> None:
    """A key written again without the lease stays when the lease ends."""

    async def body(etcd: Coordination) -> None:
        async with etcd.lease(5) as lease:
            await etcd.txn([], [Put(f"{world.root}a", b"v", lease.id)])
            await etcd.txn([], [Put(f"{world.root}b", b"v", lease.id)])
            await put(etcd, f"{world.root}a")
        assert [kv.key for kv in (await etcd.list(world.root)).items] == [f"{world.root}a"]

    run(world, body)


def test_short_leases_are_refused(world: World) -> None:
    """A TTL under 5 s is Invalid."""

    async def body(etcd: Coordination) -> None:
        with pytest.raises(Invalid):
            async with etcd.lease(4.9):
                pass

    run(world, body)


def test_what_a_body_raises_leaves_its_lease_as_it_is(world: World) -> None:
    """An error and a cancellation pass unwrapped, and the lease is revoked before."""

    async def body(etcd: Coordination) -> None:
        key = f"{world.root}leased"

        async def fail(etcd: Coordination) -> None:
            async with etcd.lease(5) as lease:
                await etcd.txn([], [Put(key, b"v", lease.id)])
                raise ZeroDivisionError

        async def run_out_of_time(etcd: Coordination) -> None:
            async with asyncio.timeout(None) as limit, etcd.lease(5) as lease:
                await etcd.txn([], [Put(key, b"v", lease.id)])
                limit.reschedule(asyncio.get_running_loop().time())
                await asyncio.Event().wait()

        with pytest.raises(ZeroDivisionError):
            await fail(etcd)
        assert await etcd.get(key) is None
        with pytest.raises(TimeoutError):
            await run_out_of_time(etcd)
        assert await etcd.get(key) is None

    run(world, body)


def test_closed_client(world: World) -> None:
    """Calls and open watches of a closed client fail in time, and closing again is harmless."""

    async def body(etcd: Coordination) -> None:
        start = await put(etcd, f"{world.root}k")
        watch = etcd.watch(world.root, start)
        await anext(watch)

        async def go_on() -> None:
            with pytest.raises((Unavailable, TimedOut)):
                await anext(watch)

        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            waiting = group.create_task(go_on())
            await asyncio.sleep(0)
            await etcd.close()
        assert not waiting.cancelled()
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await etcd.get(f"{world.root}k")
        await etcd.close()

    run(world, body)

"""The embedded etcd keeps what it acknowledged: over restarts, kills, full disks and torn lines."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Corrupt, LeaseLost, Refused, TimedOut, Unavailable
from cleancut.etcd.embedded import journal as journals
from cleancut.etcd.embedded.client import EmbeddedEtcd
from cleancut.etcd.embedded.directory import JOURNAL, OpenState, open_state
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.ports.coordination import Compacted, Created, Delete, Modified, Put
from cleancut.runtime.clock import SystemClock

COUNTER = "counter"


def within(directory: Path, body: Callable[[EmbeddedEtcd], Awaitable[None]]) -> OpenState:
    """Runs `body` on the etcd of `directory`, as one process after the other would."""

    async def main() -> OpenState:
        async with asyncio.timeout(30), open_state(directory, SystemClock()) as state:
            await body(state.etcd)
            return state

    return asyncio.run(main())


async def nothing(_: EmbeddedEtcd) -> None:
    """Opened and closed again."""


async def count(etcd: EmbeddedEtcd) -> int:
    """One more, by a guarded write."""
    found = await etcd.get(COUNTER)
    number = int(found.value) + 1 if found else 1
    guard = Modified(COUNTER, found.mod_revision if found else 0)
    assert (await etcd.txn([guard], [Put(COUNTER, str(number).encode())])).applied
    return number


def test_keys_revisions_and_identity_outlive_the_process(tmp_path: Path) -> None:
    """Foreign bytes as well; leases end with the process that held them."""
    seen: dict[str, object] = {}

    async def first(etcd: EmbeddedEtcd) -> None:
        await etcd.txn([], [Put("a", b"1"), Put("b\udc80", b"\xff\x00\n{")])
        await etcd.txn([], [Put("gone", b"x")])
        await etcd.txn([Created("c", 0)], [Delete("gone"), Put("a", b"2")])
        async with etcd.lease(5) as lease:
            await etcd.txn([], [Put("leased", b"me", lease=lease.id)])
            seen["then"] = await etcd.list("")
            raise KeyboardInterrupt  # the process ends with the lease in force

    with pytest.raises(KeyboardInterrupt):
        within(tmp_path, first)

    async def second(etcd: EmbeddedEtcd) -> None:
        seen["now"] = await etcd.list("")

    state = within(tmp_path, second)
    then, now = seen["then"], seen["now"]
    assert not state.is_new
    assert [kv for kv in then.items if not kv.lease] == list(now.items)  # type: ignore[attr-defined]
    assert now.cluster_id == then.cluster_id  # type: ignore[attr-defined]
    assert now.revision == then.revision + 1  # type: ignore[attr-defined]


def test_each_directory_is_another_etcd(tmp_path: Path) -> None:
    """So that a store notices that the state was lost."""
    ids: list[int] = []

    async def look(etcd: EmbeddedEtcd) -> None:
        ids.append((await etcd.list("")).cluster_id)

    assert within(tmp_path / "one", look).is_new
    assert within(tmp_path / "two", look).is_new
    assert not within(tmp_path / "one", look).is_new
    assert ids[0] == ids[2] != ids[1]


def test_a_last_line_that_was_torn_anywhere_is_dropped(tmp_path: Path) -> None:
    """What came before it is there, and what is written next follows it."""

    async def three(etcd: EmbeddedEtcd) -> None:
        for _ in range(3):
            await count(etcd)

    within(tmp_path / "whole", three)
    body = (tmp_path / "whole" / JOURNAL).read_bytes()
    last = body[: len(body) - 1].rindex(b"\n") + 1
    for cut in (last, last + 1, last + 9, (last + len(body)) // 2, len(body) - 1):
        for tail in (b"", b"\0" * 40):
            directory = tmp_path / f"cut-{cut}-{len(tail)}"
            directory.mkdir()
            (directory / JOURNAL).write_bytes(body[:cut] + tail)
            numbers: list[int] = []

            async def again(etcd: EmbeddedEtcd, numbers: list[int] = numbers) -> None:
                numbers.append(await count(etcd))

            assert within(directory, again).cut_bytes == cut - last + len(tail)
            assert within(directory, again).cut_bytes == 0
            assert numbers == [3, 4]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_damaged_line_that_others_follow_is_refused(tmp_path: Path, line: int) -> None:
    """An acknowledged write would be missing."""

    async def four(etcd: EmbeddedEtcd) -> None:
        for _ in range(4):
            await count(etcd)

    within(tmp_path, four)
    path = tmp_path / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:line], lines[line].replace(b'"', b"'"), *lines[line + 1 :]]))
    if b'"' not in lines[line]:
        pytest.fail("nothing was damaged")
    with pytest.raises(Corrupt) as found:
        within(tmp_path, nothing)
    assert f"line {line + 1} of" in found.value.message
    assert "adopt" in found.value.hint


def test_a_line_that_is_missing_is_refused(tmp_path: Path) -> None:
    async def four(etcd: EmbeddedEtcd) -> None:
        for _ in range(4):
            await count(etcd)

    within(tmp_path, four)
    path = tmp_path / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(Corrupt, match="revision 4 follows 2"):
        within(tmp_path, nothing)


def test_two_processes_on_one_directory_are_refused(tmp_path: Path) -> None:
    async def twice(_: EmbeddedEtcd) -> None:
        async with open_state(tmp_path, SystemClock()):
            pass

    with pytest.raises(Refused, match="another process uses"):
        within(tmp_path, twice)
    within(tmp_path, nothing)


def test_a_journal_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    head = journals._framed(journals.Head(2, 7, 1, 0))
    (tmp_path / JOURNAL).write_bytes(head)
    with pytest.raises(Refused, match="has format 2"):
        within(tmp_path, nothing)


@contextmanager
def files_up_to(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond that: writes end short, then fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fails_makes_one_outcome_unknown_and_loses_nothing(tmp_path: Path) -> None:
    """What failed is not visible; the file is written as a whole before anything else is."""

    async def body(etcd: EmbeddedEtcd) -> None:
        await count(etcd)
        size_bytes = (tmp_path / JOURNAL).stat().st_size
        with files_up_to(size_bytes + 5), pytest.raises(TimedOut, match="File too large"):
            await count(etcd)
        with files_up_to(5), pytest.raises(Unavailable, match="File too large"):
            await count(etcd)
        found = await etcd.get(COUNTER)
        assert found is not None
        assert found.value == b"1"
        assert await count(etcd) == 2

    within(tmp_path, body)

    async def after(etcd: EmbeddedEtcd) -> None:
        assert await count(etcd) == 3

    within(tmp_path, after)


def test_a_caller_that_is_cancelled_meanwhile_leaves_memory_and_disk_equal(tmp_path: Path) -> None:
    async def body(etcd: EmbeddedEtcd) -> None:
        for number in range(60):
            before = await etcd.list("")
            with suppress(TimeoutError):
                async with asyncio.timeout(number / 20_000):
                    await etcd.txn([], [Put(f"key{number}", b"x")])
            after = await etcd.list("")
            assert after.revision - before.revision == len(after.items) - len(before.items)

    within(tmp_path, body)
    within(tmp_path, nothing)  # no revision is missing


def test_the_file_stays_small(tmp_path: Path) -> None:
    """What is outdated is left out once the file has grown."""

    async def body(etcd: EmbeddedEtcd) -> None:
        for _ in range(60):
            await etcd.txn([], [Put("key", b"x" * 100_000)])

    within(tmp_path, body)
    assert (tmp_path / JOURNAL).stat().st_size < journals.GROWN_BYTES + 200_000


def test_history_that_is_not_kept_is_compacted() -> None:
    model = EtcdModel()
    for number in range(30):
        model.txn([], [Put("key", str(number).encode())])
        model.keep_history(10)
    assert len(model.changes_since("", model.revision - 9)) == 10
    with pytest.raises(Compacted):
        model.changes_since("", model.revision - 11)


def test_a_lease_runs_out_in_the_journal_too(tmp_path: Path) -> None:
    clock = SystemClock()

    async def body(etcd: EmbeddedEtcd) -> None:
        lease = etcd._model.grant(5.0, clock.monotonic_s() - 10.0)
        assert await etcd.get("leased") is None
        with pytest.raises(LeaseLost):
            await etcd.txn([], [Put("leased", b"x", lease=lease)])

    within(tmp_path, body)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from cleancut.etcd.embedded.directory import open_state
from cleancut.ports.coordination import Modified, Put
from cleancut.runtime.clock import SystemClock

async def main():
    async with open_state(Path(sys.argv[1]), SystemClock()) as state:
        while True:
            found = await state.etcd.get("counter")
            number = int(found.value) + 1 if found else 1
            put = Put("counter", str(number).encode())
            await state.etcd.txn([Modified("counter", found.mod_revision if found else 0)], [put])
            print(number, flush=True)

asyncio.run(main())
"""


def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    """Numbers go on after each kill, none is given twice."""
    acknowledged = 0
    for kills in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        for _ in range(10 + kills):
            acknowledged += 1
            assert process.stdout.readline() == f"{acknowledged}\n"
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines()
        process.wait()
        process.stdout.close()
        for line in rest:
            assert int(line) == acknowledged + 1
            acknowledged += 1
        found: list[int] = []

        async def look(etcd: EmbeddedEtcd, found: list[int] = found) -> None:
            kept = await etcd.get(COUNTER)
            found.append(int(kept.value) if kept else 0)

        within(tmp_path, look)
        assert acknowledged <= found[0] <= acknowledged + 1
        acknowledged = found[0]

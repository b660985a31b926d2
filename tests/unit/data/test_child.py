"""Processes that open and build shards: what they write, and how they end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError, Corrupt, TimedOut
from cleancut.core.primitives.ids import ClusterName
from cleancut.data.child import SHOWN_BYTES, child, failure_of
from cleancut.data.job import ShardJob
from cleancut.data.shard_runner import run_shard
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from tests.support.recorded_backups import RecordedStore, made_info, made_tar
from tests.unit.data.test_resharding import reshard

LINE_BYTES = 1 << 20


def every_process_does(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs `what` at the start of each process that opens or builds shards."""
    hook = tmp_path / "hook"
    hook.mkdir()
    lines = (
        "import os, signal, sys",
        "if 'cleancut.data' in ' '.join(sys.orig_argv):",
        f"    {what}",
    )
    (hook / "sitecustomize.py").write_text("\n".join(lines))
    monkeypatch.setenv("PYTHONPATH", str(hook))


def ended(module: str) -> CleancutError:
    """What is said of this process, which gives no answer."""

    async def run() -> CleancutError:
        async with child(module, LINE_BYTES) as started:
            assert await started.line() is None
            await started.process.wait()
        return started.failure("docs/0", "opens the shard")

    return asyncio.run(run())


def test_much_on_stderr_stops_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe holds 64 KiB, and the process would wait for a reader."""
    body = {"vectors": {"size": 2, "distance": "Dot"}}
    one = {"kind": "upsert", "points": [{"id": 1, "payload": {}, "vector": [1.0, 2.0]}]}
    store = RecordedStore(tmp_path)
    store.publish(1, {0: made_tar(tmp_path / "tar", body, one)}, made_info(body))
    every_process_does("sys.stderr.write('warning ' * 100_000)", tmp_path, monkeypatch)
    _, made = reshard(store, tmp_path / "scratch", ("", 2))
    assert sum(shard.count or 0 for shard in made.shards) == 1


def test_a_process_that_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended, and the shard is named: an undelete would keep its turn for a day."""
    store = RecordedStore(tmp_path)
    shard = store.publish_recorded(1, "t0").shards[0]
    opened = open_store(store.flags[1], SystemClock())
    job = ShardJob("lines", str(tmp_path / "out"))
    every_process_does("signal.pause()", tmp_path, monkeypatch)
    paths = Paths(ClusterName("prod"))
    with pytest.raises(TimedOut, match="docs/0: the process that opens the shard said nothing"):
        asyncio.run(run_shard(opened, paths, shard, job, progress=print, silent_s=0.2))
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("out")] == []


def test_the_end_of_stderr_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    what = "sys.stderr.write('x' * 200_000 + 'panicked here'), sys.stderr.flush(), os._exit(3)"
    every_process_does(what, tmp_path, monkeypatch)
    error = ended("cleancut.data.shard_process")
    assert isinstance(error, Corrupt)
    assert error.message.endswith(
        "ended with 3: " + ("x" * 200_000 + "panicked here")[-SHOWN_BYTES:]
    )


def test_a_process_that_is_killed_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may kill it for its memory."""
    every_process_does("os.kill(os.getpid(), signal.SIGKILL)", tmp_path, monkeypatch)
    store = RecordedStore(tmp_path)
    store.publish_recorded(1, "t0")
    with pytest.raises(CleancutError, match="builds shards was ended by signal 9") as caught:
        reshard(store, tmp_path / "scratch", ("", 3))
    assert not isinstance(caught.value, Corrupt)
    assert "memory" in caught.value.hint


def test_a_process_that_ends_by_itself_found_damage() -> None:
    assert isinstance(failure_of("the process", 1, b"panicked"), Corrupt)


def test_an_error_in_the_block_is_raised_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a group; and the process is gone."""

    async def run() -> None:
        async with child("cleancut.data.shard_process", LINE_BYTES) as started:
            process.append(started.process)
            raise Corrupt("a wrong block")

    process: list[asyncio.subprocess.Process] = []
    with pytest.raises(Corrupt, match="a wrong block"):
        asyncio.run(run())
    assert process[0].returncode == -9

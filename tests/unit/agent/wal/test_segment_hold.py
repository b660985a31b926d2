"""Segments that are held from the start of a process on: what is removed meanwhile is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cleancut_agent.start import storage_of
from cleancut_agent.wal.local_dir import LocalWalDir
from cleancut_agent.wal.local_storage import LocalWalStorage
from cleancut_agent.wal.segment_hold import SegmentHold
from cleancut_agent.wal.shard_tail import ShardTail
from cleancut_devcluster.peer.engine.shard_log import ShardLog

MOST = 100


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "collections" / "docs" / "0" / "wal"
    path.mkdir(parents=True)
    for name in ("closed-0", "closed-10", "open-3", "first-index"):
        (path / name).write_text(name)
    return path


def segments(directory: LocalWalDir) -> list[str]:
    return sorted(name for name in directory.list() if name != "first-index")


def test_the_oldest_segments_are_listed_and_read_although_they_are_removed(
    tmp_path: Path, log: Path
) -> None:
    hold = SegmentHold(tmp_path, MOST)
    hold.look()
    (log / "closed-0").unlink()
    directory = LocalWalDir(log, hold)
    assert segments(directory) == ["closed-0", "closed-10", "open-3"]
    file = directory.open("closed-0")
    assert file is not None
    assert file.identity == directory.list()["closed-0"]
    (log / "open-3").rename(log / "closed-20")
    hold.look()
    (log / "closed-30").touch()
    (log / "closed-10").unlink()
    (log / "closed-20").unlink()
    assert segments(directory) == ["closed-0", "closed-10", "closed-20", "closed-30"]
    hold.release()
    hold.look()
    assert segments(directory) == ["closed-30"]
    assert directory.open("closed-0") is None
    assert file.pread(100, 0) == b"closed-0"
    file.close()
    directory.close()


def test_the_newest_ones_are_gone_once_they_are_removed(tmp_path: Path, log: Path) -> None:
    """Qdrant has dropped their entries."""
    hold = SegmentHold(tmp_path, MOST)
    hold.look()
    directory = LocalWalDir(log, hold)
    (log / "closed-10").unlink()
    assert segments(directory) == ["closed-0", "open-3"]
    (log / "closed-0").unlink()
    assert segments(directory) == ["open-3"]
    hold.release()
    directory.close()


def test_another_directory_has_none_of_them(tmp_path: Path, log: Path) -> None:
    hold = SegmentHold(tmp_path, MOST)
    hold.look()
    log.rename(log.with_name("old"))
    log.mkdir()
    (log / "closed-50").touch()
    directory = LocalWalDir(log, hold)
    assert segments(directory) == ["closed-50"]
    shutil.rmtree(log)
    hold.look()
    hold.release()
    directory.close()


def test_what_is_held_is_bounded(tmp_path: Path, log: Path) -> None:
    """The oldest first."""
    hold = SegmentHold(tmp_path, 1)
    hold.look()
    for name in ("closed-0", "closed-10"):
        (log / name).unlink()
    (log / "closed-20").touch()
    directory = LocalWalDir(log, hold)
    assert segments(directory) == ["closed-0", "closed-20", "open-3"]
    hold.release()
    directory.close()


def test_a_tail_resumes_in_segments_that_were_removed_since_the_process_started(
    tmp_path: Path,
) -> None:
    log = tmp_path / "collections" / "docs" / "0" / "wal"
    writer = ShardLog(log, 1000)
    written = [f"operation {n} ".encode() * 5 for n in range(120)]
    for data in written[:50]:
        writer.append(data)
    before = ShardTail.open(LocalWalDir(log))
    assert [one.data for one in before.poll()] == written[:50]
    position = before.position
    before.close()
    hold = SegmentHold(tmp_path, MOST)
    hold.look()
    for at, data in enumerate(written[50:], 50):
        writer.append(data)
        hold.look()
        writer.acknowledge(at)
    assert writer.first_index > 100
    tail = ShardTail.open(LocalWalStorage(tmp_path, hold).open("docs", 0), resume=position)
    hold.release()
    found, behind = tail.poll(), True
    while behind:
        found += tail.poll()
        behind = tail.behind
    assert [(one.index, one.data) for one in found] == [*enumerate(written)][50:]
    tail.close()


def test_the_data_directory_is_found_wherever_it_is_set(tmp_path: Path) -> None:
    file, given = tmp_path / "agent.toml", Path("/q")
    file.write_text('qdrant-storage = "/f"\n[store.a]\nurl = "file:///x"\n')
    assert storage_of(["--qdrant-storage", "/q", "--name", "a"], {}) == given
    assert storage_of(["--qdrant-storage=/q"], {"CLEANCUT_QDRANT_STORAGE": "/e"}) == given
    assert storage_of(["--config", str(file)], {"CLEANCUT_QDRANT_STORAGE": "/q"}) == given
    assert storage_of([], {"CLEANCUT_CONFIG": str(file)}) == Path("/f")
    assert storage_of([f"--config={file}.not"], {}) is None
    assert storage_of(["--qdrant-storage"], {}) is None
    file.write_text("qdrant-storage = 7")
    assert storage_of(["--config", str(file)], {}) is None

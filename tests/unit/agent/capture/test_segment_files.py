"""Segment files on a real disk: which are left out, and which claims still hold after the cut."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import NotFound, Refused
from cleancut_agent.capture.handles import Handles, handles_of_process
from cleancut_agent.capture.segment_files import SegmentFiles, segments_path
from cleancut_agent.capture.selection import Selection
from tests.support.segment_dirs import BIG_BYTES, Mapped, later_ns, made, needs_proving_disk

CHUNK, INDEX = "s1/vector_storage/vectors/chunk_0.mmap", "s1/vector_index/graph.bin"


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    needs_proving_disk(tmp_path)
    path = segments_path(tmp_path, "c", 0)
    made(path, CHUNK)
    made(path, INDEX)
    return path


@pytest.fixture
def files(segments: Path) -> Iterator[SegmentFiles]:
    with SegmentFiles(segments, Handles(100)) as files:
        yield files


def until_files_are_later(probe: Path) -> None:
    """Returns once what is written has a time after now: the clock of files ticks every 4 ms."""
    now_ns = time.time_ns()
    probe.touch()
    while probe.stat().st_mtime_ns <= now_ns:
        probe.touch()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_large_old_files_are_read_and_those_of_the_evidence_are_kept(files: SegmentFiles) -> None:
    with files.select({}, later_ns()) as first:
        assert set(first.direct) == {CHUNK, INDEX}
        assert json.loads(first.body())["s1"]["file_versions"].keys() == {
            "vector_storage/vectors/chunk_0.mmap",
            "vector_index/graph.bin",
        }
        assert first.check() == {}
        assert [first.finish(path) for path in (CHUNK, INDEX)] == ["", ""]
        evidence = first.proven()
    with files.select({CHUNK: evidence[CHUNK]}, later_ns()) as second:
        assert set(second.kept) == {CHUNK}
        assert set(second.direct) == {INDEX}
        assert second.check() == {}
        assert second.proven() == evidence


def test_what_is_written_a_moment_ago_or_always_streamed_is_not_left_out(
    segments: Path, files: SegmentFiles
) -> None:
    made(segments, "s1/payload_storage/tracker.dat")
    made(segments, "s1/small.bin", 1000)
    made(segments, "s1/segment.json")
    with files.select({}) as selection:
        assert not selection.direct
        assert selection.streamed == {"changed a moment ago": 2}
        assert selection.body() == b"{}"
    with files.select({}, later_ns()) as selection:
        assert set(selection.direct) == {CHUNK, INDEX}
    made(segments, "s1/mutable_id_tracker.mappings", 10)
    with files.select({}, later_ns()) as selection:
        assert not selection.direct


def test_no_link_is_followed_and_what_lies_beside_segments_is_no_segment(
    segments: Path, files: SegmentFiles, tmp_path: Path
) -> None:
    outside = made(tmp_path, "outside/x")
    (segments / "s1" / "link.bin").symlink_to(outside)
    (segments / "s1" / "links").symlink_to(outside.parent)
    (segments / "s2").symlink_to(outside.parent)
    (segments / os.fsdecode(b"s\xff")).mkdir()
    made(segments, "manifest.json")
    os.mkfifo(segments / "s1" / "pipe")
    with files.select({}, later_ns()) as selection:
        assert set(selection.direct) == {CHUNK, INDEX}


def test_a_page_that_was_dirty_before_shows_the_next_store(
    segments: Path, files: SegmentFiles
) -> None:
    mapped = Mapped(segments / CHUNK)
    mapped.store()
    before = os.stat(segments / CHUNK)
    with files.select({}, later_ns()) as selection:
        assert os.stat(segments / CHUNK).st_mtime_ns == before.st_mtime_ns
        mapped.store(data=b"\xfe")
        assert selection.check() == {CHUNK: "written to since the request"}
        assert set(selection.proven()) == {INDEX}
        assert selection.finish(CHUNK)
    mapped.close()


def test_the_first_pass_makes_a_file_that_is_written_to_show_it(
    segments: Path, files: SegmentFiles
) -> None:
    mapped = Mapped(segments / CHUNK)
    mapped.store()
    assert files.warm() == 2
    warmed = later_ns()
    until_files_are_later(segments.with_name("probe"))
    mapped.store(data=b"\xfe")
    with files.select({}, warmed) as selection:
        assert set(selection.direct) == {INDEX}
        assert sum(selection.streamed.values()) == 1
    mapped.close()


def test_another_file_at_the_path_is_noticed_though_the_open_one_is_the_same(
    segments: Path, files: SegmentFiles
) -> None:
    with files.select({}, later_ns()) as selection:
        other = made(segments, "s1/other")
        (segments / CHUNK).rename(segments / "s1" / "kept")
        other.rename(segments / CHUNK)
        assert set(selection.check()) == {CHUNK}


def test_a_directory_put_in_the_place_of_a_segment_is_noticed(
    segments: Path, files: SegmentFiles
) -> None:
    with files.select({}, later_ns()) as selection:
        (segments / "s1").rename(segments / "s1.deleted")
        assert selection.check()[CHUNK] == "its path leads nowhere"
        made(segments, CHUNK)
    with files.select({}, later_ns()) as selection:
        evidence = selection.check() or selection.proven()
        (segments / "s1").rename(segments / "s1.old")
        (segments / "s1.deleted").rename(segments / "s1")
        assert selection.check() == {}, "confirmed at the cut"
    with files.select(evidence, later_ns()) as selection:
        assert not selection.kept.keys() & {CHUNK}


def test_a_removed_file_is_proven_if_it_was_there_after_the_cut(
    segments: Path, files: SegmentFiles
) -> None:
    with files.select({}, later_ns()) as selection:
        (segments / INDEX).unlink()
        assert set(selection.check()) == {INDEX}
        (segments / CHUNK).unlink()
        assert selection.finish(CHUNK) == ""
        assert set(selection.proven()) == {CHUNK}


def test_a_directory_that_is_exchanged_before_the_cut_and_removed_after_it_is_noticed(
    segments: Path, files: SegmentFiles
) -> None:
    with files.select({}, later_ns()) as selection:
        (segments / "s1").rename(segments / "s1.old")
        made(segments, CHUNK)
        made(segments, INDEX)
        shutil.rmtree(segments / "s1.old")
        assert set(selection.check()) == {CHUNK, INDEX}


def test_a_kept_file_is_settled_by_one_check_since_the_cut(
    segments: Path, files: SegmentFiles
) -> None:
    with files.select({}, later_ns()) as selection:
        selection.check()
        evidence = selection.proven()
    with files.select(evidence, later_ns()) as selection:
        assert selection.check() == {}
        (segments / CHUNK).unlink()
        made(segments, INDEX)
        assert selection.check() == {}
        assert selection.proven() == evidence
    made(segments, CHUNK)
    with files.select(evidence, later_ns()) as selection:
        assert not selection.kept


def test_handles_are_bounded_and_all_given_back(segments: Path) -> None:
    for number in range(5):
        made(segments, f"s2/chunk_{number}", BIG_BYTES * (number + 2))
    before, handles = open_files(), Handles(3)
    with SegmentFiles(segments, handles) as files:
        with files.select({}, later_ns()) as selection:
            assert set(selection.direct) == {f"s2/chunk_{number}" for number in (2, 3, 4)}
            assert selection.streamed == {"too many files are open": 4}
            assert (handles.free, open_files() - before) == (0, 4)
            selection.finish("s2/chunk_4")
            assert handles.free == 1
            evidence = selection.check() or selection.proven()
        with files.select(evidence, later_ns()) as selection:
            assert len(selection.kept) == 3
            assert handles.free == 0
    assert (handles.free, open_files()) == (3, before)
    assert 0 < handles_of_process().free <= 16384


def test_a_selection_that_fails_on_its_way_leaves_no_file_open(
    segments: Path, files: SegmentFiles
) -> None:
    before = open_files()

    class Failing(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            raise KeyboardInterrupt if key == INDEX else LookupError

    with pytest.raises((KeyboardInterrupt, LookupError)):
        files.select(Failing(), later_ns())  # type: ignore[arg-type]
    assert open_files() == before


def test_what_a_process_may_not_read_is_streamed(segments: Path, files: SegmentFiles) -> None:
    (segments / CHUNK).unlink()
    (segments / CHUNK).mkdir()
    with files.select({}, later_ns()) as selection:
        assert set(selection.direct) == {INDEX}


def test_a_shard_without_segments_and_a_mount_that_proves_nothing_are_refused(
    tmp_path: Path,
) -> None:
    before = open_files()
    with pytest.raises(NotFound):
        SegmentFiles(tmp_path / "nowhere", Handles(1))
    with pytest.raises(Refused, match="'proc'"):
        SegmentFiles(Path("/proc/self/task"), Handles(1))
    assert open_files() == before


def test_selection_without_a_file_asks_for_everything(tmp_path: Path) -> None:
    selection = Selection(tmp_path, Handles(1))
    assert selection.body() == b"{}"
    assert selection.check() == {}

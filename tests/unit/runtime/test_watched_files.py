"""Files that are replaced while they are used: each way in which people and kubelets do it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Denied
from cleancut.runtime.watched_files import MAX_BYTES, WatchedFiles, WatchedSecret


def test_a_file_is_read_anew_when_it_was_rewritten_or_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "key", tmp_path / "other"
    path.write_text("one\n")
    text = WatchedSecret(path, look_s=0)
    assert text.get() == "one"
    path.write_text("two")
    assert text.get() == "two"
    other.write_text("three")
    other.replace(path)
    assert text.get() == "three"


def test_a_secret_mounted_by_kubernetes_changes_with_a_link(tmp_path: Path) -> None:
    """The file that is named stays the same; the directory behind it is another."""
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "key").symlink_to("..data/key")
    text = WatchedSecret(tmp_path / "key", look_s=0)
    assert text.get() == "v1"
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert text.get() == "v2"


def test_what_is_missing_or_empty_for_a_while_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("one")
    text = WatchedSecret(path, look_s=0)
    assert text.get() == "one"
    path.unlink()
    assert text.get() == "one"
    path.write_text("")
    assert text.get() == "one"
    path.write_text("two")
    assert text.get() == "two"


def test_what_never_was_there_is_denied(tmp_path: Path) -> None:
    with pytest.raises(Denied):
        WatchedSecret(tmp_path / "missing").get()
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(Denied, match="empty"):
        WatchedSecret(tmp_path / "empty").get()
    (tmp_path / "large").write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(Denied):
        WatchedFiles([tmp_path / "large"]).read()


def test_the_disk_is_asked_seldom_unless_somebody_must_know(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("one")
    text = WatchedSecret(path, look_s=3600)
    assert text.get() == "one"
    path.write_text("two")
    assert text.get() == "one"
    assert text.get(now=True) == "two"


def test_changes_within_one_tick_of_the_clock_are_seen(tmp_path: Path) -> None:
    """Equal in size, place and time, on systems whose clock is slow: only what is old enough is
    known by its stamp, and what is young is read again each time."""
    path = tmp_path / "key"
    text, files = WatchedSecret(path, look_s=0), WatchedFiles([path], look_s=0)
    for n in range(50):
        path.write_text(f"{n:03}")
        assert text.get() == f"{n:03}"
    known = files.look()
    assert not files._settled
    os.utime(path, (1, 1))
    assert files.look() == known
    assert files._settled


def test_a_pair_changes_when_either_file_does(tmp_path: Path) -> None:
    paths = [tmp_path / "cert", tmp_path / "key"]
    for path in paths:
        path.write_text("one")
    files = WatchedFiles(paths, look_s=0)
    first = files.look()
    assert files.look() == first
    paths[1].write_text("two")
    assert files.look() == first + 1
    os.utime(paths[1])
    assert files.look() == first + 1, "it holds what it held"
    assert files.read() == (b"one", b"two")


def test_a_secret_is_one_line(tmp_path: Path) -> None:
    """A file of several lines is another file: a header with it would end the process."""
    path = tmp_path / "passwd"
    path.write_text("root:x:0\nbin:x:1\n")
    with pytest.raises(Denied, match="has several lines"):
        WatchedSecret(path).get()
    path.write_text("right\n")
    secret = WatchedSecret(path, look_s=0)
    assert secret.get() == "right"
    path.write_text("wrong\nfile\n")
    assert secret.get() == "right"

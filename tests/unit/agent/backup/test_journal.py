"""What an agent remembers over a restart, and that it alone works in its directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut_agent.backup.journal import CaptureJournal, own_directory


def test_only_the_newest_finished_capture_is_remembered(tmp_path: Path) -> None:
    """A later epoch replaces an earlier one; any other epoch has nothing to tell."""
    journal = CaptureJournal(tmp_path)
    assert journal.read(Epoch(7)) == ""
    journal.write(Epoch(7), "a" * 64)
    assert CaptureJournal(tmp_path).read(Epoch(7)) == "a" * 64
    journal.write(Epoch(8), "b" * 64)
    assert journal.read(Epoch(7)) == ""
    assert journal.read(Epoch(8)) == "b" * 64


def test_a_broken_journal_is_told(tmp_path: Path) -> None:
    """Half a file is no memory at all."""
    CaptureJournal(tmp_path).write(Epoch(7), "a" * 64)
    file = tmp_path / "journal.json"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(Corrupt, match=r"journal\.json"):
        CaptureJournal(tmp_path).read(Epoch(7))


def test_two_agents_never_share_a_directory(tmp_path: Path) -> None:
    """The second one is refused, and may take over once the first has ended."""
    again = own_directory(tmp_path / "spill")
    with own_directory(tmp_path / "spill"), pytest.raises(Refused, match="another"), again:
        pass
    with own_directory(tmp_path / "spill"):
        pass
    assert (tmp_path / "spill").stat().st_mode & 0o777 == 0o700  # points lie there in the clear


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file in its place: told with the flag that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused) as told, own_directory(tmp_path / "file"):
        pass
    assert "--spill-dir" in told.value.hint

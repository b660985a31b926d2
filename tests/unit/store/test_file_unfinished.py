"""What a writer of a file store that was killed has left: no listing shows it, and it goes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from cleancut.store.file import MAX_LEFT, FileStore

DAY_S = 86400.0


def left(root: Path, name: str, age_s: float) -> Path:
    """A file as a killed writer leaves it, so long ago."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    before_s = path.stat().st_mtime - age_s
    os.utime(path, (before_s, before_s))
    return path


def swept(root: Path, prefix: str = "") -> int:
    async def run() -> int:
        store = FileStore(root)
        found = [info.path async for info in store.list(prefix)]
        assert not [path for path in found if ".tmp-" in path]
        removed = await store.remove_unfinished(DAY_S)
        assert not await store.remove_unfinished(0.0), "what was met before is met once"
        await store.close()
        return removed

    return asyncio.run(run())


def test_what_is_old_goes_with_the_directory_that_it_alone_was_in(tmp_path: Path) -> None:
    """Left by a put, and by a look at the store's clock; what may be written yet stays."""
    old = [left(tmp_path, name, 2 * DAY_S) for name in ("c/packs/1/.tmp-a", ".tmp-b")]
    young = left(tmp_path, "c/.tmp-c", DAY_S / 2)
    assert swept(tmp_path) == 2
    assert not any(path.exists() for path in old)
    assert young.exists()
    assert not (tmp_path / "c" / "packs").exists()


def test_only_regular_files_that_a_listing_met_go(tmp_path: Path) -> None:
    """No link is followed, no directory is removed, and the folders of others are not looked at."""
    other = left(tmp_path, "other/.tmp-a", 2 * DAY_S)
    (tmp_path / "c" / ".tmp-d").mkdir(parents=True)
    target = left(tmp_path, "elsewhere", 2 * DAY_S)
    (tmp_path / "c" / ".tmp-l").symlink_to(target)
    assert swept(tmp_path, "c/") == 0
    assert other.exists()
    assert target.exists()
    assert (tmp_path / "c" / ".tmp-l").is_symlink()


def test_one_call_removes_a_bounded_number(tmp_path: Path) -> None:
    for number in range(MAX_LEFT + 2):
        left(tmp_path, f"c/.tmp-{number}", 2 * DAY_S)
    assert swept(tmp_path) == MAX_LEFT
    assert swept(tmp_path) == 2

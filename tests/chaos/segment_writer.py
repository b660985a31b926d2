"""Segment files that a process changes all the time, in each way that a file can change.

Usage: python -m tests.chaos.segment_writer DIRECTORY LOCK SEED
It ends when its standard input is closed. Each change is made under the lock, so that no file
changes while another process holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import random
import select
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SEGMENTS, FILES = 4, 24
FLUSHED = "flags_a.dat"
"""Written at the cut alone; see `flush`."""
_LEAST_BYTES, _MOST_BYTES = 64 << 10, 160 << 10
_HOT = 8
_HOT_S = 0.8
_STABLE = "segment-0/"
"""No file is removed here, and only here are times set back: a program that does both to one file
within a moment defeats the evidence, and Qdrant does neither."""
_UNSEEN = {"store": 2, "store_unseen": 1}
_MIXED = {
    "store": 60,
    "write": 8,
    "append": 3,
    "sync": 6,
    "replace": 6,
    "swap": 4,
    "recreate": 4,
    "drop_segment": 1,
    "swap_segment": 2,
}

_REMOVING = frozenset({"replace", "swap", "recreate", "drop_segment", "swap_segment"})


def paths() -> list[str]:
    """Of all files, whether they are there or not."""
    names = [f"chunk_{number}.mmap" for number in range(FILES)] + [FLUSHED]
    return [f"segment-{number}/vectors/{name}" for number in range(SEGMENTS) for name in names]


@contextlib.contextmanager
def standstill(lock: Path) -> Iterator[None]:
    """No file changes meanwhile."""
    with lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def store(file: Path, data: bytes, at: int = 0) -> None:
    """Writes through a mapping of its own."""
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[at : at + len(data)] = data


def flush(directory: Path, chance: random.Random) -> None:
    """What Qdrant's flush does at the cut. Order: in a standstill."""
    for number in range(SEGMENTS):
        file = directory / f"segment-{number}" / "vectors" / FLUSHED
        with contextlib.suppress(FileNotFoundError):
            if chance.random() < 0.5:
                store(file, chance.randbytes(8))


class SegmentWriter:
    """Changes files below `directory`, a few at a time."""

    def __init__(self, directory: Path, lock: Path, seed: int) -> None:
        self._directory, self._lock = directory, lock
        self._chance = random.Random(seed)
        self._maps: dict[str, mmap.mmap] = {}
        self._aside: list[Path] = []

    def create(self) -> None:
        """All files, before the first of them changes."""
        for path in paths():
            self._create(path)

    def run(self) -> None:
        """Until standard input is closed."""
        names = [path for path in paths() if not path.endswith(FLUSHED)]
        while not self._ended():
            weights = self._chance.choice([_MIXED, _MIXED, {"store": 1}, _UNSEEN])
            fit = [one for one in names if weights is not _UNSEEN or one.startswith(_STABLE)]
            hot = self._chance.sample(fit, _HOT)
            until_s = time.monotonic() + _HOT_S * self._chance.random()
            while time.monotonic() < until_s:
                path = self._chance.choice(hot)
                (kind,) = self._chance.choices(list(weights), list(weights.values()))
                with standstill(self._lock):
                    self._change(kind, path)
                if self._ended(self._chance.random() * 0.001):
                    return

    def _ended(self, within_s: float = 0.0) -> bool:
        return bool(select.select([sys.stdin], [], [], within_s)[0])

    def _change(self, kind: str, path: str) -> None:
        stable, removes = path.startswith(_STABLE), kind in _REMOVING
        if not (removes if stable else kind == "store_unseen"):
            getattr(self, kind)(path)

    def store(self, path: str) -> None:
        """Through the mapping that was made when the file was: its pages may be dirty already."""
        mapped = self._maps[path]
        at = self._chance.randrange(len(mapped) - 64)
        mapped[at : at + 16] = self._chance.randbytes(16)

    def store_unseen(self, path: str) -> None:
        """Stores, and puts the old time back."""
        before = os.stat(self._directory / path)
        self.store(path)
        os.utime(self._directory / path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def write(self, path: str) -> None:
        with (self._directory / path).open("r+b") as file:
            file.seek(self._chance.randrange(_LEAST_BYTES - 64))
            file.write(self._chance.randbytes(16))

    def append(self, path: str) -> None:
        with (self._directory / path).open("ab") as file:
            file.write(self._chance.randbytes(100))

    def sync(self, path: str) -> None:
        self._maps[path].flush()

    def replace(self, path: str) -> None:
        """Another file takes the name; the old one is removed by that."""
        self._create(path)

    def swap(self, path: str) -> None:
        """Another file takes the name; the old one goes on existing for a while under its own."""
        aside = self._directory.parent / f"aside-{self._chance.getrandbits(64):x}"
        os.rename(self._directory / path, aside)
        self._aside.append(aside)
        self._create(path)
        if len(self._aside) > 6:
            self._aside.pop(self._chance.randrange(6)).unlink()

    def recreate(self, path: str) -> None:
        (self._directory / path).unlink()
        self._create(path)

    def drop_segment(self, path: str) -> None:
        """As Qdrant does it: renamed, then removed; another one of the name follows at once."""
        segment = path.split("/")[0]
        gone = self._directory / f"{segment}.deleted"
        os.rename(self._directory / segment, gone)
        shutil.rmtree(gone)
        self._create_segment(segment)

    def swap_segment(self, path: str) -> None:
        """Another directory takes the name; the old one goes on existing with all its files."""
        segment = path.split("/")[0]
        aside = self._directory.parent / "aside-segment"
        if aside.exists():
            shutil.rmtree(aside)
        os.rename(self._directory / segment, aside)
        self._create_segment(segment)

    def _create_segment(self, segment: str) -> None:
        for one in paths():
            if one.startswith(f"{segment}/"):
                self._create(one)

    def _create(self, path: str) -> None:
        file = self._directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name("draft")
        size = self._chance.randrange(_LEAST_BYTES, _MOST_BYTES)
        draft.write_bytes(self._chance.randbytes(size))
        if path in self._maps:
            self._maps.pop(path).close()
        with draft.open("r+b") as opened:
            self._maps[path] = mmap.mmap(opened.fileno(), 0)
        os.replace(draft, file)


def main() -> None:
    directory, lock, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    writer = SegmentWriter(directory, lock, seed)
    writer.create()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    writer.run()


if __name__ == "__main__":
    main()

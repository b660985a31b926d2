"""Evidence stress: claims about files that another process changes, compared with what the files
held at the cut.

Usage: python -m tests.chaos.evidence_stress [DIRECTORY] [--claims N] [--seed N] [--mutant NAME|all]
A claim is a file that was left out and proven in the end. `wrong`: its bytes were not those at its
path at the cut. `lost`: files that were left out and not proven, each of which fails a capture.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from cleancut.core.capture import proof
from cleancut.core.capture.proof import SETTLED_NS, FileState, difference
from cleancut.core.primitives.errors import Unavailable
from cleancut_agent.capture import segment_files, selection
from cleancut_agent.capture.direct_files import DirectFile
from cleancut_agent.capture.handles import Handles
from cleancut_agent.capture.segment_files import SegmentFiles
from cleancut_agent.capture.selection import Selection
from simulation.mutation import Patch
from tests.chaos.segment_writer import FLUSHED, flush, paths, standstill

YOUNG_NS = 150_000_000
"""Instead of half a minute: files count as settled this soon, so that many are claimed which change
in the next moment."""
_READY_S = 60.0
_BETWEEN_PASSES_S = 0.06
_LONG_S = 1.0
_DROPPED = 0.3


@dataclass(slots=True)
class Outcome:
    """Counts of one run."""

    file_system: str = ""
    rounds: int = 0
    kept: int = 0
    direct: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    removed: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def claims(self) -> int:
        return self.kept + self.direct

    def __str__(self) -> str:
        return (
            f"{self.file_system}: {self.claims} claims ({self.kept} kept, {self.direct} read,"
            f" {self.removed} of them removed meanwhile), {len(self.wrong)} wrong;"
            f" {self.lost.total()} lost in {self.rounds} rounds: {dict(self.lost)}"
        )


def _nothing(handle: int) -> None:
    """No write-back: the times alone decide."""


def _by_handle_alone(
    after: FileState,
    later: FileState | None,
    *,
    at_path: tuple[int, int] | None,
    confirmed: bool = False,
) -> str:
    return difference(after, later, at_path=after.identity, confirmed=confirmed)


def _removed_at_any_time(
    after: FileState,
    later: FileState | None,
    *,
    at_path: tuple[int, int] | None,
    confirmed: bool = False,
) -> str:
    return difference(
        after,
        later,
        at_path=at_path,
        confirmed=confirmed or (later is not None and not later.links),
    )


MUTANTS: Mapping[str, tuple[Patch, ...]] = {
    "mtime alone": (Patch(segment_files, "write_back", _nothing),),
    "no path check": (Patch(selection, "difference", _by_handle_alone),),
    "removed at any time": (Patch(selection, "difference", _removed_at_any_time),),
    "no ctime": (Patch(FileState, "is_as", FileState.has_content_of),),
}
"""Rules broken on purpose, whose claims have to be wrong."""
LOSING: Mapping[str, tuple[Patch, ...]] = {
    "one pass": (Patch(SegmentFiles, "warm", lambda files: 0),),
    "no deny list": (Patch(proof, "FLUSHED_NAMES", frozenset()),),
}
"""Rules broken on purpose, which lose more captures and make no wrong claim."""


class EvidenceStress:
    """One run: a writer in a process of its own, and captures next to it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._segments, self._lock = directory / "segments", directory / "lock"
        self._seed, self._chance = seed, random.Random(seed)
        self._parent: dict[str, tuple[FileState, bytes]] = {}
        self._outcome = Outcome()
        self._writer: subprocess.Popen[bytes] | None = None

    def run(self, claims: int, limit_s: float) -> Outcome:
        """Rounds until that many claims were made, one was wrong, or the time is over."""
        self._segments.mkdir()
        self._lock.touch()
        until_s = time.monotonic() + limit_s
        with self._writing(), SegmentFiles(self._segments, Handles(1000)) as files:
            self._outcome.file_system = files.mount.file_system
            while self._outcome.claims < claims and not self._outcome.wrong:
                if time.monotonic() > until_s:
                    break
                self._round(files)
        return self._outcome

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        command = [sys.executable, "-m", "tests.chaos.segment_writer"]
        arguments = [str(self._segments), str(self._lock), str(self._seed)]
        with subprocess.Popen(
            command + arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                if process.stdout is None or process.stdout.readline() != b"ready\n":
                    raise RuntimeError("the writer did not start")
                self._writer = process
                yield
            finally:
                if process.stdin:
                    process.stdin.close()
                code = process.wait(timeout=_READY_S)
        if code:
            raise RuntimeError(f"the writer ended with {code}")

    def _round(self, files: SegmentFiles) -> None:
        self._outcome.rounds += 1
        for path in list(self._parent):
            if self._chance.random() < _DROPPED:
                del self._parent[path]
        if self._chance.random() < 0.1:
            self._pause(_LONG_S)
        files.warm()
        self._pause(_BETWEEN_PASSES_S)
        recorded = {path: state for path, (state, _) in self._parent.items()}
        now_ns = time.time_ns() + SETTLED_NS - YOUNG_NS
        with files.select(recorded, now_ns) as chosen:
            self._pause(0.01)
            with standstill(self._lock):
                flush(self._segments, self._chance)
                truth = {path: self._content(path) for path in paths()}
            if self._chance.random() < 0.7:
                self._pause(0.01)
                chosen.check()
            read = self._read(chosen)
            self._pause(0.01)
            self._judge(chosen, read, truth)

    def _read(self, chosen: Selection) -> dict[str, bytes]:
        """The digests of the direct files."""
        found = {}
        for path, file in chosen.direct.items():
            try:
                digest = blake3()
                for piece in DirectFile(file).pieces():
                    digest.update(piece)
                found[path] = digest.digest()
            except Unavailable as error:
                chosen.reject(path, error.message)
        return found

    def _judge(
        self,
        chosen: Selection,
        read: Mapping[str, bytes],
        truth: Mapping[str, bytes | None],
    ) -> None:
        """Counts this round's claims, and makes them the parent of the next."""
        removed = {path for path, one in chosen.direct.items() if not os.fstat(one.handle).st_nlink}
        chosen.check()
        for path in list(chosen.direct):
            chosen.finish(path)
        proven = chosen.proven()
        for path, reason in chosen.check().items():
            self._outcome.lost["a flush wrote it" if path.endswith(FLUSHED) else reason] += 1
        for path, state in proven.items():
            is_kept = path in chosen.kept
            digest = self._parent[path][1] if is_kept else read[path]
            self._outcome.kept += is_kept
            self._outcome.direct += not is_kept
            self._outcome.removed += path in removed
            if digest != truth[path]:
                self._outcome.wrong.append(path)
            self._parent[path] = (state, digest)

    def _content(self, path: str) -> bytes | None:
        try:
            return blake3((self._segments / path).read_bytes()).digest()
        except FileNotFoundError:
            return None

    def _pause(self, at_most_s: float) -> None:
        """Writing goes on. Raises: RuntimeError, if the writer has ended."""
        outputs = [self._writer.stdout] if self._writer and self._writer.stdout else []
        if select.select(outputs, [], [], self._chance.random() * at_most_s)[0]:
            raise RuntimeError("the writer has ended")


def stress(directory: Path, claims: int, seed: int, limit_s: float) -> Outcome:
    """One run in a directory of its own below `directory`."""
    with tempfile.TemporaryDirectory(dir=directory, prefix="evidence-") as place:
        return EvidenceStress(Path(place), seed).run(claims, limit_s)


def stress_mutant(
    name: str, directory: Path, claims: int, seed: int, *, limit_s: float = 120.0
) -> Outcome:
    """The same with a rule broken; "": with none."""
    with contextlib.ExitStack() as stack:
        for patch in {**MUTANTS, **LOSING}.get(name, ()):
            stack.enter_context(patch.applied())
        return stress(directory, claims, seed, limit_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--claims", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=600.0)
    parser.add_argument("--mutant", default="", choices=["", "all", *MUTANTS, *LOSING])
    asked = parser.parse_args()
    names = [*MUTANTS, *LOSING] if asked.mutant == "all" else [asked.mutant]
    wrong = 0
    for name in names:
        found = stress_mutant(
            name, asked.directory, asked.claims, asked.seed, limit_s=asked.limit_s
        )
        sys.stdout.write(f"{name or 'all rules':20} {found}\n")
        sys.stdout.flush()
        wrong += len(found.wrong) if not name else 0
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

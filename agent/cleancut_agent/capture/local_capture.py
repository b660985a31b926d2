"""Direct captures by one agent: shards of the local peer, whose segment files it sees on its disk.

What is odd about the disk only makes a shard be streamed whole, which is always right.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from cleancut.core.capture.evidence import Circumstances, evidence_of, recorded
from cleancut.core.capture.gate import CaptureFacts
from cleancut.core.capture.proof import FileState
from cleancut.core.capture.request import member_path
from cleancut.core.format.keeping import KeepableMembers
from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import Digest
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.wal.gate import WalFacts
from cleancut_agent.capture.direct_tar import DirectTar, OtherFiles, UnprovenFiles, UnreadableFile
from cleancut_agent.capture.disk_reads import DiskReads
from cleancut_agent.capture.evidence_files import EvidenceFiles
from cleancut_agent.capture.handles import handles_of_process
from cleancut_agent.capture.mounts import capture_facts, circumstances
from cleancut_agent.capture.segment_files import SegmentFiles, segments_path
from cleancut_agent.capture.selection import Selection

KEPT_S = 14 * 24 * 3600.0
"""So long evidence of a shard that is not captured any more is kept."""
Shard = tuple[str, int]


@dataclass(frozen=True, slots=True)
class DirectCapture:
    """One shard to be captured with what `selection` leaves out. Order: `close` in the end."""

    task: ShardTask
    selection: Selection
    directory: Path
    sizes: Mapping[str, int]
    at: Circumstances
    reads: DiskReads
    now_ns: Callable[[], int]

    def tar(self, piece_bytes: int) -> DirectTar:
        return DirectTar(
            self.selection,
            self.directory,
            self.sizes.__getitem__,
            piece_bytes=piece_bytes,
            reads=self.reads,
            now_ns=self.now_ns,
        )

    def close(self) -> None:
        self.selection.close()


class LocalCapture:
    """Of one agent. `storage`: the local peer's data directory. Methods block, but for `failed`.

    `reads`: of all its shards. `stopped`: why nothing is captured directly until the agent
    restarts; "": it is. `count_unproven`: called for each capture that is given up. `now_ns`: the
    clock that sets the files' times.
    """

    def __init__(
        self,
        storage: Path,
        directory: Path,
        reads: DiskReads | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._storage, self._now_ns = storage, now_ns
        self.reads = reads or DiskReads()
        self._handles = handles_of_process()
        self._evidence = EvidenceFiles(directory)
        self._unproven: dict[Shard, frozenset[str]] = {}
        self._unreadable: dict[Shard, frozenset[str]] = {}
        self._whole: set[Shard] = set()
        self.stopped = ""
        self.count_unproven: Callable[[], None] = lambda: None

    def facts(self, seen: WalFacts) -> CaptureFacts:
        """What stands for or against it; never an error."""
        return capture_facts(self._storage, seen)

    def warm(self, tasks: Collection[ShardTask]) -> None:
        """Files that are written to show it from now on. Order: once for each backup, some seconds
        before `begin`."""
        self._evidence.forget(time.time() - KEPT_S)
        for task in tasks:
            with contextlib.suppress(CleancutError), self._files(task) as files:
                files.warm()

    def begin(
        self, task: ShardTask, parent: Recipe | None, avoided: frozenset[str], startup: str
    ) -> DirectCapture | None:
        """What a request that follows at once leaves out; None: nothing, the shard is streamed.

        `avoided`: packs and pages that are not named again. `startup`: of the local peer.
        """
        shard = task.collection, task.shard_id
        if self.stopped:
            return None
        if shard in self._whole:
            self._whole.discard(shard)
            return None
        try:
            with self._files(task) as files:
                now_ns = self._now_ns()
                at = circumstances(files.mount, startup, now_ns)
                selection = files.select(self._recorded(task, parent, avoided, at), now_ns)
        except CleancutError:
            return None
        nothing = frozenset[str]()
        for path in self._unproven.get(shard, nothing) | self._unreadable.get(shard, nothing):
            selection.leave(path)
        if not selection.kept and not selection.direct:
            selection.close()
            return None
        sizes = parent.sizes() if parent else {}
        directory = segments_path(self._storage, task.collection, task.shard_id)
        return DirectCapture(task, selection, directory, sizes, at, self.reads, self._now_ns)

    def done(self, capture: DirectCapture, recipe: Digest, proven: Mapping[str, FileState]) -> None:
        """The capture is stored under `recipe`."""
        shard = capture.task.collection, capture.task.shard_id
        self._unproven.pop(shard, None)
        self._evidence.put(evidence_of(shard, recipe, capture.at, proven))

    def rolled(self, task: ShardTask, recipe: Digest) -> None:
        """The segments of `recipe` are those of the parent."""
        found = self._evidence.read(task.collection, task.shard_id)
        if found is not None and found.recipe == task.recipe:
            self._evidence.put(replace(found, recipe=recipe))

    def failed(self, task: ShardTask, error: CleancutError) -> None:
        """The next attempt streams what was not proven, and after two such attempts all of it; it
        reads what the parent's pages should have said. What cannot be read is streamed until the
        agent restarts."""
        shard = task.collection, task.shard_id
        if isinstance(error, OtherFiles):
            self.stopped = error.message
        elif "member" in error.context:
            self._evidence.drop(*shard)
        elif isinstance(error, UnreadableFile):
            self._unreadable[shard] = self._unreadable.get(shard, frozenset()) | error.files
        elif isinstance(error, UnprovenFiles):
            self.count_unproven()
            again = self._unproven.pop(shard, None) is not None
            if again:
                self._whole.add(shard)
            else:
                self._unproven[shard] = error.files

    def _files(self, task: ShardTask) -> SegmentFiles:
        path = segments_path(self._storage, task.collection, task.shard_id)
        return SegmentFiles(path, self._handles)

    def _recorded(
        self, task: ShardTask, parent: Recipe | None, avoided: frozenset[str], at: Circumstances
    ) -> Mapping[str, FileState]:
        """States of the files whose members can be the parent's."""
        if parent is None or task.full:
            return {}
        evidence = self._evidence.read(task.collection, task.shard_id)
        states = recorded(evidence, Digest(task.recipe), at)
        keepable = KeepableMembers(parent, avoided)
        return {path: state for path, state in states.items() if member_path(path) in keepable}

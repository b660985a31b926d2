"""What an agent's backup machine asks its shell for, and the answers."""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.fence import Fence
from cleancut.ids import Epoch
from cleancut.records import Member, Reading, ShardTask


@dataclass(frozen=True, slots=True)
class Observe:
    """Look at the own peer, the store and the own member record. Result: `Observed`."""

    epoch: Epoch
    probe: str


@dataclass(frozen=True, slots=True)
class Load:
    """Fetch the parents' recipes of these tasks."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]


@dataclass(frozen=True, slots=True)
class Confirm:
    """Arm the local end of the epoch's fence, then wait until the own peer shows it raised.
    Result: the `Fence`."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Capture:
    """Read the numbers, then open all streams at once. Result, when all are cut: `Readings`.

    The streams go on in the background; their end is the answer to `Finish`.
    """

    epoch: Epoch
    tasks: tuple[ShardTask, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """Read the numbers again, then the view, the fence's aliases in it under their old names.
    Result: `Readings`."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Count the shards, wait until all captures are stored, then store the document of this
    agent's shards and journal it. Result: the document's sha256."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    first: Readings
    second: Readings


@dataclass(frozen=True, slots=True)
class Sow:
    """Of a seed: read these shards to their end, `streams` at a time, and store what the store does
    not have. Order: repeatable, and needs nothing from before. Result: `Seeded`."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    streams: int


@dataclass(frozen=True, slots=True)
class Recall:
    """What the journal holds of this epoch after a restart. Result: a sha256, or "" for nothing."""

    epoch: Epoch


CutEffect = Observe | Load | Confirm | Capture | Read | Finish | Sow | Recall


@dataclass(frozen=True, slots=True)
class Observed:
    """`view`: sha256 of the canonical view; `view_object`: its name among the probe objects."""

    view: str
    view_object: str
    probe: str
    free_bytes: int
    member: Member | None


@dataclass(frozen=True, slots=True)
class Readings:
    """Numbers in the order of the tasks. `view`, and whether the own peer was `fenced` still, only
    of the second reading."""

    numbers: tuple[int | None, ...]
    incarnation: str
    arrivals: int
    view: str = ""
    fenced: bool = False

    def at(self, index: int) -> Reading:
        """One shard's, with what it means something within."""
        return Reading(
            number=self.numbers[index], incarnation=self.incarnation, arrivals=self.arrivals
        )

"""What an agent's backup machine asks its shell for, and the answers."""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.effect_requests import Observe, Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import ShardTask


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

    The streams go on in the background; their end is the answer to `FinishCapture`.
    """

    epoch: Epoch
    tasks: tuple[ShardTask, ...]


@dataclass(frozen=True, slots=True)
class FinishCapture:
    """Count the shards, wait until all captures are stored, then store the document of this
    agent's shards and journal it. Result: the document's sha256."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    first: Readings
    second: Readings


@dataclass(frozen=True, slots=True)
class SeedShards:
    """Of a seed: read these shards to their end, `streams` at a time, and store what the store does
    not have. Order: repeatable, and needs nothing from before. Result: `Seeded`."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    streams: int


@dataclass(frozen=True, slots=True)
class ReadJournal:
    """What the journal holds of this epoch after a restart. Result: a sha256, or "" for nothing."""

    epoch: Epoch


CutEffect = (
    Observe | Load | Confirm | Capture | ReadNumbers | FinishCapture | SeedShards | ReadJournal
)

"""Story of an operation: what it was, when its attempts began and why they ended.

Shape: a committed backup keeps it in its manifest; any other operation that has ended leaves one
object, history/<YYYY>/<at>-<kind>-<id>.json.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import field
from msgspec.structs import replace

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import Epoch, OperationId, numbered
from cleancut.core.primitives.record_times import Time
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.trace import Trace

_AT = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z")
_WORD = re.compile(r"[a-z]+")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class StoryKind(StrEnum):
    """What a story is of: an operation, or work that takes no turn."""

    BACKUP = "backup"
    SEED = "seed"
    IMPORT = "import"
    RESTORE = "restore"
    REBALANCE = "rebalance"
    RESHARD = "reshard"
    UNDELETE = "undelete"
    VERIFY = "verify"
    DRILL = "drill"
    GC = "gc"
    COPY = "copy"


WORK = (StoryKind.VERIFY, StoryKind.DRILL, StoryKind.COPY, StoryKind.GC)
"""What takes no turn."""
BACKUPS = (StoryKind.BACKUP, StoryKind.SEED, StoryKind.IMPORT)
"""What users see as backups."""


class BackupStory(Record, frozen=True):
    """How a backup came about, in its manifest. `asked_at`: RFC 3339, UTC. `traces`: of its newest
    attempts, the oldest first; the last one is the backup's own, up to the staging of its
    manifest. `attempts`: their number, with those that are not kept."""

    asked_at: Time = ""
    asked_by: str = ""
    attempts: int = 1
    traces: tuple[Trace, ...] = ()


class Story(Record, frozen=True):
    """One ended operation. `at`: when it was asked for, or began; `ended_at`: both RFC 3339, UTC.
    `state`: in which it ended. `epoch`: the backup that it is of, 0 for none. `operation`: its
    record, as etcd held it; `document`: what that names as its `detail`, such as the report of a
    restore. `facts`: of work that takes no turn, numbers and texts by name."""

    kind: StoryKind
    id: str
    at: Time
    ended_at: Time
    state: str
    epoch: Epoch = Epoch(0)
    asked_by: str = ""
    operation: Operation | None = None
    document: Any = None
    facts: dict[str, Any] = field(default_factory=dict)

    def without_traces(self) -> Story:
        """For lists, which do not show attempts."""
        if self.operation is None:
            return self
        return replace(self, operation=replace(self.operation, traces=()))

    @property
    def name(self) -> str:
        """Of its object, under the folder of its year."""
        return f"{compact(self.at)}-{self.kind}-{self.id}"

    @property
    def position(self) -> str:
        """Greater for a newer one, as of the operation that it is of."""
        return place(self.at, self.id)


class StoryName(NamedTuple):
    """The parts of the name of a story's object. `at`: RFC 3339, UTC."""

    at: str
    kind: str
    id: str

    @property
    def position(self) -> str:
        """As `Story.position`."""
        return place(self.at, self.id)


def place(at: str, operation: str) -> str:
    """Where an operation that was asked for at that time comes in lists: greater for a newer one,
    and for the later one of those that were recorded together."""
    stem, number = numbered(OperationId(operation))
    return f"{at}_{stem}-{number:09d}"


def compact(at: str) -> str:
    """`at` (RFC 3339, UTC, to the millisecond) as names of objects hold it: it sorts as time
    does."""
    return at.replace("-", "").replace(":", "")


def parse_story_name(name: str) -> StoryName | None:
    """The parts of `name`, without ".json"; None: it is not the name of a story."""
    at, _, rest = name.partition("-")
    kind, _, of = rest.partition("-")
    if not _AT.fullmatch(at) or not _WORD.fullmatch(kind) or not _ID.fullmatch(of):
        return None
    day, clock = f"{at[:4]}-{at[4:6]}-{at[6:8]}", f"{at[9:11]}:{at[11:13]}:{at[13:]}"
    try:
        parse_time(f"{day}T{clock}")
    except Corrupt:
        return None
    return StoryName(f"{day}T{clock}", kind, of)

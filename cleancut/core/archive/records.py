"""Records of the archive: chunks, the chains that they make up, and marks.

A **chain** is the unbroken log of one replica in one incarnation; a **chunk** is one stored object
with entries of any number of chains; a **mark** is a standstill of all archived shards.
Shape: proto/FORMAT.md, Archive.
"""

from __future__ import annotations

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, PeerId, ShardId
from cleancut.core.wal.tail import Position

CHUNK_FORMAT = 1


class Look(Record, frozen=True):
    """A look at a log: by `at_ms`, by the agent's clock, the entries up to `last` were there."""

    at_ms: int
    last: int


class ChunkPart(Record, frozen=True):
    """The entries `first` to `last` of a chain, as they follow each other in the chunk's body.

    `lengths`: the bytes of each. `looks`: when they were seen. `position`: where the tail stood
    behind the last one; None, if it is not known.
    """

    chain: str
    collection: str
    shard: ShardId
    first: int
    last: int
    lengths: tuple[int, ...]
    looks: tuple[Look, ...] = ()
    position: Position | None = None

    @property
    def size_bytes(self) -> int:
        return sum(self.lengths)


class ChunkHead(Record, frozen=True):
    """What is in a chunk. `stream`: of one run of an agent's process; `number`: in it, from 0 on.

    `previous`: the digest of the head before it, "" for the first. `body_sha256` and `body_bytes`:
    of the compressed entries of all parts, as they are stored behind the head.
    """

    stream: str
    number: int
    made_at_ms: int
    parts: tuple[ChunkPart, ...]
    body_sha256: str
    body_bytes: int
    previous: str = ""

    @property
    def raw_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)


class Chain(Record, frozen=True):
    """What makes the entries of a chain those of one log.

    `log`: identity of its directory, as in `WalEnd`. `boot_id`: of the machine. `first`: the index
    of its first entry. `after`: the chain that it follows, which broke for `reason`; "": none.
    """

    id: str
    cluster: str
    agent: AgentName
    peer: PeerId
    collection: str
    collection_uuid: str
    shard: ShardId
    log: str
    first: int
    created_at_ms: int
    shard_key: str | int | None = None
    boot_id: str = ""
    after: str = ""
    reason: str = ""


class ChainEnd(Record, frozen=True):
    """Why a chain ends, and with which entry; -1: it has none."""

    chain: str
    last: int
    at_ms: int
    reason: str


class MarkEnd(Record, frozen=True):
    """Where the log of a shard ended in a round."""

    collection: str
    shard: ShardId
    peer: PeerId
    chain: str
    last: int


class MarkRound(Record, frozen=True):
    """The ends of all archived shards, all read after those of any earlier round."""

    number: int
    ends: tuple[MarkEnd, ...]


class Mark(Record, frozen=True):
    """A moment at which all archived shards stood still: `before` and `after` are two rounds with
    the same ends, and an instant lies between them at which each log ended there.

    `at_ms`: by the leader's clock, between the rounds. `name`: given by a user, or "".
    """

    at_ms: int
    before: MarkRound
    after: MarkRound
    name: str = ""

    @property
    def ends(self) -> tuple[MarkEnd, ...]:
        return self.after.ends

    @property
    def doubt(self) -> str:
        """Why this is not proven to be one instant; "" if it is."""
        if self.before.number >= self.after.number:
            return f"round {self.after.number} does not follow round {self.before.number}"
        if not self.ends:
            return "it is of no shard"
        keys = [(end.collection, end.shard) for end in self.ends]
        if len(set(keys)) < len(keys):
            return "a shard is in it twice"
        moved = set(self.before.ends) ^ set(self.after.ends)
        if moved:
            first = min((end.collection, end.shard) for end in moved)
            return f"shard {first[1]} of {first[0]!r} moved between its rounds"
        return ""

"""The manifest of a group: everything that a restore and a proof need, in one document.

Shape: canonical JSON, stored as staged/<epoch>/<sha256>.json and published byte by byte as
groups/<epoch>.json. The store alone must suffice when etcd is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

from cleancut.core.cluster.collection_config import check_described
from cleancut.core.cluster.restored_names import base_of
from cleancut.core.format.story import BackupStory
from cleancut.core.primitives.codec import Record, decode
from cleancut.core.primitives.errors import Corrupt, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.primitives.record_times import Time
from cleancut.core.protocol.documents import Canary, Question
from cleancut.core.protocol.etcd_records import Reading, SickCollection, Standstill
from cleancut.core.protocol.evidence import (
    Consistency,
    consistency_of,
    doubt,
    is_quiet,
    rolled_doubt,
    standstill_doubt,
)
from cleancut.core.protocol.fence import Fence, FenceFacts
from cleancut.core.protocol.requests import MAX_KEEP_S

FORMAT = 1
ROLLED_FORMAT = 2
"""Of a backup that a reader of format 1 would misjudge: some shard is stored with its log."""
UNHASHED_FORMAT = 3
"""Of a backup that readers of formats 1 and 2 would call damaged: the tar of some shard has no
sha256, since not all of it was read."""
IMPORTED_FORMAT = 4
"""Of a backup that readers of older formats would call per-shard: it was imported."""
READ_FORMATS = range(FORMAT, IMPORTED_FORMAT + 1)
CORRUPT_HINT = (
    "others may be whole: see `cleancut backup list`; `cleancut backup delete` removes it"
)


class CaptureSources(Record, frozen=True):
    """Bytes of a shard's tar by where they came from: sent by Qdrant, read from the disk, or kept
    of the parent, unread."""

    streamed_bytes: int = 0
    direct_bytes: int = 0
    kept_bytes: int = 0


class ShardTimes(Record, frozen=True):
    """How long the capture of a shard took, on its agent's clock: to the last byte that was read,
    and until its recipe was stored."""

    read_ms: int
    total_ms: int


class ShardEntry(Record, frozen=True):
    """One shard of the group. `recipe` names its tar; sizes in bytes. `tar_sha256`: "", if not all
    of the tar was read when it was captured.

    `count` is exact, and kept for quiet shards only (None: unknown). `chain`: of the archive, that
    held this very log all the while; "": none did. `sources`: None, if Qdrant sent all of it, or
    nothing was captured. `audit`: None, if none was asked for; "": captured from the disk and equal
    to what Qdrant streamed afterwards; else why it was not compared. `times`: None, if nothing was
    captured.
    """

    collection: str
    shard_id: ShardId
    peer_id: PeerId
    agent: str
    recipe: str
    tar_sha256: str
    size_bytes: int
    new_bytes: int
    stored_bytes: int
    first: Reading
    second: Reading
    drained: bool
    uuid: str = ""
    count: int | None = None
    shard_key: str | int | None = None
    reused: bool = False
    standstill: Standstill | None = None
    chain: str = ""
    sources: CaptureSources | None = None
    audit: str | None = None
    times: ShardTimes | None = None

    @property
    def read(self) -> CaptureSources:
        """Where its bytes came from."""
        if self.reused:
            return CaptureSources(kept_bytes=self.size_bytes)
        return self.sources or CaptureSources(streamed_bytes=self.size_bytes)

    @property
    def last_entry(self) -> int:
        """The entry with which its stored log ends; -1 if none is stored."""
        rolled = self.standstill is not None and self.standstill.first >= 0
        return self.standstill.after.index if self.standstill and rolled else -1

    @property
    def quiet(self) -> bool:
        """True if what was cut is all that is stored, and nothing else was applied meanwhile."""
        return self.last_entry < 0 and is_quiet(self.first, self.second, drained=self.drained)

    @property
    def doubt(self) -> str:
        """Why it is not proven to be of the backup's instant; "" if it is."""
        if self.standstill is None:
            return doubt(self.first, self.second, drained=self.drained)
        return standstill_doubt(self.first, self.second, self.standstill, drained=self.drained)

    @property
    def own_doubt(self) -> str:
        """Why it is not proven to be what the shard was at some moment, be it another one than that
        of other shards; "" if it is."""
        if self.standstill is None:
            return doubt(self.first, self.second, drained=self.drained)
        return rolled_doubt(self.first, self.second, self.standstill, drained=self.drained)


class ReplicaEntry(Record, frozen=True):
    """A replica that was not cut, read and counted like those that were, to be compared."""

    collection: str
    shard_id: ShardId
    peer_id: PeerId
    first: Reading
    second: Reading
    count: int


class AgentDocument(Record, frozen=True):
    """The shards that one agent captured in an epoch: votes/<epoch>/<agent>/<sha256>.json.

    `drained` of its shards is not yet valid: the coordinator knows which drains answered.
    """

    epoch: Epoch
    agent: AgentName
    shards: tuple[ShardEntry, ...]
    replicas: tuple[ReplicaEntry, ...] = ()


class CollectionEntry(Record, frozen=True):
    """Everything of a collection outside its shards, as raw JSON of Qdrant's answers."""

    name: str
    uuid: str
    info: dict[str, Any]  # result of GET /collections/{name}
    shard_ids: tuple[ShardId, ...]
    shard_keys: tuple[tuple[str | int, tuple[ShardId, ...]], ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def counted_as(self) -> str:
        """Its name in rules that count backups: that of the collection that it has replaced, if it
        stands behind an alias of this name."""
        base = base_of(self.name)
        return base if base in self.aliases else self.name


class ClusterEntry(Record, frozen=True):
    """The cluster at the backup: for people and for the restore's plan, never to map shards."""

    qdrant_version: str
    peers: dict[str, str]
    metadata: dict[str, Any]
    quotas: dict[str, Any] | None = None  # None: a Qdrant without quotas, older than 1.19


class Imported(Record, frozen=True):
    """What an imported group was made of: `id` of the import, and the names of the snapshots."""

    id: str
    files: tuple[str, ...]


class Draft(Record, frozen=True):
    """An attempt before its cut: staged, so that any leader can finish it from the store."""

    epoch: Epoch
    operation: OperationId
    cluster: str
    cluster_id: str
    collections: tuple[CollectionEntry, ...]
    source: ClusterEntry
    undrainable: dict[str, str]  # collection -> why it is never drained
    questions: tuple[Question, ...] = ()
    fence: Fence | None = None
    warnings: tuple[str, ...] = ()
    schedule: str = ""
    missing: tuple[SickCollection, ...] = ()
    selected: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    keep_s: float = 0.0


class ImportDraft(Record, frozen=True):
    """`imports/<id>/<sha256>.json`: what a command has stored of snapshots, to be entered in the
    catalog as one group. Nothing of `shards` was read from a live shard."""

    collection: CollectionEntry
    shards: tuple[ShardEntry, ...]
    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Manifest(Record, frozen=True):
    """A group. `cut_at` is RFC 3339 UTC, of the coordinator's clock at the put of CUT.
    `schedule`: the one that asked for it, "" for a user. `selected`: the names and aliases that
    were asked for, none for all of the cluster; with some excluded or missing, what it holds, as
    it is counted. `excluded`: if all collections but some were asked for, the names of these; none
    with some missing. `missing`: collections that were asked for and could not be backed up; with
    any, the backup is partial. `imported`: None, if agents captured it; else `cut_at` is when it
    was entered in the catalog. `story`: None, if an older version made it. `labels`: for people,
    by key. `keep_s`: how long after `cut_at` it is kept, whatever the retention rules; 0: they
    decide."""

    format: int
    cluster: str
    cluster_id: str
    epoch: Epoch
    operation: OperationId
    created_by: str
    cut_at: Time
    skew_ms: int
    collections: tuple[CollectionEntry, ...]
    shards: tuple[ShardEntry, ...]
    source: ClusterEntry
    view: str
    replicas: tuple[ReplicaEntry, ...] = ()  # those that were not cut, and could be counted
    canaries: tuple[Canary, ...] = ()
    fence: FenceFacts | None = None
    warnings: tuple[str, ...] = ()  # for people: what a reader should know of this group
    schedule: str = ""
    missing: tuple[SickCollection, ...] = ()
    selected: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    imported: Imported | None = None
    story: BackupStory | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    keep_s: float = 0.0

    @property
    def life_s(self) -> float:
        """`keep_s`, within its bounds whatever the document says."""
        return min(max(self.keep_s, 0.0), MAX_KEEP_S)

    @property
    def fenced(self) -> bool:
        """True if it is point-in-time, and every agent saw a fence hold off writes to all of it."""
        collections = {entry.name for entry in self.collections}
        agents = {shard.agent for shard in self.shards}
        held = self.fence is not None and self.fence.holds(collections, agents)
        return held and self.consistency is Consistency.POINT_IN_TIME

    @property
    def consistency(self) -> Consistency:
        """Recomputed from the raw numbers each time, so no stored verdict is trusted."""
        if self.imported is not None:
            return Consistency.IMPORTED
        proven = [not shard.doubt for shard in self.shards]
        agree = not diverged(self.shards, self.replicas)
        return consistency_of([*proven, agree, one_instant(self.shards)])

    def collection(self, name: str) -> CollectionEntry:
        """Raises: NotFound."""
        for entry in self.collections:
            if entry.name == name:
                return entry
        likely = get_close_matches(name, [entry.name for entry in self.collections], n=1)
        meant = f"did you mean {likely[0]!r}? " if likely else ""
        raise NotFound(
            f"backup #{self.epoch} holds no collection {name!r}",
            f"{meant}see `cleancut backup show {self.epoch}`",
        )

    @property
    def aliases(self) -> dict[str, str]:
        """The aliases of its collections, with the collection behind each."""
        return {alias: entry.name for entry in self.collections for alias in entry.aliases}

    def named(self, names: Collection[str]) -> tuple[str, ...]:
        """The collections of these names and aliases, each once; others stay as they are."""
        behind = self.aliases | {entry.name: entry.name for entry in self.collections}
        return tuple(sorted({behind.get(name, name) for name in names}))

    def shards_of(self, name: str) -> tuple[ShardEntry, ...]:
        """The shards of one collection, by id."""
        found = [shard for shard in self.shards if shard.collection == name]
        return tuple(sorted(found, key=lambda shard: shard.shard_id))


def one_instant(shards: Sequence[ShardEntry]) -> bool:
    """True if the shards' evidence is all of one kind, and of one pair of rounds: the instant of a
    standstill is a later one than that of the readings."""
    return len({shard.standstill.round if shard.standstill else 0 for shard in shards}) <= 1


def format_of(shards: Sequence[ShardEntry]) -> int:
    """The format of a manifest of these shards."""
    if any(not shard.tar_sha256 for shard in shards):
        return UNHASHED_FORMAT
    return ROLLED_FORMAT if any(shard.standstill for shard in shards) else FORMAT


def diverged(
    shards: Sequence[ShardEntry], replicas: Sequence[ReplicaEntry]
) -> list[tuple[ReplicaEntry, ShardEntry]]:
    """Each replica that holds another number of points than the one that was cut, with that one.

    Both counts were exact, and nothing was written meanwhile: Qdrant let the replicas diverge, so
    which of them is right is not known.
    """
    cut = {(shard.collection, shard.shard_id): shard for shard in shards if shard.quiet}
    found = []
    for one in sorted(replicas, key=lambda r: (r.collection, r.shard_id, r.peer_id)):
        shard = cut.get((one.collection, one.shard_id))
        if shard is None or shard.count is None or shard.count == one.count:
            continue
        if is_quiet(one.first, one.second, drained=True):
            found.append((one, shard))
    return found


class _FormatOnly(msgspec.Struct):
    format: int


def parse_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in `data`, complete.

    Raises: Refused for another format; Corrupt for bytes that are not a manifest, or one in which a
        shard of a collection is missing or doubled.
    """
    try:
        version = decode(_FormatOnly, data, where).format
    except Corrupt as error:
        raise Corrupt(
            f"{where} is not a complete manifest: {error.message.partition(': ')[2]}", CORRUPT_HINT
        ) from error
    if version not in READ_FORMATS:
        raise Refused(
            f"{where} has format {version}, this cleancut reads up to {READ_FORMATS[-1]}",
            "use the cleancut version that wrote it, or a newer one",
        )
    try:
        manifest = decode(Manifest, data, where)
    except Corrupt as error:
        raise Corrupt(error.message, CORRUPT_HINT) from error
    check_complete(manifest)
    return manifest


def recipes_of(manifest: Manifest) -> set[str]:
    return {shard.recipe for shard in manifest.shards}


def check_complete(manifest: Manifest) -> None:
    """Raises: Corrupt unless each shard of each collection is there exactly once, and its
    configuration is one: what reads all backups must not fail at this one later."""
    try:
        for entry in manifest.collections:
            check_described(entry.info)
    except Invalid as error:
        raise Corrupt(f"backup #{manifest.epoch}: {error.message}", CORRUPT_HINT) from error
    have = sorted((shard.collection, shard.shard_id) for shard in manifest.shards)
    want = sorted(
        (entry.name, shard) for entry in manifest.collections for shard in entry.shard_ids
    )
    if have != want or len(set(want)) < len(want):
        raise Corrupt(f"backup #{manifest.epoch} does not hold exactly the shards it names")

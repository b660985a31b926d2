"""What really happened, for the checkers alone: no simulated program can see it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import decode
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import OperationKind
from cleancut.etcd.embedded.model import EtcdModel
from cleancut.ports.coordination import KeyValue, Op

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

LINES = 5000


@dataclass(frozen=True, slots=True)
class Write:
    """One applied txn: who wrote, what it believed to hold, and who really held it then."""

    at_s: float
    writer: str
    token: int
    holder: int
    ops: tuple[Op, ...]
    revision: int


@dataclass(slots=True)
class FrozenShard:
    """A shard's state was frozen for `agent`: `content` is how many writes it holds, of `replica`;
    `sha256` of the tar that no other cut has. `whole_s`: when the agent had all of the tar. `lost`:
    deletes that the tar lacks; `stale`: another replica had more; `failed`: how many writes of its
    log may have been applied later only, having failed."""

    at_s: float
    agent: str
    token: int
    collection: str
    shard_id: int
    peer_id: int
    content: int
    life: int
    sha256: str
    whole_s: float = float("inf")
    lost: int = 0
    stale: bool = False
    failed: int = 0
    points: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """`group/<epoch>` came to be: the keys of its epoch as they were in that very revision."""

    at_s: float
    group: KeyValue
    members: tuple[KeyValue, ...]
    votes: tuple[KeyValue, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Swap:
    """A recovered tar came to be in place of a shard's replica."""

    at_s: float
    uuid: str
    place: tuple[str, int]
    peer_id: int
    recipe: str


@dataclass(frozen=True, slots=True)
class Copy:
    """One replica at a moment."""

    shard_id: int
    peer_id: int
    tar: str
    writes: tuple[float, ...]
    dirty: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """The cluster as it was when `ctl` was put: uuid and copies by collection, and the aliases;
    and the members' and votes' keys of its epoch in that revision."""

    at_s: float
    ctl: KeyValue
    writer: str
    uuids: dict[str, str]
    copies: dict[str, tuple[Copy, ...]]
    aliases: dict[str, str]
    members: tuple[KeyValue, ...]
    votes: tuple[KeyValue, ...]


@dataclass(slots=True)
class FenceSpan:
    """A fence was there, from then on; `until_s` None: it still is."""

    name: str
    from_s: float
    until_s: float | None = None


@dataclass(slots=True)
class Held:
    """A hold that was answered. `released`: its end was asked for."""

    at_s: float
    epoch: int
    reason: str
    released: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """etcd went back to `revision`: to this ctl, and these operations. `ctls`, `recorded`: how many
    puts of ctl and of operations there were before."""

    at_s: float
    revision: int
    ctl: Ctl
    operations: tuple[KeyValue, ...]
    ctls: int
    recorded: int


Looked = tuple[dict[str, str], dict[str, tuple[Copy, ...]], dict[str, str]]


@dataclass(slots=True)
class Trace:
    """The global record of one run. `look` shows the cluster whenever ctl is put, and `struck`
    is called with ctl then."""

    keys: Keys
    look: Callable[[], Looked] = field(default=lambda: ({}, {}, {}))
    struck: Callable[[Ctl], None] = field(default=lambda _: None)
    moments: list[Moment] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)
    wiped: list[tuple[str, float]] = field(default_factory=list)
    """Writes that a recovery wiped although they were there when its agent counted, or that no
    agent had counted for: the collection's uuid, and when they were applied."""
    two_tars: list[str] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    ctls: list[tuple[float, KeyValue]] = field(default_factory=list)
    votes: list[tuple[float, KeyValue, Ctl]] = field(default_factory=list)
    """Each with ctl as it was then."""
    turns: list[Turn] = field(default_factory=list)
    unadopted: str = ""
    """Why what the operator does after etcd went back did not help."""
    _ctl: Ctl = field(default_factory=Ctl)
    operations: list[tuple[float, KeyValue]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    captures: dict[str, FrozenShard] = field(default_factory=dict)
    """By the sha256 of its tar."""
    tars: dict[str, str] = field(default_factory=dict)
    """By recipe: the sha256 of tars that were stored without it."""
    deleted: list[tuple[float, str, str]] = field(default_factory=list)
    """Objects that were in the store: when, by which process, which path."""
    published: list[tuple[float, int, bytes]] = field(default_factory=list)
    lost: list[tuple[float, str]] = field(default_factory=list)
    """Objects that the store has lost by itself."""
    wrong_clocks: set[str] = field(default_factory=set)
    """Processes whose clocks are wrong."""
    holds: list[Held] = field(default_factory=list)
    fences: list[FenceSpan] = field(default_factory=list)
    aliases: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    """Those that the cluster agreed on, from when on."""
    calm: bool = False
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    _digest: Hash = field(default_factory=hashlib.sha256)

    def applied(
        self, at_s: float, writer: tuple[str, int], holder: int, ops: Sequence[Op], model: EtcdModel
    ) -> None:
        """Notes a txn that took effect, and keeps what the checkers need of its moment."""
        name, token = writer
        self.writes.append(Write(at_s, name, token, holder, tuple(ops), model.revision))
        for op in ops:
            found = model.get(op.key)
            if found is not None:
                self._note(at_s, f"{name}:{token}", found, model)

    def _note(self, at_s: float, writer: str, kv: KeyValue, model: EtcdModel) -> None:
        keys, key = self.keys, kv.key
        if key == keys.ctl:
            self._ctl = decode(Ctl, kv.value, kv.key)
            self.ctls.append((at_s, kv))
            self.moments.append(self._moment(at_s, writer, kv, model))
        elif key.startswith(keys.all_votes):
            self.votes.append((at_s, kv, self._ctl))
        elif key.startswith(keys.operations):
            self.operations.append((at_s, kv))
        elif key.startswith(keys.groups):
            epoch = key.rpartition("/")[2]
            members = model.list(f"{keys.root}member/{epoch}/").items
            votes = model.list(f"{keys.all_votes}{epoch}/").items
            self.decisions.append(Decision(at_s, kv, members, votes, model.revision))

    def _moment(self, at_s: float, writer: str, kv: KeyValue, model: EtcdModel) -> Moment:
        ctl = decode(Ctl, kv.value, kv.key)
        self.struck(ctl)
        if ctl.kind in {OperationKind.BACKUP, OperationKind.SEED}:
            return Moment(at_s, kv, writer, {}, {}, {}, (), ())
        members = model.list(self.keys.members(ctl.epoch)).items
        votes = model.list(self.keys.votes(ctl.epoch)).items
        return Moment(at_s, kv, writer, *self.look(), members, votes)

    def turned(self, at_s: float, revision: int, model: EtcdModel) -> None:
        """Notes that etcd went back."""
        found = model.get(self.keys.ctl)
        self._ctl = decode(Ctl, found.value, found.key) if found else Ctl()
        operations = model.list(self.keys.operations).items
        recorded = len(self.operations)
        self.turns.append(Turn(at_s, revision, self._ctl, operations, len(self.ctls), recorded))
        self.say(at_s, "etcd", f"goes back to {revision}: {self._ctl.kind} {self._ctl.phase}")

    def stored(self, at_s: float, paths: Paths, path: str, data: bytes) -> None:
        """Notes an object that was put."""
        if path.startswith(paths.groups) and path.endswith(".json"):
            epoch = int(path.removeprefix(paths.groups).removesuffix(".json"))
            self.published.append((at_s, epoch, data))

    def gone(self, at_s: float, process: str, path: str) -> None:
        """Notes an object that was deleted."""
        self.deleted.append((at_s, process, path))

    def say(self, at_s: float, who: str, what: str) -> None:
        """One line of the story that is printed with a failing seed."""
        line = f"{at_s:9.3f} {who:8} {what}"
        self.lines.append(line)
        self._digest.update(line.encode())

    def digest(self) -> str:
        """Of the whole story, and of every key that was ever written."""
        digest = self._digest.copy()
        for write in self.writes:
            digest.update(repr((write.at_s, write.writer, write.token, write.ops)).encode())
        return digest.hexdigest()

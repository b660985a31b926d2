"""What the services need from the outside, as Protocols; one contract suite a port.

Real adapters (`etcd`, `store`, `qdrant`, `clock`) and the shipped fakes (`memory`) both pass the
suite in tests/contract. Foreign exceptions never cross these lines: see `cleancut.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from cleancut.errors import CleancutError


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key of etcd as read: revisions are etcd's, `lease` is 0 for none."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """All keys under a prefix, read at one `revision` (watch from `revision + 1`)."""

    revision: int
    items: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class Created:
    """Guard: the key's create_revision equals `revision`; 0 says that the key must not exist."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Modified:
    """Guard: the key's mod_revision equals `revision`; 0 says that the key must not exist."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class UnchangedSince:
    """Guard: no key under `prefix` was written after `revision`. True on an empty prefix, and
    blind to deletions: count what was read (Source: etcd api/v3rpc range compare)."""

    prefix: str
    revision: int


Guard = Created | Modified | UnchangedSince


@dataclass(frozen=True, slots=True)
class Put:
    """Write `value`. Values of guarded puts carry a nonce, so that an ambiguous answer resolves."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; removing nothing is no error."""

    key: str


@dataclass(frozen=True, slots=True)
class DeleteRange:
    """Remove all keys from `key` on that come before `end`; removing nothing is no error."""

    key: str
    end: str


Op = Put | Delete | DeleteRange


@dataclass(frozen=True, slots=True)
class TxnResult:
    """`applied` false: a guard did not hold and nothing was written. `revision` of the store."""

    applied: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One watched change; `deleted` ones carry the key and the revision of the deletion."""

    kv: KeyValue
    deleted: bool


class Compacted(CleancutError):
    """The history that a watch asked for is gone: list again and watch from there.

    `compact_revision` is the oldest revision that can still be watched.
    """

    retryable = True
    grpc_status, reason = "ABORTED", "COMPACTED"

    def __init__(self, compact_revision: int) -> None:
        super().__init__(
            f"etcd has dropped its history before revision {compact_revision}",
            "nothing to do: the keys are listed again and watched from there",
            compact_revision=compact_revision,
        )
        self.compact_revision = compact_revision


class Lease(Protocol):
    """A lease that is kept alive in the background of the block that opened it."""

    @property
    def id(self) -> int: ...

    def remaining_s(self) -> float:
        """Seconds left by the local clock, margin taken off; <= 0 means lost, for good."""
        ...

    def alive(self) -> bool:
        """False once the lease is, or by the local clock may be, over. Never true again."""
        ...

    async def wait_lost(self) -> str:
        """Returns the reason once the lease is lost; judged by the clock, within a second."""
        ...


class Coordination(Protocol):
    """etcd as the protocol uses it. Keys are text, values bytes.

    Raises: Unavailable (nothing was written, or only read), TimedOut (unknown), Denied.
    """

    async def get(self, key: str) -> KeyValue | None:
        """Linearizable."""
        ...

    async def list(self, prefix: str) -> Listing:
        """Linearizable; sorted by key."""
        ...

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        """All of `ops` if all `guards` hold, else none.

        An answer that got lost is resolved here: the same txn is sent again, and a refusal is
        read back (first Put's key holding exactly our value = it had been applied), so the caller
        only ever sees applied, refused, or an error after which nothing is known (TimedOut).
        Limits: 128 guards, 128 ops.
        """
        ...

    def watch(self, prefix: str, start_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """Changes under `prefix` from `start_revision` on, whole revisions at a time, none lost
        or doubled over reconnects. Raises: Compacted -- list again and watch from there."""
        ...

    def lease(self, ttl_s: float) -> AbstractAsyncContextManager[Lease]:
        """A granted lease, kept alive inside the block and revoked (bounded) at its end."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    path: str
    size_bytes: int


class Store(Protocol):
    """Object storage: every object is written once, whole or not at all.

    Paths are relative, `/`-separated, checked. Raises: NotFound, Unavailable (retried inside
    first), Denied, Refused (no space, not writable).
    """

    async def put(self, path: str, data: bytes) -> None:
        """Durable when it returns. Order: repeatable with the same bytes only."""
        ...

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset`, or all from there. Short only at the object's end."""
        ...

    async def stat(self, path: str) -> ObjectInfo | None: ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects whose path starts with `prefix`, sorted."""
        ...

    async def delete(self, path: str) -> None:
        """Removing nothing is no error."""
        ...

    async def close(self) -> None: ...


class Clock(Protocol):
    """Time for liveness; safety never depends on it."""

    def monotonic_s(self) -> float:
        """Seconds that go on in suspend (CLOCK_BOOTTIME); comparable in this process only."""
        ...

    def wall_s(self) -> float:
        """Seconds since 1970, UTC; for people only."""
        ...

    async def sleep(self, seconds: float) -> None: ...

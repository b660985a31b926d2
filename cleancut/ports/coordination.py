"""Port of etcd: keys, guarded transactions, watches and leases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from cleancut.core.primitives.errors import CleancutError


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
    """All keys under a prefix, read at one `revision` (watch from `revision + 1`). `cluster_id`:
    etcd's own; an etcd that is restored from a snapshot usually has another one."""

    revision: int
    items: tuple[KeyValue, ...]
    cluster_id: int = 0


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
    """Remove a key; removing nothing is not an error."""

    key: str


@dataclass(frozen=True, slots=True)
class DeleteRange:
    """Remove all keys from `key` on that come before `end`; removing nothing is not an error."""

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

"""etcd as a value: keys, revisions, leases, guards, history, compaction. No clock, no tasks.

A write is planned first and applied afterwards, so that it can be made durable in between; calls
that need no disk do both at once. Time is an argument (`now_s`, any origin). The embedded etcd and
the simulation are built on it; tests/contract holds it to the real thing.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from cleancut.core.primitives.errors import Invalid, LeaseLost
from cleancut.etcd.wire import check_txn_size, encode_key
from cleancut.ports.coordination import (
    Change,
    Compacted,
    Created,
    Delete,
    DeleteRange,
    Guard,
    KeyValue,
    Listing,
    Modified,
    Op,
    Put,
    TxnResult,
    UnchangedSince,
)

FIRST_LEASE = 0x1000


@dataclass(frozen=True, slots=True)
class EtcdSnapshot:
    """What `etcdctl snapshot save` keeps: the keys, and the leases with all that they hold."""

    revision: int
    keys: dict[str, KeyValue]
    leases: dict[int, tuple[float, frozenset[str]]]


@dataclass(slots=True)
class ModelLease:
    ttl_s: float
    expires_s: float
    keys: set[str] = field(default_factory=set)


class EtcdModel:
    """One etcd, whole and consistent: what its members agree upon.

    **Invariant:** one txn that writes makes one revision, and history holds every revision after
    `compacted_revision` in order.
    """

    def __init__(self) -> None:
        self.revision = 1
        self.cluster_id = 0xC1
        self.compacted_revision = 0
        self.leases: dict[int, ModelLease] = {}
        self._keys: dict[str, KeyValue] = {}
        self._history: list[tuple[int, tuple[Change, ...]]] = []
        self._next_lease = FIRST_LEASE
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """`listener` is called after each new revision and lease; the result takes it off again."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # Reading

    def get(self, key: str) -> KeyValue | None:
        encode_key(key)
        return self._keys.get(key)

    def list(self, prefix: str) -> Listing:
        """Sorted as etcd sorts: by the bytes of the key, which is the order of its characters."""
        found = sorted(key for key in self._keys if key.startswith(prefix))
        items = tuple(self._keys[key] for key in found)
        return Listing(self.revision, items, self.cluster_id)

    def changes_since(self, prefix: str, revision: int) -> tuple[tuple[Change, ...], ...]:
        """The changes under `prefix` from `revision` on, one tuple a revision.

        Raises: Compacted, if some of them may be gone.
        """
        if revision < self.compacted_revision:
            raise Compacted(self.compacted_revision)
        first = bisect.bisect_left(self._history, revision, key=lambda entry: entry[0])
        wanted = (
            tuple(change for change in changes if change.kv.key.startswith(prefix))
            for _, changes in self._history[first:]
        )
        return tuple(changes for changes in wanted if changes)

    # Writing

    def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        """Raises: as `plan`."""
        changes = self.plan(guards, ops)
        if changes is None:
            return TxnResult(False, self.revision)
        self.apply(changes)
        return TxnResult(True, self.revision)

    def plan(self, guards: Sequence[Guard], ops: Sequence[Op]) -> tuple[Change, ...] | None:
        """What the txn would change in one more revision; None, if a guard does not hold.

        Raises: Invalid (too large, a key twice), LeaseLost (a Put under an unknown lease).
        """
        check_txn_size(guards, ops)
        _check_keys(guards, ops)
        if not all(self._holds(guard) for guard in guards):
            return None
        for op in ops:
            if isinstance(op, Put) and op.lease and op.lease not in self.leases:
                raise LeaseLost("etcd no longer knows the lease", "it ran out; a new one is needed")
        return self._changes(ops)

    def apply(self, changes: tuple[Change, ...]) -> None:
        """Makes what was planned visible. Order: before anything else is planned."""
        if not changes:
            return
        self.revision += 1
        for change in changes:
            self._apply(change)
        self._history.append((self.revision, changes))
        self._notify()

    def compact(self, revision: int) -> None:
        """History before `revision` is gone. Raises: Invalid, unless it is a later, known one."""
        if not self.compacted_revision < revision <= self.revision:
            raise Invalid(f"cannot compact revision {revision}")
        self.compacted_revision = revision
        first = bisect.bisect_left(self._history, revision, key=lambda entry: entry[0])
        del self._history[:first]

    def keep_history(self, revisions: int) -> None:
        """Compacts what is older than the newest `revisions`."""
        oldest = self.revision - revisions
        if oldest > self.compacted_revision:
            self.compact(oldest)

    # Snapshots

    def snapshot(self) -> EtcdSnapshot:
        leases = {lease: (held.ttl_s, frozenset(held.keys)) for lease, held in self.leases.items()}
        return EtcdSnapshot(self.revision, dict(self._keys), leases)

    def go_back(self, snapshot: EtcdSnapshot, now_s: float, *, cluster_id: int = 0) -> None:
        """What `etcdutl snapshot restore` does: keys, leases and the revision are as they were, and
        nothing of the history is left. `cluster_id`: 0 keeps it."""
        self.revision = self.compacted_revision = snapshot.revision
        self.cluster_id = cluster_id or self.cluster_id
        self._keys = dict(snapshot.keys)
        self._history = []
        self.leases = {
            lease: ModelLease(ttl_s, now_s + ttl_s, set(keys))
            for lease, (ttl_s, keys) in snapshot.leases.items()
        }
        self._notify()

    # Leases

    def grant(self, ttl_s: float, now_s: float) -> int:
        lease = self._next_lease
        self._next_lease += 1
        self.leases[lease] = ModelLease(ttl_s, now_s + ttl_s)
        self._notify()
        return lease

    def keep_alive(self, lease: int, now_s: float) -> float:
        """The lease's TTL, whole again from `now_s`; 0 if it is gone."""
        held = self.leases.get(lease)
        if held is None:
            return 0.0
        held.expires_s = now_s + held.ttl_s
        return held.ttl_s

    def revoke(self, lease: int) -> None:
        """The lease and its keys are gone, in one revision. Raises: LeaseLost."""
        self.apply(self.plan_revoke(lease))
        del self.leases[lease]

    def plan_revoke(self, lease: int) -> tuple[Change, ...]:
        """What the end of the lease changes. Raises: LeaseLost."""
        if lease not in self.leases:
            raise LeaseLost("etcd no longer knows the lease", "nothing to do: it is gone")
        return self._changes([Delete(key) for key in sorted(self.leases[lease].keys)])

    def expire(self, now_s: float) -> None:
        """Revokes the leases that have run out, the earliest first."""
        while (lease := self.expired(now_s)) is not None:
            self.revoke(lease)

    def expired(self, now_s: float) -> int | None:
        """The lease that ran out first, if one has."""
        first = min(self.leases.items(), key=lambda item: item[1].expires_s, default=None)
        return first[0] if first is not None and first[1].expires_s <= now_s else None

    def next_expiry_s(self) -> float | None:
        return min((lease.expires_s for lease in self.leases.values()), default=None)

    def change_leader(self, now_s: float) -> None:
        """What a new leader of etcd's does to leases: each has its whole TTL again."""
        for lease in self.leases.values():
            lease.expires_s = now_s + lease.ttl_s

    # Inside

    def _holds(self, guard: Guard) -> bool:
        match guard:
            case Created(key, revision):
                found = self._keys.get(key)
                return (found.create_revision if found else 0) == revision
            case Modified(key, revision):
                found = self._keys.get(key)
                return (found.mod_revision if found else 0) == revision
            case UnchangedSince(prefix, revision):
                return all(
                    kv.mod_revision <= revision
                    for key, kv in self._keys.items()
                    if key.startswith(prefix)
                )
            case _:
                assert_never(guard)

    def _changes(self, ops: Iterable[Op]) -> tuple[Change, ...]:
        revision = self.revision + 1
        single = dict.fromkeys(one for op in ops for one in self._one_by_one(op))
        return tuple(c for op in single if (c := self._change(op, revision)) is not None)

    def _notify(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def _one_by_one(self, op: Op) -> Sequence[Put | Delete]:
        if not isinstance(op, DeleteRange):
            return [op]
        first, end = encode_key(op.key), encode_key(op.end)
        found = (key for key in self._keys if first <= encode_key(key) < end)
        return [Delete(key) for key in sorted(found, key=encode_key)]

    def _change(self, op: Put | Delete, revision: int) -> Change | None:
        old = self._keys.get(op.key)
        match op:
            case Put(key, value, lease):
                created = old.create_revision if old else revision
                return Change(KeyValue(key, value, created, revision, lease), deleted=False)
            case Delete(key):
                if old is None:
                    return None
                return Change(KeyValue(key, b"", 0, revision), deleted=True)
            case _:
                assert_never(op)

    def _apply(self, change: Change) -> None:
        kv = change.kv
        old = self._keys.pop(kv.key, None)
        if old is not None and old.lease:
            self.leases[old.lease].keys.discard(kv.key)
        if not change.deleted:
            self._keys[kv.key] = kv
            if kv.lease:
                self.leases[kv.lease].keys.add(kv.key)


def _check_keys(guards: Sequence[Guard], ops: Sequence[Op]) -> None:
    """Source: etcd server/etcdserver/api/v3rpc/key.go, checkIntervals and checkPuts."""
    for named in (*guards, *ops):
        if not isinstance(named, UnchangedSince):
            encode_key(named.key)
    puts = [op.key for op in ops if isinstance(op, Put)]
    deletes = {op.key for op in ops if isinstance(op, Delete)}
    ranges = [(op.key, op.end) for op in ops if isinstance(op, DeleteRange)]
    within = any(first <= key < end for key in puts for first, end in ranges)
    if len(set(puts)) < len(puts) or deletes.intersection(puts) or within:
        raise Invalid("etcd refuses the request: a txn writes a key twice")

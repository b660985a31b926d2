"""Failures as operations store them, and the errors that name collections or replicas."""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.core.primitives.errors import CleancutError, Refused, Unavailable
from cleancut.core.protocol.etcd_records import Away, Failure, SickCollection, UnusableReplica

_SHOWN = 5


class SickCollections(Refused):
    """Collections that cannot be backed up; the others can. `named`: the caller asked for them by
    name. `away`: nothing but agents is missing."""

    def __init__(
        self, sick: Sequence[SickCollection], *, named: bool = False, away: bool = False
    ) -> None:
        self.sick, self.away = tuple(sick), away
        reasons = "; ".join(f"{one.name!r}: {one.reason}" for one in self.sick[:_SHOWN])
        more = f"; and {len(self.sick) - _SHOWN} more" if len(self.sick) > _SHOWN else ""
        count = "1 collection" if len(self.sick) == 1 else f"{len(self.sick)} collections"
        super().__init__(f"{count} cannot be backed up: {reasons}{more}", _hint(self.sick, named))


def _hint(sick: Sequence[SickCollection], named: bool) -> str:
    partial = "--allow-missing backs up the others and lists these as missing"
    if named:
        return f"back up the others without naming these; {partial}"
    flags = " ".join(f"--exclude {_quoted(one.name)}" for one in sick[:_SHOWN])
    return f"{flags} backs up the others; {partial}"


def _quoted(name: str) -> str:
    plain = name.isascii() and all(c.isalnum() or c in "-_./@" for c in name)
    return name if plain else repr(name)


class UnusableReplicas(Unavailable):
    """Replicas of the local peer that are Active to consensus and cannot be read."""

    def __init__(self, unusable: Sequence[UnusableReplica]) -> None:
        self.unusable = tuple(unusable)
        first = self.unusable[0]
        super().__init__(
            f"peer {first.peer_id} has not loaded shard {first.shard_id} of {first.collection!r}",
            "see that peer's log: the shard failed to load, or the peer is in recovery mode",
        )


class ShardsMoving(Unavailable):
    """Shards on their way, by a transfer or a resharding: they can be cut once they are there."""


def failure_of(error: CleancutError) -> Failure:
    """`error` as an operation stores it."""
    return Failure(
        reason=error.reason,
        message=error.message,
        hint=error.hint,
        sick=error.sick if isinstance(error, SickCollections) else (),
        unusable=error.unusable if isinstance(error, UnusableReplicas) else (),
        moving=isinstance(error, ShardsMoving),
        away=Away.NEVER_CAME if isinstance(error, SickCollections) and error.away else None,
    )

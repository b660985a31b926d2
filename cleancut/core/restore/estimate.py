"""Estimate of the time that a restore takes: a range, and what it rests on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.core.primitives.codec import Record
from cleancut.core.restore.space import Share, bound_at
from cleancut.core.restore.target import Target

_LONE = 2.0
"""How much slower or faster than the only restore that was measured another one may be."""


class Estimate(Record, frozen=True):
    """From `least_s` to `most_s`, and `usual_s` at the usual rate for the peer that may have to
    read most. `least_s`: if all peers read alike much, at the fastest rate of `restores` earlier
    ones; `most_s`: that fullest peer, at the slowest."""

    least_s: float
    usual_s: float
    most_s: float
    restores: int
    slowest_bytes_per_s: float
    fastest_bytes_per_s: float


def estimate_of(shares: Sequence[Share], target: Target, other_s: float) -> Estimate | None:
    """`other_s`: for all that is not read. None: no restore was measured yet."""
    rate = target.rate
    if rate is None:
        return None
    most = max((bound_at(p.peer_id, shares, target).data_bytes for p in target.peers), default=0)
    total = sum(sum(share.sizes) for share in shares)
    least = most if all(share.at for share in shares) else total / max(1, len(target.peers))
    doubt = _LONE if rate.restores == 1 else 1.0
    return Estimate(
        least_s=least / (rate.fastest * doubt) + other_s,
        usual_s=most / rate.usual + other_s,
        most_s=most / (rate.slowest / doubt) + other_s,
        restores=rate.restores,
        slowest_bytes_per_s=rate.slowest,
        fastest_bytes_per_s=rate.fastest,
    )

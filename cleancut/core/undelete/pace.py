"""Pace of an undelete: what the strict mode of the live collection allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleancut.core.primitives.codec import Record

MOST_POINTS = 256
_BOUND_S = 60
LIMITED = 429
"""The status of a request that came too soon: it is sent again."""


class Pace(Record, frozen=True):
    """The bounds of one request: its points, and the seconds that Qdrant is given; 0: its own
    number. `per_minute`: the points that a shard takes in a minute; 0: any number."""

    points: int = MOST_POINTS
    bound_s: int = 0
    per_minute: int = 0


def pace_of(info: Mapping[str, Any]) -> Pace:
    """The pace that a collection takes, as Qdrant describes it.

    Source: measured; lib/collection/src/operations/verification/mod.rs, Qdrant 1.18.3
    """
    strict = info["config"].get("strict_mode_config") or {}
    if not strict.get("enabled"):
        return Pace()
    rates = [strict[name] for name in ("read_rate_limit", "write_rate_limit") if strict.get(name)]
    return Pace(
        points=min(MOST_POINTS, strict.get("upsert_max_batchsize") or MOST_POINTS, *rates),
        bound_s=min(_BOUND_S, strict.get("max_timeout") or 0),
        per_minute=min(rates, default=0),
    )


def pace_notes(into: str, pace: Pace) -> tuple[str, ...]:
    """What people should know of it before they begin."""
    if not pace.per_minute:
        return ()
    return (
        f"the strict mode of {into!r} lets each shard take {pace.per_minute} points a minute, of"
        " clients and of this together: set its rate limits aside if that is too slow",
    )

"""Comparisons of a drill: counts, payload indexes, recorded answers, recall. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cleancut.core.protocol.documents import Canary
from cleancut.core.verification.canaries import LIMIT, Hit, is_equal

_NOISE = 1e-5


def wrong_indexes(info: Mapping[str, Any], found: Mapping[str, str]) -> list[str]:
    """The payload indexes of the collection that a shard lacks; `info`: of the collection, from
    Qdrant. Extra indexes are allowed: Qdrant drops an index from one shard after the other."""
    wrong = []
    for field, entry in sorted((info.get("payload_schema") or {}).items()):
        kind = str(entry["data_type"])
        if field not in found:
            wrong.append(f"it has no index of {field!r}")
        elif found[field] != kind:
            wrong.append(f"its index of {field!r} is {found[field]}, not {kind}")
    return wrong


def merged(answers: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The answer of a collection from those of its shards."""
    rising = any(hits[0][1] < hits[-1][1] for hits in answers if hits)
    everyone = [hit for hits in answers for hit in hits]
    return sorted(everyone, key=lambda hit: hit[1] if rising else -hit[1])[:LIMIT]


def answers_again(canary: Canary, answers: Sequence[Sequence[Hit]], tolerance: float) -> bool:
    """Whether the shards' `answers`, of `LIMIT` each, make the recorded one."""
    return is_equal(canary, merged(answers), tolerance)


def recall_of(exact: Sequence[Hit], found: Sequence[Hit]) -> float:
    """The share of the nearest among the found ones, from 0 to 1. A point as near as the last of
    the nearest counts too, since the order of equally near points is undefined."""
    if not exact:
        return 1.0
    first, last = exact[0][1], exact[-1][1]
    noise = _NOISE * max(abs(first), abs(last), 1e-9)
    rising = first < last
    good = [s for _, s in found if (s <= last + noise if rising else s >= last - noise)]
    return min(1.0, len(good) / len(exact))

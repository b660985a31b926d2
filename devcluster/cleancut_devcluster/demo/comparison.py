"""What a collection answers, kept to be compared with what it answers after a restore."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from qdrant_client import models

from cleancut_devcluster.demo.data import CATEGORIES, Data, client_errors, make_vectors

QUERIES = 20
TOP = 10
PAGE = 2000
SCORE_TOLERANCE = 1e-5

Hits = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """`counts` by the name of a filter; `top` by query; `payloads`: sha256 over all points."""

    counts: dict[str, int]
    top: tuple[Hits, ...]
    payloads: str
    indexes: tuple[str, ...]
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the verdict."""

    what: str
    kept: str
    restored: str
    equal: bool


def filters() -> Iterator[tuple[str, models.Filter]]:
    """Filters that use the indexes, alone and together."""
    for category in (*CATEGORIES[:3], "chain"):
        yield f"category = {category}", models.Filter(must=[_is("category", category)])
    young = models.FieldCondition(key="year", range=models.Range(gte=2010))
    yield "year >= 2010", models.Filter(must=[young])
    yield (
        "science, not since 2010",
        models.Filter(must=[_is("category", "science")], must_not=[young]),
    )
    yield "revision = 2", models.Filter(must=[_is("revision", 2)])


def _is(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


async def read_answers(data: Data) -> Answers:
    """Exact counts, exact top-10 lists (every second one filtered) and all payloads.

    Raises: Refused, Unavailable, TimedOut.
    """
    with client_errors():
        counts = {"all points": (await data.client.count(data.collection, exact=True)).count}
        for name, condition in filters():
            found = await data.client.count(data.collection, count_filter=condition, exact=True)
            counts[name] = found.count
        info = await data.client.get_collection(data.collection)
        aliases = (await data.client.get_aliases()).aliases
        return Answers(
            counts=counts,
            top=tuple([await _top(data, query) for query in range(QUERIES)]),
            payloads=await _payloads(data),
            indexes=tuple(sorted(info.payload_schema)),
            aliases=tuple(sorted(f"{one.alias_name} -> {one.collection_name}" for one in aliases)),
        )


async def _top(data: Data, query: int) -> Hits:
    vector = make_vectors(data.shape, 2_000_000_000 + query, 1)[0]
    young = models.FieldCondition(key="year", range=models.Range(gte=2010))
    answer = await data.client.query_points(
        data.alias,
        query=vector.tolist(),
        limit=TOP,
        search_params=models.SearchParams(exact=True),
        query_filter=models.Filter(must=[young]) if query % 2 else None,
        with_payload=False,
    )
    return tuple((int(hit.id), round(hit.score, 6)) for hit in answer.points)


async def _payloads(data: Data) -> str:
    """Every id with its payload goes in, in the order of ids."""
    digest, offset = hashlib.sha256(), None
    while True:
        points, offset = await data.client.scroll(data.collection, limit=PAGE, offset=offset)
        for point in points:
            digest.update(json.dumps([point.id, point.payload], sort_keys=True).encode())
        if offset is None:
            return digest.hexdigest()


def compare(kept: Answers, restored: Answers) -> list[Comparison]:
    """All lines of the verdict; the restore is right if all are equal."""
    lines = [
        Comparison(f"count: {name}", f"{count:,}", f"{now:,}", count == now)
        for name, count in kept.counts.items()
        for now in (restored.counts.get(name, -1),)
    ]
    same = sum(map(_same_hits, kept.top, restored.top))
    total = len(kept.top)
    lines.append(Comparison(f"exact top-{TOP} lists", str(total), f"{same} equal", same == total))
    for what in ("payloads", "indexes", "aliases"):
        before, after = getattr(kept, what), getattr(restored, what)
        lines.append(Comparison(_TITLES[what], _short(before), _short(after), before == after))
    return lines


_TITLES = {
    "payloads": "all ids and payloads, sha256",
    "indexes": "payload indexes",
    "aliases": "aliases",
}


def _short(value: str | tuple[str, ...]) -> str:
    return value[:12] if isinstance(value, str) else ", ".join(value)


def _same_hits(kept: Hits, restored: Hits) -> bool:
    """The same ids in the same order, with equal scores up to rounding."""
    return [point for point, _ in kept] == [point for point, _ in restored] and all(
        abs(a - b) <= SCORE_TOLERANCE for (_, a), (_, b) in zip(kept, restored, strict=True)
    )

"""A collection and a model of it: operations of every kind in random order, and what they lead to.

Points have ids of both forms and vectors of all forms; operations choose points by ids, by filters
and by conditions, and make and remove payload indexes and vectors.
"""

from __future__ import annotations

import copy
import os
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from cleancut.core.cluster.hash_ring import HashRing, point_id
from cleancut.core.wal.kinds import KINDS
from cleancut_devcluster.launch.process import wait_for

NAME, SHARDS = "docs", 3
REPLICAS = int(os.environ.get("CLEANCUT_REPLICAS", "2"))
COLOURS = ("red", "green", "blue")
WRITTEN_KINDS = KINDS - {"sync_points"}
"""All but what transfers between peers write."""
VECTOR_KINDS = {"create_vector_name", "delete_vector_name"}
"""The stand-in has no request for them."""
_WAIT_S, _SLACK_S = 60.0, 0.5
_MAX_SIM = {"comparator": "max_sim"}
_EXTRA, _FIELD = "extra", "n"
_IDS: tuple[int | str, ...] = (
    *range(60),
    *(str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(40)),
)

Id = int | str
Point = tuple[dict[str, Any], dict[str, Any]]
"""Its vectors by name, and its payload."""


@dataclass
class State:
    """All that a restore to a moment brings back: points, payload indexes, names of vectors."""

    points: dict[Id, Point] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=lambda: {"colour": "keyword"})
    vectors: set[str] = field(default_factory=lambda: {"a", "parts", "words"})


Change = Callable[[State], None]


@dataclass(frozen=True)
class Chosen:
    """Points of an operation: as a request names them, and which these are."""

    body: dict[str, Any]
    holds: Callable[[Id, Point], bool]

    def each(self, act: Callable[[Point], object]) -> Change:
        def change(state: State) -> None:
            for one, point in state.points.items():
                if self.holds(one, point):
                    act(point)

        return change


def by_ids(ids: Sequence[Id]) -> Chosen:
    return Chosen({"points": list(ids)}, lambda one, _: one in ids)


def painted(colour: str) -> Chosen:
    one = {"key": "colour", "match": {"value": colour}}
    return Chosen({"filter": {"must": [one]}}, lambda _, point: point[1].get("colour") == colour)


def having(ids: Sequence[Id]) -> Chosen:
    body = {"filter": {"must": [{"has_id": list(ids)}]}}
    return Chosen(body, lambda one, _: one in ids)


@dataclass
class Step:
    """One operation: between these times, it made this state of the one before."""

    began_s: float
    ended_s: float
    state: State
    change: Change


@dataclass
class Model:
    """Writes one operation after the other. `urls`: of all peers. `makes_vectors`: they have a
    request for it. `undoable`: the steps that delete what is green."""

    urls: Sequence[str]
    rng: random.Random
    makes_vectors: bool
    steps: list[Step] = field(default_factory=list)
    undoable: list[int] = field(default_factory=list)
    _deck: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def state(self) -> State:
        return self.steps[-1].state if self.steps else State()

    @property
    def kinds(self) -> frozenset[str]:
        """What a log holds after a whole deck."""
        return frozenset(WRITTEN_KINDS - (set() if self.makes_vectors else VECTOR_KINDS))

    async def call(self, method: str, path: str, body: Any) -> Any:
        url = f"{self.urls[0]}/collections/{NAME}{path}"
        async with aiohttp.ClientSession() as http, http.request(method, url, json=body) as answer:
            assert answer.status == 200, (method, path, body, await answer.text())
            return (await answer.json())["result"]

    async def create(self) -> None:
        dense = {"size": 2, "distance": "Dot"}
        body = {
            "vectors": {"a": dense, "parts": dense | {"multivector_config": _MAX_SIM}},
            "sparse_vectors": {"words": {}},
            "shard_number": SHARDS,
            "replication_factor": REPLICAS,
        }
        await self.call("PUT", "", body)
        body = {"field_name": "colour", "field_schema": "keyword"}
        await self.call("PUT", "/index?wait=true", body)

    async def apply(self, method: str, path: str, body: Any, change: Change) -> None:
        began_s = time.time()
        await self.call(method, f"{path}?wait=true", body)
        state = copy.deepcopy(self.state)
        change(state)
        self.steps.append(Step(began_s, time.time(), state, change))

    async def anything(self) -> None:
        """The next operation of a shuffled deck, in which every kind is."""
        if not self._deck:
            self._deck = list(self._all_kinds())
            self.rng.shuffle(self._deck)
        await self._deck.pop()()

    def _all_kinds(self) -> Iterable[Callable[[], Awaitable[None]]]:
        yield from (self.upsert_some, self._upsert_columns) * 2
        yield from (self._insert_only, self._update_only, self._upsert_if)
        yield from (self._update_vectors, self._update_vectors_if)
        yield from (self._index, self._index)
        yield from (self._delete_green, self._delete_green)
        yield from (lambda: self.delete(self._some()), lambda: self.delete(self._having()))
        if self.makes_vectors:
            yield from (self._vector, self._vector)
        for act in (
            self._delete_vectors,
            self._set,
            self._set_within,
            self._overwrite,
            self._delete_keys,
            self._clear,
        ):
            for choose in (self._some, self._painted, self._having):
                yield lambda act=act, choose=choose: act(choose())

    # Which points

    def _some(self) -> Chosen:
        return by_ids(self._there(3))

    def _there(self, count: int) -> list[Id]:
        there = sorted(self.state.points, key=str)
        return self.rng.sample(there, min(count, len(there)))

    def _painted(self) -> Chosen:
        return painted(self.rng.choice(COLOURS))

    def _having(self) -> Chosen:
        return having(self.rng.sample(_IDS, 4))

    # Points and vectors

    def _vectors(self) -> dict[str, Any]:
        """Some of them, none at all too."""
        return {name: self._made(name) for name in sorted(self.state.vectors) if self._coin()}

    def _coin(self) -> bool:
        return self.rng.random() < 0.7

    def _made(self, name: str) -> Any:
        values = [float(self.rng.randrange(1, 100)) for _ in range(2)]
        match name:
            case "words":
                return {"indices": sorted(self.rng.sample(range(50), 2)), "values": values}
            case "parts":
                return [values, [1.0, 2.0]][: self.rng.randrange(1, 3)]
            case _:
                return values

    def _payload(self) -> dict[str, Any]:
        return {"colour": self.rng.choice(COLOURS), _FIELD: self.rng.randrange(9)}

    def _new(self, ids: Iterable[Id]) -> dict[Id, Point]:
        return {one: (self._vectors(), self._payload()) for one in ids}

    async def upsert(self, ids: Iterable[Id], **condition: Any) -> None:
        """As rows."""
        made = self._new(ids)
        points = [{"id": i, "vector": v, "payload": p} for i, (v, p) in made.items()]
        keeps: Callable[[Id, Point | None], bool] = condition.pop("keeps", lambda *_: False)

        def change(state: State) -> None:
            for one, point in made.items():
                if not keeps(one, state.points.get(one)):
                    state.points[one] = copy.deepcopy(point)

        await self.apply("PUT", "/points", {"points": points, **condition}, change)

    async def upsert_some(self) -> None:
        await self.upsert(self.rng.sample(_IDS, 10))

    async def _upsert_columns(self) -> None:
        ids, names = self.rng.sample(_IDS, 10), sorted(self.state.vectors)
        made = {one: ({n: self._made(n) for n in names}, self._payload()) for one in ids}
        batch = {
            "ids": ids,
            "vectors": {name: [made[one][0][name] for one in ids] for name in names},
            "payloads": [made[one][1] for one in ids],
        }

        def change(state: State) -> None:
            state.points.update(copy.deepcopy(made))

        await self.apply("PUT", "/points", {"batch": batch}, change)

    async def _insert_only(self) -> None:
        ids = self.rng.sample(_IDS, 6)
        await self.upsert(ids, update_mode="insert_only", keeps=lambda _, old: old is not None)

    async def _update_only(self) -> None:
        ids = self.rng.sample(_IDS, 6)
        await self.upsert(ids, update_mode="update_only", keeps=lambda _, old: old is None)

    async def _upsert_if(self) -> None:
        """Those that exist, only where a filter holds."""
        chosen, ids = self._painted(), self.rng.sample(_IDS, 8)
        await self.upsert(
            ids,
            update_filter=chosen.body["filter"],
            keeps=lambda one, old: old is not None and not chosen.holds(one, old),
        )

    async def _update_vectors(self, condition: Chosen | None = None) -> None:
        made = {one: {"a": self._made("a"), "words": self._made("words")} for one in self._there(4)}
        if not made:
            return await self.upsert_some()
        points = [{"id": one, "vector": vectors} for one, vectors in made.items()]
        more = {"update_filter": condition.body["filter"]} if condition else {}

        def change(state: State) -> None:
            for one, vectors in made.items():
                point = state.points.get(one)
                if point is not None and (condition is None or condition.holds(one, point)):
                    point[0].update(copy.deepcopy(vectors))

        await self.apply("PUT", "/points/vectors", {"points": points, **more}, change)

    async def _update_vectors_if(self) -> None:
        await self._update_vectors(self._painted())

    async def _delete_vectors(self, chosen: Chosen) -> None:
        names = self.rng.sample(sorted(self.state.vectors), 2)

        def act(point: Point) -> None:
            for name in names:
                point[0].pop(name, None)

        await self._post("/points/vectors/delete", chosen, {"vector": names}, chosen.each(act))

    async def _delete_green(self) -> None:
        await self.delete(painted("green"))
        self.undoable.append(len(self.steps) - 1)

    async def delete(self, chosen: Chosen) -> None:
        def change(state: State) -> None:
            for one in [i for i, p in state.points.items() if chosen.holds(i, p)]:
                del state.points[one]

        await self._post("/points/delete", chosen, {}, change)

    async def _post(self, path: str, chosen: Chosen, more: dict[str, Any], change: Change) -> None:
        """An operation that names no point is refused."""
        if chosen.body.get("points") == []:
            return await self.upsert_some()
        await self.apply("POST", path, chosen.body | more, change)

    # Payloads

    async def _set(self, chosen: Chosen) -> None:
        value = self.rng.randrange(9)
        change = chosen.each(lambda point: point[1].update({_FIELD: value}))
        await self._post("/points/payload", chosen, {"payload": {_FIELD: value}}, change)

    async def _set_within(self, chosen: Chosen) -> None:
        """Under a key of the payload."""
        value = {"x": self.rng.randrange(1000)}
        change = chosen.each(lambda point: point[1].setdefault("in", {}).update(value))
        await self._post("/points/payload", chosen, {"payload": value, "key": "in"}, change)

    async def _overwrite(self, chosen: Chosen) -> None:
        only = {"colour": self.rng.choice(COLOURS), "over": self.rng.randrange(1000)}

        def act(point: Point) -> None:
            point[1].clear()
            point[1].update(only)

        if chosen.body.get("points") == []:
            return await self.upsert_some()
        body = chosen.body | {"payload": only}
        await self.apply("PUT", "/points/payload", body, chosen.each(act))

    async def _delete_keys(self, chosen: Chosen) -> None:
        change = chosen.each(lambda point: point[1].pop(_FIELD, None))
        await self._post("/points/payload/delete", chosen, {"keys": [_FIELD]}, change)

    async def _clear(self, chosen: Chosen) -> None:
        await self._post("/points/payload/clear", chosen, {}, chosen.each(lambda p: p[1].clear()))

    # Schema

    async def _index(self) -> None:
        """Made where it is not there, else removed."""

        def made(state: State) -> None:
            state.indexes[_FIELD] = "integer"

        def removed(state: State) -> None:
            state.indexes.pop(_FIELD, None)

        if _FIELD in self.state.indexes:
            await self.apply("DELETE", f"/index/{_FIELD}", None, removed)
        else:
            body = {"field_name": _FIELD, "field_schema": "integer"}
            await self.apply("PUT", "/index", body, made)

    async def _vector(self) -> None:
        """Made where it is not there, else removed from all points."""

        def made(state: State) -> None:
            state.vectors.add(_EXTRA)

        def removed(state: State) -> None:
            state.vectors.discard(_EXTRA)
            for vectors, _ in state.points.values():
                vectors.pop(_EXTRA, None)

        there, path = _EXTRA in self.state.vectors, f"/vectors/{_EXTRA}"
        if there:
            await self.apply("DELETE", path, None, removed)
        else:
            await self.apply("PUT", path, {"dense": {"size": 2, "distance": "Dot"}}, made)
        await wait_for(lambda: self._all_know(not there), "the vector at all peers", _WAIT_S, 0.05)

    async def _all_know(self, wanted: bool) -> bool | None:
        """Peers refuse vectors that they do not know yet."""
        async with aiohttp.ClientSession() as http:
            for url in self.urls:
                async with http.get(f"{url}/collections/{NAME}") as answer:
                    params = (await answer.json())["result"]["config"]["params"]
                    if (_EXTRA in params["vectors"]) != wanted:
                        return None
        return True

    # What must be found

    def without(self, number: int) -> State:
        """What all steps but this one lead to."""
        state = State()
        for at, step in enumerate(self.steps):
            if at != number:
                step.change(state)
        return state

    def states_at(self, at_s: float) -> list[State]:
        """Those that may have been at a time: the clocks of processes agree only so far."""
        ended = [step for step in self.steps if step.ended_s < at_s - _SLACK_S]
        begun = [step for step in self.steps if step.began_s < at_s + _SLACK_S]
        return [step.state for step in self.steps[max(0, len(ended) - 1) : len(begun)]]


def of_shard(state: State, shard: int) -> dict[Id, Point]:
    """The points that lie in one shard."""
    ids = list(state.points)
    at = HashRing(range(SHARDS)).shards_of([point_id(one) for one in ids])
    return {one: state.points[one] for one, owner in zip(ids, at, strict=True) if owner == shard}


async def read_state(url: str) -> State:
    """What the collection at `url` holds."""
    body = {"limit": 1000, "with_payload": True, "with_vector": True}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/points/scroll", json=body) as answer:
            points = (await answer.json())["result"]["points"]
        async with http.get(url) as answer:
            info = (await answer.json())["result"]
    params = info["config"]["params"]
    return State(
        {p["id"]: (p.get("vector") or {}, p["payload"] or {}) for p in points},
        {name: one["data_type"] for name, one in info["payload_schema"].items()},
        {*params["vectors"], *(params.get("sparse_vectors") or {})},
    )

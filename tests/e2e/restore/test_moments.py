"""Restores to a moment, on whole set-ups: equal to a model of all that was written, whenever."""

from __future__ import annotations

import copy
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.primitives.timestamps import format_time
from cleancut.repository.archive.reader import ArchiveIndex, read_chains, read_marks
from cleancut.store.file import FileStore
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.setup import Secured
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

NAME, SHARDS, REPLICAS = "docs", 3, 2
COLOURS = ("red", "green", "blue")
FILE = """
[archive]
collections = ["*"]
chunk = "1s"
mark-every = "1s"
"""
MOMENTS = int(os.environ.get("CLEANCUT_MOMENTS", "1"))
"""Random moments that are restored; more of them for a long run."""
OPERATIONS = int(os.environ.get("CLEANCUT_OPERATIONS", "40"))
WAIT_S, SLACK_S = 60.0, 1.0
State = dict[int, tuple[list[float] | None, dict[str, Any]]]
Change = Callable[[State], None]


def painted(colour: str) -> dict[str, Any]:
    return {"must": [{"key": "colour", "match": {"value": colour}}]}


def each(ids: Sequence[int], act: Callable[[State, int], object]) -> Change:
    """Does it to each of these points that is there."""

    def change(state: State) -> None:
        for one in ids:
            if one in state:
                act(state, one)

    return change


@dataclass
class Step:
    """One operation: between these times, it made this state of the one before."""

    began_s: float
    ended_s: float
    state: State
    change: Change


@dataclass
class Model:
    """Writes random operations of all kinds, one after the other, and knows what they lead to."""

    url: str
    rng: random.Random
    steps: list[Step] = field(default_factory=list)

    @property
    def state(self) -> State:
        return self.steps[-1].state if self.steps else {}

    async def call(self, method: str, path: str, body: Any) -> None:
        url = f"{self.url}/collections/{NAME}{path}"
        async with aiohttp.ClientSession() as http, http.request(method, url, json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def create(self) -> None:
        body = {
            "vectors": {"size": 2, "distance": "Dot"},
            "shard_number": SHARDS,
            "replication_factor": REPLICAS,
        }
        await self.call("PUT", "", body)
        await self.index("colour", "keyword")

    async def index(self, name: str, schema: str) -> None:
        body = {"field_name": name, "field_schema": schema}
        await self.call("PUT", "/index?wait=true", body)

    async def apply(self, method: str, path: str, body: Any, change: Change) -> None:
        began_s = time.time()
        await self.call(method, f"/points{path}?wait=true", body)
        state = copy.deepcopy(self.state)
        change(state)
        self.steps.append(Step(began_s, time.time(), state, change))

    async def upsert(self, *ids: int) -> None:
        made = {
            one: (
                [float(self.rng.randrange(100)), 1.0],
                {"colour": self.rng.choice(COLOURS), "n": self.rng.randrange(9)},
            )
            for one in ids
        }
        points = [{"id": i, "vector": v, "payload": p} for i, (v, p) in made.items()]
        await self.apply("PUT", "", {"points": points}, lambda s: s.update(copy.deepcopy(made)))

    async def delete_colour(self, colour: str) -> None:
        def change(state: State) -> None:
            for one in [i for i, (_, p) in state.items() if p.get("colour") == colour]:
                del state[one]

        await self.apply("POST", "/delete", {"filter": painted(colour)}, change)

    async def upsert_some(self, mode: str) -> None:
        """An upsert of points that may exist, by a condition: a filter, or only new ones."""
        colour, ids = self.rng.choice(COLOURS), self.rng.sample(range(80), 6)
        made = {one: ([float(self.rng.randrange(100)), 3.0], {"colour": "grey"}) for one in ids}
        points = [{"id": i, "vector": v, "payload": p} for i, (v, p) in made.items()]
        condition = {"update_mode": mode} if mode else {"update_filter": painted(colour)}

        def change(state: State) -> None:
            for one, point in made.items():
                old = state.get(one)
                if old is None or (not mode and old[1].get("colour") == colour):
                    state[one] = copy.deepcopy(point)

        await self.apply("PUT", "", {"points": points, **condition}, change)

    async def paint(self, value: float) -> None:
        """Sets a key of all points that a filter chooses."""
        colour = self.rng.choice(COLOURS)

        def change(state: State) -> None:
            for _, payload in state.values():
                if payload.get("colour") == colour:
                    payload["n"] = value

        more = {"filter": painted(colour), "payload": {"n": value}}
        await self.apply("POST", "/payload", more, change)

    async def anything(self) -> None:
        """One operation of any kind on a few points that exist."""
        kinds = (self._points, self._payloads, self._conditional)
        there, value = sorted(self.state), float(self.rng.randrange(1000))
        some = self.rng.sample(there, min(3, len(there)))
        await (self.rng.choice(kinds)(some, value) if some else self._upsert())

    async def _upsert(self) -> None:
        await self.upsert(*self.rng.sample(range(80), 4))

    async def _conditional(self, _some: list[int], value: float) -> None:
        match self.rng.randrange(5):
            case 0:
                await self.upsert_some("")
            case 1:
                await self.upsert_some("insert_only")
            case 2:
                await self.paint(value)
            case 3:
                await self.index("m", "integer")
            case _:
                await self.call("DELETE", "/index/m?wait=true", None)

    async def _points(self, some: list[int], value: float) -> None:
        names: dict[str, Any] = {"points": some}
        match self.rng.randrange(4):
            case 0:
                await self.apply(
                    "POST", "/delete", names, each(some, lambda state, one: state.pop(one))
                )
            case 1:
                vector = [value, 2.0]
                points = [{"id": one, "vector": vector} for one in some]
                change = each(some, lambda state, one: state.update({one: (vector, state[one][1])}))
                await self.apply("PUT", "/vectors", {"points": points}, change)
            case 2:
                change = each(some, lambda state, one: state.update({one: (None, state[one][1])}))
                await self.apply("POST", "/vectors/delete", names | {"vector": [""]}, change)
            case _:
                await self._upsert()

    async def _payloads(self, some: list[int], value: float) -> None:
        names: dict[str, Any] = {"points": some}
        match self.rng.randrange(4):
            case 0:
                more = names | {"payload": {"n": value}}
                change = each(some, lambda state, one: state[one][1].update(n=value))
                await self.apply("POST", "/payload", more, change)
            case 1:
                change = each(some, lambda state, one: state[one][1].pop("n", None))
                await self.apply("POST", "/payload/delete", names | {"keys": ["n"]}, change)
            case 2:
                only = {"n": value}
                change = each(
                    some, lambda state, one: state.update({one: (state[one][0], dict(only))})
                )
                await self.apply("PUT", "/payload", names | {"payload": only}, change)
            case _:
                change = each(some, lambda state, one: state[one][1].clear())
                await self.apply("POST", "/payload/clear", names, change)

    def without(self, number: int) -> State:
        """What all steps but this one lead to."""
        state: State = {}
        for at, step in enumerate(self.steps):
            if at != number:
                step.change(state)
        return state

    def states_at(self, at_s: float) -> list[State]:
        """Those that may have been at a time: the clocks of processes agree only so far."""
        ended = [step for step in self.steps if step.ended_s < at_s - SLACK_S]
        begun = [step for step in self.steps if step.began_s < at_s + SLACK_S]
        return [step.state for step in self.steps[max(0, len(ended) - 1) : len(begun)]]


@dataclass
class Site:
    world: World
    model: Model

    @property
    def store(self) -> FileStore:
        return FileStore(self.world.store)

    @property
    def paths(self) -> Paths:
        return Paths(ClusterName(self.world.setup.cluster))

    async def wait_followed(self) -> None:
        async def found() -> bool | None:
            chains = await read_chains(self.store, self.paths)
            return len([c for c in chains.values() if c.collection == NAME]) >= SHARDS or None

        await wait_for(found, "the chains", WAIT_S, 0.2)

    async def wait_mark(self) -> int:
        """The time of a mark that is taken from now on, with all that it needs stored."""
        since_ms = round(time.time() * 1000) + 200

        async def found() -> int | None:
            marks = await read_marks(self.store, self.paths, since_ms, 10**14)
            return marks[0].at_ms if marks else None

        return int(await wait_for(found, "a mark", WAIT_S, 0.2))

    async def wait_stored(self) -> None:
        """Until the newest mark's entries are in the store."""

        async def found() -> bool | None:
            marks = await read_marks(self.store, self.paths, 0, 10**14)
            chains = await read_chains(self.store, self.paths)
            index = await ArchiveIndex.load(
                self.store, self.paths, chains=chains, since_ms=0, until_ms=10**14
            )
            ends = [end for end in marks[-1].ends if end.collection == NAME]
            return all(index.covers(end.chain, end.last, end.last) for end in ends) or None

        await wait_for(found, "the chunks", WAIT_S, 0.5)

    def restore(self, *target: str) -> tuple[Any, State]:
        """The finished restore, and what is in it; it is dropped again."""
        done = self.world.ok("restore", "restore", "start", "latest", "-c", NAME, "--yes", *target)
        assert done["state"] == "DONE", done
        (made,) = done["collections"]
        assert made["created_as"] != NAME
        assert made["schema_equal"]
        assert made["replicas_active"]
        state = self.world.run(self.read(made["created_as"]))
        return done, state

    async def read(self, name: str) -> State:
        body = {"limit": 1000, "with_payload": True, "with_vector": True}
        url = f"{self.model.url}/collections/{name}"
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{url}/points/scroll", json=body) as answer:
                points = (await answer.json())["result"]["points"]
            async with http.delete(url) as answer:
                assert answer.status == 200
        return {p["id"]: (p.get("vector") or None, p["payload"] or {}) for p in points}


@pytest.fixture
def site(launch: Launch, tmp_path: Path) -> Site:
    config = tmp_path / "archive.toml"
    config.write_text(FILE)
    secured = Secured(coordinator=("--config", str(config)))
    world = launch(peers=3, coordinators=1, secured=secured)
    model = Model(world.setup.peers[0].url, random.Random(os.environ.get("CLEANCUT_SEED", "7")))
    one = Site(world, model)
    world.run(_begin(one))
    world.back_up("--collection", NAME, "--require", "point-in-time")
    return one


async def _begin(site: Site) -> None:
    await site.model.create()
    await site.wait_followed()
    await site.model.upsert(*range(40))


@pytest.mark.timeout(600)  # a restore for each moment
def test_any_moment_is_what_it_was(site: Site) -> None:
    """Random times, a mark by its name, before a delete by filter, and without it; then a damaged
    chunk."""
    world, model = site.world, site.model
    number, quiet_ms = world.run(_history(site))
    log = world.ok(
        "log", "backup", "log", "-c", NAME, "--kind", "delete_points_by_filter", "--grep", "red"
    )
    entries = log["operations"]
    assert {one["shard_id"] for one in entries} == set(range(SHARDS))
    named = f"{entries[0]['shard_id']}:{entries[0]['index']}"

    began_s, ended_s = model.steps[1].ended_s + 2.0, model.steps[-1].ended_s
    for _ in range(MOMENTS):
        at_s = model.rng.uniform(began_s, ended_s)
        done, found = site.restore("--at", format_time(at_s))
        moment = done["moment"]
        assert moment["consistency"] == "point-in-time"
        assert moment["at_ms"] / 1000 <= at_s + 0.001
        assert found in model.states_at(moment["at_ms"] / 1000), (at_s, moment)

    done, found = site.restore("--at", format_time(quiet_ms / 1000), "--exact")
    assert done["moment"]["consistency"] == "per-shard"
    assert found == model.steps[number - 1].state, "nothing was written for a while"

    done, found = site.restore("--to", "named")
    assert done["moment"]["mark"] == "named"
    assert found == model.state

    done, found = site.restore("--before", named)
    assert done["moment"]["consistency"] == "point-in-time"
    assert found == model.steps[number - 1].state

    flags = ("--without", named, "--force", "--request-id", "once")
    done, found = site.restore(*flags)
    assert [len(one["left_out"]) for one in done["moment"]["logs"]] == [1] * SHARDS
    assert found == model.without(number)
    again = world.ok("restore", "restore", "start", "latest", "-c", NAME, "--yes", *flags)
    assert again["id"] == done["id"], "newer marks do not make it another request"

    before = world.collections()
    with damaged_chunks(world):
        answer = world.cleancut("restore", "start", "latest", "-c", NAME, "--yes", "--to", "named")
        refused(answer, 9, "are not those that were written")
    assert world.collections() == before


async def _history(site: Site) -> tuple[int, int]:
    """All kinds of operations, with a delete by filter between two silences; its number, and a time
    in the first of them."""
    model = site.model
    await site.wait_mark()
    for at in range(OPERATIONS):
        await model.anything()
        if at == OPERATIONS // 3:
            await model.index("n", "integer")
        if at % 10 == 9:
            await site.wait_mark()
    quiet_ms = await site.wait_mark()
    number = len(model.steps)
    await model.delete_colour("red")
    await site.wait_mark()
    for _ in range(5):
        await model.upsert(*model.rng.sample(range(80), 4))
    (await site.world.setup.cleancut("mark", "named")).check()
    await site.wait_stored()
    return number, quiet_ms


@contextmanager
def damaged_chunks(world: World) -> Iterator[None]:
    """The last byte of the body of each chunk is another one."""
    chunks = [
        p
        for p in (world.store / world.setup.cluster / "archive/chunks").rglob("*-*")
        if p.is_file()
    ]
    assert chunks
    whole = {path: path.read_bytes() for path in chunks}
    for path, data in whole.items():
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    yield
    for path, data in whole.items():
        path.write_bytes(data)

"""Restores to a moment, on whole set-ups: equal to a model of all that was written, whenever."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from tests.e2e.restore.moments_model import (
    NAME,
    SHARDS,
    Model,
    State,
    of_shard,
    painted,
    read_state,
)
from tests.e2e.world import World, refused

FILE = """
[archive]
collections = ["*"]
chunk = "1s"
mark-every = "1s"
"""
MOMENTS = int(os.environ.get("CLEANCUT_MOMENTS", "1"))
"""Random moments that are restored; more of them for a long run, in which every fourth is restored
by the clock as well, and a deletion before it undone."""
OPERATIONS = int(os.environ.get("CLEANCUT_OPERATIONS", "40"))
"""At least a deck of all kinds."""
BACKUP_EVERY = 100
"""Operations, of a long run: the newest backup before a moment is rolled forward to it."""
WAIT_S = 60.0


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
        url = f"{self.model.urls[0]}/collections/{made['created_as']}"
        return done, self.world.run(taken(url))


async def taken(url: str) -> State:
    """What is in a collection, which is dropped."""
    state = await read_state(url)
    async with aiohttp.ClientSession() as http, http.delete(url) as answer:
        assert answer.status == 200
    return state


@pytest.fixture
def site(launch: Launch, tmp_path: Path) -> Site:
    config = tmp_path / "archive.toml"
    config.write_text(FILE)
    secured = Secured(coordinator=("--config", str(config)))
    world = launch(peers=3, coordinators=1, secured=secured)
    urls = [peer.url for peer in world.setup.peers]
    seed = os.environ.get("CLEANCUT_SEED", "7")
    model = Model(urls, random.Random(seed), makes_vectors=world.setup.qdrant == "real")
    one = Site(world, model)
    world.run(_begin(one))
    world.back_up("--collection", NAME, "--require", "point-in-time")
    return one


async def _begin(site: Site) -> None:
    await site.model.create()
    await site.wait_followed()
    await site.model.upsert(range(40))


@pytest.mark.timeout(600)  # a restore for each moment
def test_any_moment_is_what_it_was(site: Site) -> None:
    """Random times, a mark by its name, before a delete by filter, and without it; then a damaged
    chunk."""
    world, model = site.world, site.model
    number, quiet_ms = world.run(_history(site))
    log = world.ok("log", "backup", "log", "-c", NAME, "--limit", "10000")
    assert {one["kind"] for one in log["operations"]} >= model.kinds
    log = world.ok(
        "log", "backup", "log", "-c", NAME, "--kind", "delete_points_by_filter", "--grep", "red"
    )
    entries = log["operations"]
    assert {one["shard_id"] for one in entries} == set(range(SHARDS))
    named = f"{entries[0]['shard_id']}:{entries[0]['index']}"

    began_s, ended_s = model.steps[1].ended_s + 2.0, model.steps[-1].ended_s
    for at in range(MOMENTS):
        at_s = model.rng.uniform(began_s, ended_s)
        done, found = site.restore("--at", format_time(at_s))
        moment = done["moment"]
        assert moment["consistency"] == "point-in-time"
        assert moment["at_ms"] / 1000 <= at_s + 0.001
        assert found in model.states_at(moment["at_ms"] / 1000), (at_s, moment)
        if at % 4 == 3:
            check_clock(site, at_s)
            check_undone(site, model.rng.randrange(len(model.undoable)))

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


def check_clock(site: Site, at_s: float) -> None:
    """Each shard is at some state of about that time."""
    done, found = site.restore("--at", format_time(at_s), "--exact")
    assert done["moment"]["consistency"] == "per-shard"
    for shard in range(SHARDS):
        near = [of_shard(state, shard) for state in site.model.states_at(at_s)]
        assert of_shard(found, shard) in near, (at_s, shard, done["moment"])


def check_undone(site: Site, number: int) -> None:
    """All is as it was before a deletion amid other operations, and as it is without it."""
    words = ("--kind", "delete_points_by_filter", "--grep", "green", "--limit", "10000")
    log = site.world.ok("log", "backup", "log", "-c", NAME, *words)["operations"]
    shard, step = number % SHARDS, site.model.undoable[number]
    index = sorted(one["index"] for one in log if one["shard_id"] == shard)[number]
    done, found = site.restore("--before", f"{shard}:{index}")
    assert found == site.model.steps[step - 1].state, (step, done["moment"])
    done, found = site.restore("--without", f"{shard}:{index}", "--force")
    assert found == site.model.without(step), (step, done["moment"])


async def _history(site: Site) -> tuple[int, int]:
    """All kinds of operations, with a delete by filter between two silences; its number, and a time
    in the first of them."""
    model = site.model
    await site.wait_mark()
    for at in range(1, 1 + OPERATIONS):
        await model.anything()
        if at % 10 == 0:
            await site.wait_mark()
        if at % BACKUP_EVERY == 0:
            (await site.world.setup.cleancut("backup", "create", "-c", NAME)).check()
    quiet_ms = await site.wait_mark()
    number = len(model.steps)
    await model.delete(painted("red"))
    await site.wait_mark()
    for _ in range(5):
        await model.upsert_some()
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

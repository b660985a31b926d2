"""What ends a chain of the archive, on whole set-ups: each event is noticed with its reason, what
is lost lies between the chains, and the new chain gets a base."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cleancut.core.archive.records import Chain
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.wal.framing import HEADER_BYTES, parse_entries, seed_of
from cleancut.core.wal.segments import closed_at, open_as
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.qdrant import PeerProcess
from cleancut_devcluster.launch.setup import Secured, Setup
from tests.e2e.backup.test_archive import (
    COLLECTION,
    FILE,
    WAIT_S,
    Stored,
    wait_chains,
    wait_followed,
)
from tests.e2e.backup.test_archive_tail import BATCH, BatchWriter
from tests.e2e.conftest import Launch
from tests.e2e.world import World

SCHEDULE = """
[schedule.nightly]
cron = "30 2 * * *"
"""
LOST_ENTRIES, QUEUED = 3, 40


@dataclass
class Site:
    """`before` and `after`: what was written until the event and since. `left`: what was written
    while the shard was not followed."""

    world: World
    before: BatchWriter
    after: BatchWriter
    left: BatchWriter
    chains: list[Chain] = field(default_factory=list)

    @property
    def setup(self) -> Setup:
        return self.world.setup

    def followed(self) -> int:
        """The number of the agent that follows the shard, and of its peer."""
        names = [agent.name for agent in self.setup.agents]
        return names.index(self.chains[-1].agent)

    @property
    def peer(self) -> PeerProcess:
        return self.setup.peers[self.followed()]

    @property
    def log(self) -> Path:
        return self.peer.storage / "collections" / COLLECTION / "0" / "wal"

    def url(self, path: str) -> str:
        return f"{self.peer.url}/collections/{COLLECTION}{path}"


async def write(writer: BatchWriter, batches: int) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(batches):
            assert await writer.write(http)


# Events


async def recover_in_place(site: Site) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(site.url("/shards/0/snapshot")) as answer:
            tar = await answer.read()
        form = aiohttp.FormData()
        form.add_field("snapshot", tar, filename="shard.tar")
        path = site.url("/shards/0/snapshots/upload?priority=no_sync&wait=true")
        async with http.post(path, data=form) as answer:
            assert answer.status == 200, await answer.text()


async def make_again(site: Site) -> None:
    await site.before.drop()
    await site.after.create()


async def move(site: Site) -> None:
    """To a peer whose log begins with what it was sent."""
    async with site.peer.client() as qdrant:
        source = (await qdrant.cluster()).peer_id
        others = {one for one in (await qdrant.cluster()).peers if one != source}
        target = others.pop()
        await qdrant.move_shard(COLLECTION, 0, source=source, target=target, method="snapshot")

        async def moved() -> bool | None:
            found = (await qdrant.placement(COLLECTION)).shards
            return [(one.peer_id, one.state) for one in found] == [(target, ACTIVE)] or None

        await wait_for(moved, "the move", WAIT_S, 0.2)


async def stay_away(site: Site) -> None:
    """The agent, until Qdrant has removed segments that it has not read."""
    agent = site.setup.agents[site.followed()]
    newest = max(site.before.acknowledged)
    site.left.text = "x" * 10_000
    await agent.stop()

    async def removed() -> bool | None:
        await write(site.left, 3)
        starts = [n for one in site.log.iterdir() if (n := closed_at(one.name)) is not None]
        return min(starts, default=0) > newest + BATCH or None

    await wait_for(removed, "the removal of segments", WAIT_S, 0.1)
    await agent.start_again()


async def cut_power(site: Site) -> None:
    """The last entries were not on the disk."""
    await site.peer.kill()
    segments = [p for p in site.log.iterdir() if open_as(p.name) is not None]
    segment, ends = next((p, e) for p in segments if (e := ends_of(p)))
    with segment.open("r+b") as file:
        file.seek(ends[-1 - LOST_ENTRIES])
        file.write(bytes(ends[-1] - ends[-1 - LOST_ENTRIES]))
    await site.peer.start()


async def drop_unapplied(site: Site) -> None:
    """What the peer took and did not apply yet, by the call that Qdrant has for it."""
    newest = max(site.before.acknowledged)
    full = next((one / "full" for one in site.peer.directory.glob("collections/*/0")), None)
    async with aiohttp.ClientSession() as http:
        points = [{"id": 9 * 10**6 + n, "vector": [1, 2, 3, 4]} for n in range(20_000)]
        if full is not None:  # the stand-in has no queue: what a full disk does not take is as good
            full.touch()
            del points[1:]
        for _ in range(QUEUED if full is not None else 3):
            await send(http, "PUT", site.url("/points?wait=false"), {"points": points})
        for number in range(0 if full is not None else QUEUED):
            body = {"payload": {"n": number}, "filter": {}}
            await send(http, "POST", site.url("/points/payload?wait=false"), body)

        async def stored() -> bool | None:
            return (await Stored.read(site.world)).last() > newest + QUEUED // 2 or None

        await wait_for(stored, "the archive of what waits", WAIT_S, 0.2)
        dropped = await send(http, "POST", site.url("/truncate_unapplied_wal"), {})
    assert dropped > 0
    if full is not None:
        full.unlink()


async def send(http: aiohttp.ClientSession, method: str, url: str, body: dict[str, Any]) -> Any:
    """The result; None for an error."""
    async with http.request(method, url, json=body) as answer:
        return (await answer.json()).get("result")


def ends_of(segment: Path) -> list[int]:
    """Where entries of a segment end; none, if it has too few."""
    data = segment.read_bytes()
    parsed = parse_entries(data[HEADER_BYTES:], seed_of(data), len(data) - HEADER_BYTES)
    ends = [HEADER_BYTES]
    for entry in parsed.frames:
        ends.append(ends[-1] + entry.size_bytes)
    return ends if len(ends) > LOST_ENTRIES + 1 else []


EVENTS: dict[Callable[[Site], Awaitable[None]], str] = {
    recover_in_place: "replaced",
    make_again: "replaced",
    move: "replaced|replanned",
    stay_away: "restarted",
    cut_power: "rewound",
    drop_unapplied: "rewound",
}


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_a_break_is_noticed_and_gets_a_base(
    launch: Launch, tmp_path: Path, event: Callable[[Site], Awaitable[None]]
) -> None:
    config = tmp_path / "archive.toml"
    config.write_text(FILE + SCHEDULE)
    world = launch(peers=2, coordinators=1, secured=Secured(coordinator=("--config", str(config))))
    url = world.setup.peers[0].url
    before, after, left = (BatchWriter(url, next_id=n * 10**6) for n in range(3))
    site = Site(world, before, after, left)

    async def body() -> Stored:
        await site.before.create()
        await wait_followed(world)
        await write(site.before, 5)
        site.chains = (await wait_held(site, site.before, set())).mine()
        await event(site)
        old = {one.id for one in site.chains}
        await write(site.after, 5)
        await wait_chains(world, 2)
        await write(site.after, 2)
        return await wait_held(site, site.after, old)

    stored = world.run(body())
    (old,) = site.chains
    new = next(one for one in stored.mine() if one.id != old.id)
    end = world.run(wait_ended(site, old))
    assert end.partition(":")[0] in EVENTS[event].split("|"), end
    missing, wrong = world.run(compare(stored, site.before, old))
    assert (missing, wrong) == ([], [])
    missing, wrong = world.run(compare(stored, site.after, new))
    assert wrong == []
    assert all(index < new.first for index in missing), "flushed before it was followed"
    missing, wrong = world.run(compare(stored, site.left, new))
    assert wrong == []
    assert all(stored.ends[old.id].last < index < new.first for index in missing)
    world.run(wait_based(site, new))


async def compare(stored: Stored, writer: BatchWriter, chain: Chain) -> tuple[list[int], list[int]]:
    """Acknowledged operations that the chain lacks, or has under another number."""
    points = await stored.points_of(chain)
    missing = [index for index in writer.acknowledged if index not in points]
    found = {i: p for i, p in writer.acknowledged.items() if i in points}
    return missing, [index for index, point in found.items() if points[index] != (point,)]


async def wait_held(site: Site, writer: BatchWriter, but: set[str]) -> Stored:
    """The archive, once another chain has what this writer wrote last."""
    newest = max(writer.acknowledged.values())

    async def found() -> Stored | None:
        stored = await Stored.read(site.world)
        for chain in stored.mine():
            if chain.id not in but:
                points = await stored.points_of(chain)
                if any(newest in ids for ids in points.values()):
                    return stored
        return None

    return await wait_for(found, "the archive", WAIT_S, 0.5)


async def wait_ended(site: Site, chain: Chain) -> str:
    async def found() -> str | None:
        end = (await Stored.read(site.world)).ends.get(chain.id)
        return end.reason if end else None

    return await wait_for(found, "the end of the chain", WAIT_S, 0.5)


async def wait_based(site: Site, chain: Chain) -> None:
    """Until a backup is there that the chain continues."""

    async def found() -> bool | None:
        shown = (await site.setup.cleancut("archive", "status")).value("archive")["shards"]
        return any(one["chain"] == chain.id and one["base"] for one in shown) or None

    await wait_for(found, "a base", 120.0, 0.5)

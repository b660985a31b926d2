"""Logs that are archived while everything dies again and again: nothing acknowledged is missing, or
stands under another number, and no chain breaks in silence."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from cleancut_devcluster.launch.setup import Secured
from tests.e2e.backup.test_archive import (
    COLLECTION,
    FILE,
    Stored,
    Writer,
    compare,
    wait_followed,
    wait_stored,
)
from tests.e2e.conftest import Launch
from tests.e2e.world import World

OPERATIONS = int(os.environ.get("CLEANCUT_ARCHIVED", "20000"))
"""How many are written; more of them for a long run."""
SECONDS = float(os.environ.get("CLEANCUT_SECONDS", "100"))
"""How long is written at most: as many operations as that allows."""
SEED = os.environ.get("CLEANCUT_SEED", "5")
BATCH, WAL_MB, CALM = 100, 1, 8_000


class BatchWriter(Writer):
    """Sends a hundred operations in a request: each is an entry of the log."""

    text = "x" * 100

    async def create(self) -> None:
        body = {
            "vectors": {"size": 4, "distance": "Dot"},
            "shard_number": 1,
            "wal_config": {"wal_capacity_mb": WAL_MB},
            "optimizers_config": {"indexing_threshold": 0},
        }
        async with aiohttp.ClientSession() as http:
            url = f"{self.url}/collections/{COLLECTION}"
            async with http.put(url, json=body) as answer:
                assert answer.status == 200, await answer.text()

    async def write(self, http: aiohttp.ClientSession) -> bool | None:
        ids = range(self.next_id, self.next_id + BATCH)
        self.next_id += BATCH
        upserts = [
            {"upsert": {"points": [{"id": i, "vector": [1, 2, 3, 4], "payload": {"t": self.text}}]}}
            for i in ids
        ]
        body = json.dumps({"operations": upserts})
        url = f"{self.url}/collections/{COLLECTION}/points/batch?wait=true"
        head = {"Content-Type": "application/json"}
        async with http.post(url, data=body, headers=head) as answer:
            if answer.status != 200:
                return None
            for one, result in zip(ids, (await answer.json())["result"], strict=True):
                self.acknowledged[result["operation_id"]] = one
            return True


def blows(world: World) -> tuple[Callable[[], Awaitable[None]], ...]:
    """Ends of the agent and of its peer, each in order and at once; all start again."""
    agent, peer = world.setup.agents[0], world.setup.peers[0]

    async def stop_agent() -> None:
        await agent.stop()
        await agent.start_again()

    async def kill_agent() -> None:
        await agent.kill()
        await agent.start_again()

    async def stop_peer() -> None:
        await peer.stop()
        await peer.start()

    async def kill_peer() -> None:
        await peer.kill()
        await peer.start()

    return stop_agent, kill_agent, stop_peer, kill_peer


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_missing(launch: Launch, tmp_path: Path) -> None:
    """Segments of 1 MB; the agent and the peer end by TERM and by KILL in turn. What the archive
    lacks is what it says: every chain that ended has a reason."""
    config = tmp_path / "archive.toml"
    config.write_text(FILE)
    world = launch(peers=1, coordinators=1, secured=Secured(coordinator=("--config", str(config))))
    writer = BatchWriter(world.setup.peers[0].url)
    hits: list[str] = []

    async def begin() -> None:
        await writer.create()
        await wait_followed(world)

    async def strike_all() -> None:
        rng, until_s = random.Random(SEED), time.monotonic() + SECONDS
        async with writer.running():
            while len(writer.acknowledged) < OPERATIONS and time.monotonic() < until_s:
                await writer.wait(rng.randrange(CALM))
                blow = rng.choice(blows(world))
                hits.append(blow.__name__)
                await blow()
            await writer.wait(BATCH)

    world.run(begin())
    world.runner.run(strike_all())
    assert all(size <= 2 * WAL_MB << 20 for size in segment_bytes(world))
    stored = world.run(wait_stored(world, writer))
    missing, wrong = world.run(compare(stored, writer))
    silent = [index for index in missing if not any(index in gap for gap in gaps(stored))]
    counts = ", ".join(f"{hits.count(name)} {name}" for name in sorted(set(hits)))
    ends = [stored.ends[one.id].reason for one in stored.mine() if one.id in stored.ends]
    sys.stderr.write(
        f"{len(writer.acknowledged)} operations acknowledged, {counts}: {len(missing)} missing, of "
        f"these {len(silent)} in silence, {len(wrong)} under a wrong number, "
        f"{len(stored.mine())} chains, ends {ends}\n"
    )
    assert (silent, wrong) == ([], [])
    assert not stored.index.damaged
    assert len(ends) == len(stored.mine()) - 1
    assert all(ends)


def segment_bytes(world: World) -> list[int]:
    log = world.setup.peers[0].storage / "collections" / COLLECTION / "0" / "wal"
    found = [path.stat().st_size for path in log.glob("closed-*")]
    assert found
    return found


def gaps(stored: Stored) -> list[range]:
    """Entries that were lost when a chain broke: between its last one and the first of the next."""
    chains = sorted(stored.mine(), key=lambda one: one.created_at_ms)
    return [
        range(stored.ends[old.id].last + 1, new.first)
        for old, new in pairwise(chains)
        if old.id in stored.ends
    ]

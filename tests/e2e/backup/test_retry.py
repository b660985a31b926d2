"""A backup that was broken off in its uploads: the next attempt sends what is missing, no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from cleancut.core.format.manifest import Manifest
from cleancut.core.format.page import PACK_BYTES
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName
from cleancut.repository.catalog import find_group
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from cleancut_devcluster.demo.data import Shape
from cleancut_devcluster.launch.process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.support.s3_server import S3Server
from tests.support.tcp_links import Link, Mode, open_links

SHAPE = Shape(points=20_000, dims=256, shards=2, segments=2)
BUCKET = "retry"
ENDS_S = 90.0


@pytest.fixture
def link(runner: asyncio.Runner, s3: S3Server) -> Iterator[Link]:
    """The way to a store, whose credentials all processes inherit."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment().items():
            patch.setenv(name, value)
        s3.make_bucket(BUCKET)
        block = open_links([s3.endpoint.removeprefix("http://")])
        [link] = runner.run(block.__aenter__())
        try:
            yield link
        finally:
            runner.run(block.__aexit__(None, None, None))


def url_of(link: Link) -> str:
    return f"s3://{BUCKET}/x?endpoint=http://{link.address}&path_style=1&region=us-east-1"


async def stored_whole_packs(world: World) -> int:
    """How many sessions have brought a full pack to the store, in the attempt with most of them."""
    store = open_store(world.setup.store_url, SystemClock())
    try:
        prefix = Paths(ClusterName("demo")).pack("")
        found = [info async for info in store.list(prefix)]
    finally:
        await store.close()
    whole = [info.path.split("/") for info in found if info.size_bytes > PACK_BYTES // 2]
    sessions = {(epoch, session) for _, _, epoch, session, *_ in whole}
    return max(Counter(epoch for epoch, _ in sessions).values(), default=0)


async def broken_off(world: World, link: Link) -> str:
    """One agent is killed when each of the two has brought a pack to a slow store, and started
    again. The operation, which goes on."""
    setup = world.setup
    link.set(Mode.SLOW)
    answer = await setup.cleancut("backup", "create", "--attempts", "5", "--no-wait")
    operation: str = answer.value("backup")["id"]

    async def both() -> bool | None:
        return await stored_whole_packs(world) == 2 or None

    await wait_for(both, "a pack of each agent", ENDS_S)
    await setup.agents[1].kill()
    link.set(Mode.PASS)
    await setup.agents[1].start_again()
    return operation


async def wait_committed(world: World, operation: str) -> Manifest:
    answer = await world.setup.cleancut("backup", "watch", operation, timeout_s=ENDS_S)
    answer.check()
    store = open_store(world.setup.store_url, SystemClock())
    try:
        return await find_group(store, Paths(ClusterName("demo")), operation)
    finally:
        await store.close()


@pytest.mark.chaos  # long: `make chaos`
@pytest.mark.timeout(360)  # its own waits are bounded by as much
def test_what_the_store_has_taken_is_not_sent_again(
    launch: Launch, link: Link, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The agent that lived reuses its packs; the killed one what it had written down by then."""
    world = launch(peers=2, coordinators=1, store=url_of(link))
    world.shape = SHAPE
    world.fill(vector_index=False)
    operation = world.run(broken_off(world, link))
    group = world.run(wait_committed(world, operation))
    lived, killed = sorted(group.shards, key=lambda entry: entry.agent)
    assert (lived.agent, killed.agent) == ("agent-1", "agent-2")
    assert lived.new_bytes <= lived.size_bytes - PACK_BYTES // 2
    out = tmp_path_factory.mktemp("out") / "shard.tar"
    where = ("--collection", lived.collection, "--shard", str(lived.shard_id), "--out", str(out))
    world.offline("backup", "extract", operation, *where).check()
    assert out.stat().st_size == lived.size_bytes

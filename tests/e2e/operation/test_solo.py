"""`cleancut solo`: one Qdrant node, one process, its state on the disk; no etcd anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path

from cleancut_devcluster.demo.comparison import read_answers
from cleancut_devcluster.demo.data import Data, Shape
from cleancut_devcluster.launch.qdrant import Kind, PeerProcess, launch_peers
from tests.e2e.world import BODY_S
from tests.support.solo import Solo

SHAPE = Shape(points=300, dims=8, shards=2)


def test_a_node_is_backed_up_lost_and_restored_over_a_crash(
    kind: Kind, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """After kill -9 it is there at once, epochs go on, and a schedule of a call is kept."""

    async def body() -> None:
        async with launch_peers(1, tmp_path / "peers", kind, standalone=True) as (peer,):
            solo = Solo(tmp_path / "solo", peer.url)
            try:
                await _life(solo, peer)
            finally:
                await solo.stop()

    runner.run(_bounded(body()))


async def _life(solo: Solo, peer: PeerProcess) -> None:
    async with Data(peer.url, SHAPE) as data:
        await data.create()
        await data.load()
        await solo.start()
        await solo.back_up()
        answers = await read_answers(data)
        made = await solo.cleancut(
            "schedule", "set", "own", "--cron", "@yearly", "--keep-last", "2"
        )
        await solo.kill()
        await data.client.delete_collection(data.collection)
        await solo.start()
        answer = await solo.cleancut("restore", "start", "latest", "--yes")
        assert answer.value("restore")["state"] == "DONE"
        assert await read_answers(data) == answers
        (kept,) = (await solo.cleancut("schedule", "list")).value("schedules")
        assert kept["revision"] == made.value("schedule")["revision"] > 0
        opened = sorted(path.parent.name for path in solo.marks())
        assert [int(epoch) for epoch in opened] == [1, 2], "the restore has an epoch of its own"


async def _bounded(work: Coroutine[None, None, None]) -> None:
    async with asyncio.timeout(BODY_S):
        await work

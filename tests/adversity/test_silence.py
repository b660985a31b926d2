"""Ten minutes without a word: a store that answers nothing, and all who wait for a backup."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cleancut.core.cluster.agent_settings import LEAST_RATE
from cleancut_devcluster.demo.data import Shape
from cleancut_devcluster.launch.cli import Answer
from cleancut_devcluster.launch.process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.support.s3_server import S3Server
from tests.support.tcp_links import Link, Mode, open_links

SILENT_S, LIMIT_S = 605.0, 1500.0
ATTEMPTS = ("--attempts", "20")


@pytest.mark.silence
@pytest.mark.timeout(2400)
def test_watches_outlive_ten_minutes_of_silence(
    launch: Launch, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One backup uploads, another one is queued behind it; both are waited for by `create` and by
    `watch`. The store stalls for ten minutes: none of the four commands fails."""
    with S3Server() as store:
        for name, value in store.environment().items():
            monkeypatch.setenv(name, value)
        target = store.endpoint.removeprefix("http://")
        block = open_links([target])
        (link,) = runner.run(block.__aenter__())
        url = store.url(store.make_bucket("silence")).replace(target, link.address)
        world = launch(peers=2, coordinators=2, store=url)
        world.shape = Shape(points=8000, dims=128, shards=2)
        world.fill()
        world.ok("settings", "cluster", "settings", "--upload-rate", str(LEAST_RATE))
        answers = runner.run(_wait_in_silence(world, link))
        runner.run(block.__aexit__(None, None, None))
    assert {name: (one.exit_code, one.err) for name, one in answers.items() if one.exit_code} == {}


async def _wait_in_silence(world: World, link: Link) -> dict[str, Answer]:
    setup, tasks = world.setup, dict[str, asyncio.Task[Answer]]()

    async def ask(*arguments: str) -> Answer:
        return await setup.cleancut("backup", *arguments, timeout_s=LIMIT_S)

    async def backups(state: str) -> Any:
        listed = (await setup.cleancut("backup", "list")).value("backups")
        return next((one for one in listed if one["state"] == state), None)

    async with asyncio.TaskGroup() as group:
        tasks["create"] = group.create_task(ask("create", *ATTEMPTS))
        uploading = await wait_for(lambda: backups("UPLOADING"), "an upload", 120.0, 0.2)
        tasks["queued create"] = group.create_task(ask("create", *ATTEMPTS))
        queued = await wait_for(lambda: backups("PENDING"), "a queued backup", 60.0, 0.2)
        tasks["watch"] = group.create_task(ask("watch", uploading["id"]))
        tasks["queued watch"] = group.create_task(ask("watch", queued["id"]))
        link.set(Mode.STALL)
        began_s = time.monotonic()
        await asyncio.wait(tasks.values(), timeout=SILENT_S, return_when=asyncio.FIRST_COMPLETED)
        early = [name for name, task in tasks.items() if task.done()]
        link.set(Mode.PASS)
        assert not early, f"ended after {time.monotonic() - began_s:.0f} s of silence: {early}"
        (await setup.cleancut("cluster", "settings", "--upload-rate", "0")).check()
    return {name: task.result() for name, task in tasks.items()}

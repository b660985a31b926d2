"""`cleancut solo` killed at random, without its state, and replaced by a cluster: epochs never
repeat, and the catalog stays whole."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cleancut.client.client import Client
from cleancut.core.primitives.errors import CleancutError, Refused
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import FINAL_STATES
from cleancut_devcluster.demo.comparison import read_answers
from cleancut_devcluster.demo.data import Data, Shape
from cleancut_devcluster.launch.cli import run_cleancut
from cleancut_devcluster.launch.etcd import start_etcd
from cleancut_devcluster.launch.process import start_child, wait_for, wait_logged
from cleancut_devcluster.launch.qdrant import Kind, PeerProcess, launch_peers
from tests.support.solo import Solo

SEED = int(os.environ.get("SOLO_SEED", "20"))
KILLS = int(os.environ.get("SOLO_KILLS", "50"))
SHAPE = Shape(points=3000, dims=32, shards=2)
LONGEST_S = 0.6
SETTLED_S = 900.0
"""Requests of starts that were killed at once wait for each other."""
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]


def run(runner: asyncio.Runner, body: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3500):
            await body

    runner.run(bounded())


def opened(log: Path) -> list[int]:
    """The epochs that began under this start, in order."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            entry = json.loads(line)
            begins = (entry.get("event"), entry.get("phase")) == ("persist", "PREPARE")
            if begins and entry.get("applied"):
                found.append(int(entry["epoch"]))
    return found


async def offline(solo: Solo, *arguments: str) -> Any:
    """What a command prints that reads the store alone."""
    shared = ("--store", solo.store, "--cluster", "default", "-o", "json")
    answer = await run_cleancut(*shared, *arguments)
    answer.check()
    return json.loads(answer.out)


async def settle(solo: Solo) -> None:
    """No operation is open, and none waits."""

    async def idle() -> bool | None:
        async with Client([solo.address]) as client:
            page = await client.list_backups()
        return True if all(one.state in FINAL_STATES for one in page.backups) else None

    await wait_for(idle, "the end of all backups", SETTLED_S, 0.5)


def test_epochs_never_repeat_over_kills_in_backups(
    kind: Kind, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """Each start is killed while the backup that it was asked for is under way, or just after."""
    chance = random.Random(SEED)

    async def body() -> None:
        async with launch_peers(1, tmp_path / "peers", kind, standalone=True) as (peer,):
            solo = Solo(tmp_path / "solo", peer.url)
            try:
                async with Data(peer.url, SHAPE) as data:
                    await data.create()
                    await data.load()
                    epochs = await killed(solo, data, chance)
                    await solo.start()
                    await settle(solo)
                    last = await solo.back_up()
                    answers = await read_answers(data)
                    assert epochs == sorted(set(epochs)), "an epoch was given twice"
                    assert last["epoch"] > max(epochs)
                    await check_catalog(solo, epochs)
                    await data.client.delete_collection(data.collection)
                    (await solo.cleancut("restore", "start", "latest", "--yes")).check()
                    assert await read_answers(data) == answers
            finally:
                await solo.stop()

    run(runner, body())


async def killed(solo: Solo, data: Data, chance: random.Random) -> list[int]:
    """All epochs that began, start by start."""
    epochs: list[int] = []
    committed = 0
    for kill in range(KILLS):
        await solo.start()
        await data.change(0.05)
        async with Client([solo.address]) as client:
            await client.create_backup(BackupRequest(), f"kill-{kill}")
            with suppress(TimeoutError, CleancutError):
                async with asyncio.timeout(chance.uniform(0.0, LONGEST_S)):
                    await settle(solo)
                    committed += 1
        await solo.kill()
        epochs += opened(solo.log)
    sys.stdout.write(f"{KILLS} kills, {len(epochs)} epochs, {committed} after a commit\n")
    return epochs


async def check_catalog(solo: Solo, epochs: list[int]) -> None:
    """Every backup of it is whole, and was an epoch that began."""
    backups = (await offline(solo, "backup", "list"))["backups"]
    assert backups
    sys.stdout.write(f"{len(backups)} backups in the catalog\n")
    for one in backups:
        await offline(solo, "backup", "verify", one["id"])
    marks = {int(path.parent.name) for path in solo.marks()}
    assert set(epochs) <= marks
    assert len(marks) == len(solo.marks())


def test_a_lost_state_is_noticed_and_adopted(
    kind: Kind, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """Lost, or an old copy of it: nothing begins before `adopt`, then epochs go on."""

    async def body() -> None:
        async with launch_peers(1, tmp_path / "peers", kind, standalone=True) as (peer,):
            solo = Solo(tmp_path / "solo", peer.url)
            try:
                await fill(peer)
                await solo.start()
                await solo.back_up()
                await solo.stop()
                shutil.copytree(solo.state, tmp_path / "copy")
                await solo.start()
                newest = int((await solo.back_up())["epoch"])
                for copy in (tmp_path / "copy", None):
                    await solo.stop()
                    shutil.rmtree(solo.state)
                    if copy is not None:
                        shutil.copytree(copy, solo.state)
                    newest = await refused_then_adopted(solo, newest, copy is not None)
            finally:
                await solo.stop()

    run(runner, body())


async def fill(peer: PeerProcess) -> None:
    async with Data(peer.url, SHAPE) as data:
        await data.create()
        await data.load()


async def refused_then_adopted(solo: Solo, newest: int, is_old: bool) -> int:
    """The epoch of the backup that is made after `adopt`."""
    await solo.start()
    await wait_logged_warning(solo)
    with pytest.raises(Refused) as refusal:
        await solo.back_up()
    assert "adopt" in f"{refusal.value.message} {refusal.value.hint}"
    status = (await solo.cleancut("status")).value("status")
    assert status["identity"]["equal"] == is_old
    assert any("etcd has gone back" in one for one in status["warnings"]) == is_old
    findings = (await solo.cleancut("doctor")).out
    assert ("etcd_behind" if is_old else "foreign_store") in findings
    (await solo.cleancut("adopt", "--yes")).check()
    epoch = int((await solo.back_up())["epoch"])
    assert epoch > newest
    return epoch


async def wait_logged_warning(solo: Solo) -> None:
    async def found() -> bool | None:
        return True if "`cleancut adopt`" in solo.log.read_text() else None

    await wait_for(found, "the log to name adopt", 30.0)


def test_a_solo_grows_up_to_a_cluster(kind: Kind, runner: asyncio.Runner, tmp_path: Path) -> None:
    """Another etcd, a coordinator and an agent take the store over; old backups are there."""

    async def body() -> None:
        async with launch_peers(1, tmp_path / "peers", kind) as (peer,):
            solo = Solo(tmp_path / "solo", peer.url)
            await fill(peer)
            await solo.start()
            old = (await solo.back_up())["epoch"]
            await solo.stop()
            member, etcd = await start_etcd(tmp_path / "etcd")
            children = [member]
            try:
                where = ("--etcd", etcd, "--store", solo.store, "--qdrant-url", peer.url)
                shared = ("--cluster", "default", *where)
                python = (sys.executable, "-m")
                spill = ("--spill-dir", str(tmp_path / "spill"))
                agent = (*python, "cleancut_agent.main", *shared, *spill, "--name", "a")
                children.append(await start_child("agent", agent, tmp_path / "agent.log"))
                own = ("--grpc", "127.0.0.1:0", "--name", "c")
                leader = (*python, "cleancut_coordinator.main", *shared, *own)
                children.append(await start_child("leader", leader, tmp_path / "leader.log"))
                await wait_logged(children[1], "session opened", "token")
                await wait_logged(children[2], "leading", "token")
                address = await wait_logged(children[2], "listening", "grpc")
                await taken_over(Solo(solo.directory, peer.url, address=address), old)
            finally:
                for child in reversed(children):
                    await child.stop()

    run(runner, body())


async def taken_over(cluster: Solo, old: int) -> None:
    """`cluster`: its coordinator's address, and the store of the solo."""
    with pytest.raises(Refused):
        await cluster.back_up()
    (await cluster.cleancut("adopt", "--yes")).check()
    new = await cluster.back_up()
    assert new["epoch"] > old
    found = (await offline(cluster, "backup", "list"))["backups"]
    assert [one["epoch"] for one in found] == [new["epoch"], old]


def test_a_cluster_of_several_peers_is_refused(
    kind: Kind, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """With what to run instead."""

    async def body() -> None:
        async with launch_peers(2, tmp_path / "peers", kind) as peers:
            solo = Solo(tmp_path / "solo", peers[0].url)
            (solo.directory / "store").mkdir(parents=True)
            code, said = await solo.end()
        assert code != 0
        assert "is a cluster of 2 peers" in said
        assert "cleancut-agent next to each peer" in said

    run(runner, body())

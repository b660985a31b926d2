"""What a store does wrong, and what becomes of it: error, exit code, and that nothing is lost.

docs/reference/guarantees.md shows the same table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cleancut_devcluster.demo.data import COLLECTION
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused
from tests.support.s3_server import S3Server
from tests.support.store_proxy import Fault, FaultyStore
from tests.tidy.tree import text_of

BUCKET = "faults"


class Case(NamedTuple):
    """`words`: of the error. Exit code 0: it went well all the same."""

    fault: Fault
    command: str
    exit_code: int
    words: tuple[str, ...] = ()


CASES = (
    Case(Fault.SOME_ERRORS, "backup create", 0),
    Case(Fault.ERRORS, "backup create", 1, ("InternalError",)),
    Case(Fault.SLOW, "backup create", 0),
    Case(Fault.CUT, "backup create", 0),
    Case(Fault.FULL, "backup create", 4, ("no space left",)),
    Case(Fault.DENIED, "backup create", 8, ("refuses our credentials",)),
    Case(Fault.SKEWED, "backup create", 4, ("clock is wrong",)),
    Case(Fault.NO_CONDITION, "backup create", 0),
    Case(Fault.CUT, "backup extract", 0),
    Case(Fault.FLIPPED, "backup extract", 9, ("block",)),
    Case(Fault.MISSING, "backup extract", 9, ("pack",)),
    Case(Fault.TRUNCATED, "backup show", 9, ("groups/",)),
    Case(Fault.SOME_ERRORS, "restore start", 0),
    Case(Fault.CUT, "restore start", 0),
    Case(Fault.FLIPPED, "restore start", 9, ("block",)),
    Case(Fault.TRUNCATED, "restore start", 9, ("groups/",)),
    Case(Fault.DENIED, "restore start", 8, ("refuses our credentials",)),
    Case(Fault.ARCHIVED, "restore start", 4, ("archive", "restore-object")),
    Case(Fault.ARCHIVED, "restore plan", 4, ("archive", "restore-object")),
    Case(Fault.ARCHIVED, "backup verify", 4, ("archive", "restore-object")),
)


PATIENT = {Fault.SOME_ERRORS, Fault.ERRORS, Fault.SLOW, Fault.CUT}


@pytest.fixture(scope="module")
def store(runner: asyncio.Runner, s3: S3Server) -> Iterator[FaultyStore]:
    """A real S3 server behind one that can do wrong; all processes inherit its credentials."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment().items():
            patch.setenv(name, value)
        s3.make_bucket(BUCKET)
        faulty = FaultyStore(s3.endpoint)
        block = faulty.serving()
        runner.run(block.__aenter__())
        try:
            yield faulty
        finally:
            runner.run(block.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def world(launch_module: Launch, store: FaultyStore) -> World:
    """Two peers with data, and one backup. Each segment is large enough for blocks in packs."""
    url = f"s3://{BUCKET}/x?endpoint={store.address}&path_style=1&region=us-east-1"
    one = launch_module(peers=2, coordinators=1, store=url)
    one.shape = replace(one.shape, dims=256)
    one.fill()
    one.back_up()
    return one


def arguments(case: Case, backup: str, out: Path) -> list[str]:
    match case.command:
        case "backup create":
            return ["backup", "create", "--attempts", "1"]
        case "backup extract":
            shard = ("--collection", COLLECTION, "--shard", "0", "--out", str(out))
            return ["backup", "extract", backup, *shard]
        case "backup show":
            return ["backup", "show", backup]
        case "backup verify":
            return ["backup", "verify", backup, "--quick"]
        case "restore plan":
            return ["restore", "plan", backup, "--collection", COLLECTION]
        case _:
            rename = ("--rename", f"{COLLECTION}=copy", "--collection", COLLECTION)
            return ["restore", "start", backup, "--yes", *rename]


def drop(world: World, name: str) -> None:
    async def body() -> None:
        async with world.setup.peers[0].client() as qdrant:
            await qdrant.delete_collection(name)

    world.run(body())


def rows() -> list[Any]:
    """Those that wait for retries run with `make chaos` only."""
    return [
        pytest.param(
            case,
            id=f"{case.fault}: {case.command}",
            marks=[pytest.mark.chaos] if case.fault in PATIENT else [],
        )
        for case in CASES
    ]


@pytest.mark.parametrize("case", rows())
def test_nothing_is_lost(world: World, store: FaultyStore, case: Case, tmp_path: Path) -> None:
    """The catalog holds what it held, and the new group if there is one; it verifies; nothing is
    left in the cluster."""
    world.change(0.1)
    before, out = world.groups(), tmp_path / "0.tar"
    asked = arguments(case, before[0], out)
    offline = case.command in {"backup extract", "backup show", "backup verify"}
    store.set(case.fault)
    answer = world.offline(*asked) if offline else world.cleancut(*asked)
    hits, _ = store.hits, store.set(Fault.NONE)
    assert hits or case.fault is Fault.SLOW, "the fault was never met"
    if case.exit_code:
        refused(answer, case.exit_code, *case.words)
        assert not out.exists()
    else:
        answer.check()
    after = world.groups()
    assert after[-len(before) :] == before
    assert len(after) - len(before) == (case.command == "backup create" and not case.exit_code)
    assert ("copy" in world.collections()) == (
        case.command == "restore start" and not case.exit_code
    )
    if "copy" in world.collections():
        drop(world, "copy")
    if after != before:
        world.offline("backup", "verify", after[0], "--read-data", "100").check()


def test_all_works_again_once_the_store_does(world: World) -> None:
    """After all of that: every group is whole, and the next one is made."""
    made = world.back_up()
    for backup in (made["id"], *world.groups()):
        world.offline("backup", "verify", backup, "--read-data", "100").check()


def test_the_table_in_the_docs_is_this_one() -> None:
    page = text_of("docs/reference/guarantees.md")
    missing = [
        case
        for case in CASES
        if f"| {case.fault} | `{case.command}` | {case.exit_code} |" not in page
    ]
    assert missing == []

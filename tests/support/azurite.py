"""A real Azurite (Azure Blob Storage), as one process on loopback.

`make deps` installs it into build/azurite where there is npm. Nothing here is async.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Self

from cleancut_devcluster.launch.free_ports import free_ports

READY_S = 60.0
POLL_S = 0.05
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Those that Azurite's manual names."""
_HOME = Path(__file__).resolve().parents[2] / "build" / "azurite"
_PROGRAM = _HOME / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def missing() -> str:
    """Why there is no Azurite here; empty if there is one."""
    if shutil.which("node") is None:
        return "no node, which runs Azurite"
    return "" if _PROGRAM.exists() else "no Azurite: `make deps` installs it where there is npm"


@dataclass
class Azurite:
    """A running Azurite, all in memory; `url(container)` is a store URL for it."""

    port: int = 0
    _directory: Path | None = None
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self.port,) = free_ports(1)
        self._directory = Path(tempfile.mkdtemp(prefix="azurite-"))
        flags = ("--inMemoryPersistence", "--silent", "--skipApiVersionCheck")
        flags += ("--disableProductStyleUrl", "--disableTelemetry")
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ("node", str(_PROGRAM), "--blobPort", str(self.port), *flags),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._directory,
            )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._ask("HEAD", "/", {})
            except OSError:
                time.sleep(POLL_S)
            else:
                return self
        tail = (self._directory / "log").read_text(errors="replace")[-3000:]
        raise AssertionError(f"Azurite does not start:\n{tail}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, container: str, prefix: str = "", endpoint: str = "") -> str:
        """`endpoint`: of a server in between."""
        at = f"{endpoint or self.endpoint}/{ACCOUNT}"
        return f"az://{container}/{prefix}?account={ACCOUNT}&endpoint={at}"

    def environment(self, key: str = KEY) -> dict[str, str]:
        return {"AZURE_STORAGE_ACCOUNT_KEY": key}

    def make_bucket(self, name: str) -> str:
        """A container."""
        self.change("PUT", f"/{ACCOUNT}/{name}", {"restype": "container"}, {})
        return name

    def archive(self, container: str, blob: str) -> None:
        """Moves a blob to the tier that nothing can be read from."""
        self.change(
            "PUT",
            f"/{ACCOUNT}/{container}/{blob}",
            {"comp": "tier"},
            {"x-ms-access-tier": "Archive"},
        )

    def change(self, method: str, path: str, query: dict[str, str], extra: dict[str, str]) -> None:
        """A request with an empty body, signed with the account's key. Raises: AssertionError."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02", **extra}
        signed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        asked = "".join(f"\n{name}:{query[name]}" for name in sorted(query))
        text = f"{method}{12 * chr(10)}{signed}/{ACCOUNT}{path}{asked}"
        digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        pairs = "&".join(f"{name}={value}" for name, value in query.items())
        status = self._ask(method, f"{path}?{pairs}", headers)
        assert status in {200, 201, 202}, status

    def _ask(self, method: str, target: str, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, target, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

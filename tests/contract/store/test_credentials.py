"""S3 credentials that are replaced while a store is open."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cleancut.core.primitives.errors import Denied
from cleancut.ports.store import Store
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.concurrency import run_all
from cleancut.store.open import open_store
from tests.support.s3_server import S3Server


class KeysThatExpire(BaseHTTPRequestHandler):
    """As much of S3 as calls need: only the newest key id is taken, others get `refusal`, which a
    HEAD does not name."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server: Any = self.server
        good = f"Credential={server.key}/" in self.headers["Authorization"]
        code = "" if good else server.refusal
        status = 200 if good else 400 if code == "ExpiredToken" else 403
        server.answers.append(code)
        body = (
            b""
            if good or self.command == "HEAD"
            else f"<Error><Code>{code}</Code></Error>".encode()
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET = do_HEAD = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize(
    "code", ["ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"]
)
def test_keys_that_were_rotated_cost_no_call(
    code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The credentials are read again and the call is made once more, in whatever call that is; only
    if the new ones are refused as well is it denied."""
    for name in S3Server().environment():
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    def write(key: str) -> None:
        lines = [f"aws_access_key_id = {key}", "aws_secret_access_key = s"]
        file.write_text("\n".join(["[default]", *lines, "aws_session_token = t"]))

    with ThreadingHTTPServer(("127.0.0.1", 0), KeysThatExpire) as served:
        server: Any = served
        server.key, server.refusal, server.answers = "first", code, []
        threading.Thread(target=served.serve_forever, daemon=True).start()
        url = f"s3://b?endpoint=http://127.0.0.1:{served.server_port}&path_style=1&region=us-east-1"

        async def act(store: Store) -> None:
            for number, key in enumerate(("first", "second", "third", "fourth")):
                write(key)
                server.key = key
                if number % 2:
                    await run_all([partial(store.put, f"c/{at}", b"1") for at in range(12)], 12)
                else:
                    assert await store.stat("c/1") is not None
            server.key, server.answers = "unknown here", []
            with pytest.raises(Denied, match=code) as denied:
                await store.put("c/1", b"1")
            assert "expired" in denied.value.hint
            assert server.answers == [code, code]

        async def run() -> None:
            store = open_store(url, SystemClock())
            try:
                async with asyncio.timeout(60):
                    await act(store)
            finally:
                await store.close()

        asyncio.run(run())
        served.shutdown()

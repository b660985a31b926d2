"""The scan for secrets finds what was put there on purpose, else it would prove nothing."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.secret_scan import descendants, find_leaks

SECRET = "s3cr3t/with+odd=letters"
NAMED = {"api key": SECRET}


@pytest.fixture
def leaky() -> Iterator[str]:
    """A metrics page with the secret in a label."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f'x{{key="{SECRET}"}} 1\n'.encode())

        def log_message(self, *_: object) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()


def test_a_secret_is_found_wherever_it_leaks_and_is_not_told(tmp_path: Path, leaky: str) -> None:
    log, clean = tmp_path / "log", tmp_path / "clean"
    log.write_text(f'{{"event":"oops","key":"{SECRET}"}}\n')
    clean.write_text("nothing here\n")
    sleeper = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", sleeper, SECRET], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in descendants([child.pid])
        found = find_leaks(NAMED, files=[log, clean], urls=[leaky], processes=[child.pid])
        child.communicate()
    assert found == [f"{log}: api key", f"{leaky}: api key", f"arguments of {child.pid}: api key"]
    assert SECRET not in "".join(found)


@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
def test_a_secret_is_found_in_base64_and_in_urls(before: str) -> None:
    text = base64.b64encode(f"{before}{SECRET}tail".encode())
    assert find_leaks(NAMED, texts={"header": text}) == ["header: api key"]
    url = b"https://h/?key=s3cr3t%2Fwith%2Bodd%3Dletters"
    assert find_leaks(NAMED, texts={"url": url}) == ["url: api key"]
    assert find_leaks(NAMED, texts={"other": base64.b64encode(b"something else")}) == []


def test_what_could_be_any_word_is_no_secret() -> None:
    with pytest.raises(ValueError, match="short"):
        find_leaks({"key": "password"})

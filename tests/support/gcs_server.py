"""As much of Google Cloud Storage as stores need: its XML calls, in memory, in a thread.

Source: cloud.google.com/storage/docs/xml-api. The metadata service of a machine is served too.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

WRITER, READER = "writer-token", "reader-token"
_PAGE = 1000
_METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"


class _Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class GcsServer:
    """Serves within its block. `token`: what the metadata service gives; `asked`: requests, each as
    its method and path, with its headers."""

    def __init__(self) -> None:
        self.token = WRITER
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._buckets: dict[str, dict[str, bytes]] = {}
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.server = self

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._http.server_port}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    def url(self, bucket: str, prefix: str = "", endpoint: str = "") -> str:
        """`endpoint`: of a server in between."""
        return f"gs://{bucket}/{prefix}?endpoint={endpoint or self.endpoint}"

    def environment(self) -> dict[str, str]:
        """Of a machine whose service account gives tokens."""
        return {"GCE_METADATA_HOST": self.address, "GCE_METADATA_IP": self.address}

    def make_bucket(self, name: str) -> str:
        self._buckets[name] = {}
        return name

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> _Answer:
        split = urlsplit(target)
        if split.path == _METADATA:
            given = {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"}
            return _Answer(200, json.dumps(given).encode(), (("Content-Type", "application/json"),))
        with self._lock:
            self.asked.append((method, unquote(split.path), headers))
            token = headers.get("authorization", "").removeprefix("Bearer ")
            if token not in {WRITER, READER}:
                return _refusal(401, "AuthenticationRequired")
            bucket, _, key = unquote(split.path[1:]).partition("/")
            held = self._buckets.get(bucket)
            if held is None:
                return _refusal(404, "NoSuchBucket")
            if method not in {"GET", "HEAD"} and token != WRITER:
                return _refusal(403, "AccessDenied")
            if not key:
                return _listing(held, parse_qs(split.query))
            return _object(held, key, method, headers=headers, body=body)


def _object(
    held: dict[str, bytes], key: str, method: str, *, headers: dict[str, str], body: bytes
) -> _Answer:
    if method == "PUT":
        if key in held and headers.get("x-goog-if-generation-match") == "0":
            return _refusal(412, "PreconditionFailed")
        held[key] = body
        return _Answer(200, b"", _facts(body))
    if key not in held:
        return _refusal(404, "NoSuchKey")
    if method == "DELETE":
        del held[key]
        return _Answer(204)
    return _part(held[key], headers.get("range", ""))


def _part(data: bytes, span: str) -> _Answer:
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", span)
    if found is None:
        return _Answer(200, data, _facts(data))
    first = int(found[1])
    if first >= len(data):
        return _refusal(416, "InvalidRange")
    end = min(int(found[2] or len(data)), len(data) - 1)
    given = ("Content-Range", f"bytes {first}-{end}/{len(data)}")
    return _Answer(206, data[first : end + 1], (*_facts(data), given))


def _listing(held: dict[str, bytes], query: dict[str, list[str]]) -> _Answer:
    """Objects by name, and folders if there is a delimiter, from a token or a name on."""

    def one(name: str) -> str:
        return query.get(name, [""])[0]

    prefix, after = one("prefix"), one("continuation-token") or one("start-after")
    lines, folders, last = [], set(), ""
    for key in sorted(key for key in held if key.startswith(prefix) and key > after):
        if len(lines) + len(folders) == int(one("max-keys") or _PAGE):
            lines.append(f"<NextContinuationToken>{escape(last)}</NextContinuationToken>")
            break
        last = key
        folder, cut, _ = key[len(prefix) :].partition("/")
        if one("delimiter") and cut:
            folders.add(prefix + folder + cut)
            continue
        lines.append(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(held[key])}</Size><ETag>e</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        )
    lines += [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
    body = f"<ListBucketResult>{''.join(lines)}</ListBucketResult>"
    return _Answer(200, body.encode(), (("Content-Type", "application/xml"),))


def _facts(data: bytes) -> tuple[tuple[str, str], ...]:
    return (
        ("ETag", f'"{hashlib.sha256(data).hexdigest()[:16]}"'),
        ("Last-Modified", formatdate(usegmt=True)),
    )


def _refusal(status: int, code: str) -> _Answer:
    return _Answer(status, f"<Error><Code>{code}</Code></Error>".encode())


class _Http(ThreadingHTTPServer):
    server: GcsServer
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        assert isinstance(self.server, _Http)
        answer = self.server.server.answer(self.command, self.path, headers, body)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

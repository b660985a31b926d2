"""An S3 endpoint before a real server, which does wrong whatever a store may do wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

import aiohttp
from aiohttp import web
from yarl import URL

_OWN = {
    "connection",
    "content-length",
    "expect",
    "transfer-encoding",
    "keep-alive",
    "date",
    "server",
}
_ERROR = "<Error><Code>{}</Code><Message>on purpose</Message></Error>"
SLOW_STEPS = 2
STEP_S = 0.05
EACH = 1
"""So often each path is hit where only some requests are."""


class Fault(StrEnum):
    NONE = "nothing"
    SOME_ERRORS = "5xx now and then"
    ERRORS = "5xx for every put"
    SLOW = "slow"
    CUT = "cut mid-object"
    FLIPPED = "wrong bytes"
    TRUNCATED = "truncated manifest"
    MISSING = "missing pack"
    ARCHIVED = "packs in an archive"
    FULL = "full"
    DENIED = "wrong key"
    SKEWED = "clock skewed"
    NO_CONDITION = "no create-only writes"


class FaultyS3:
    """Passes everything on to `target` (http://host:port), but for what `fault` does."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.address = ""
        self._session: aiohttp.ClientSession | None = None
        self.set(Fault.NONE)

    def set(self, fault: Fault) -> None:
        self.fault = fault
        self.hits: Counter[str] = Counter()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self.fault is Fault.SLOW:
            for _ in range(SLOW_STEPS):
                await asyncio.sleep(STEP_S)
        return await self._answer(request, body)

    def _refusal(self, request: web.Request) -> web.Response | None:
        path, method = request.raw_path.partition("?")[0], request.method
        match self.fault:
            case Fault.SOME_ERRORS if self._some(path):
                return _refused(503, "SlowDown")
            case Fault.ERRORS if method == "PUT":
                return self._hit(_refused(500, "InternalError"))
            case Fault.FULL if method == "PUT":
                return self._hit(_refused(507, "InsufficientStorage"))
            case Fault.DENIED:
                return self._hit(_refused(403, "InvalidAccessKeyId"))
            case Fault.SKEWED:
                return self._hit(_refused(403, "RequestTimeTooSkewed"))
            case Fault.NO_CONDITION if method == "PUT" and "If-None-Match" in request.headers:
                return self._hit(_refused(501, "NotImplemented"))
            case Fault.MISSING if "/packs/" in path and method in {"GET", "HEAD"}:
                return self._hit(_refused(404, "NoSuchKey"))
            case Fault.ARCHIVED if (
                "/packs/" in path and method == "GET" and "list-type" not in (request.query_string)
            ):
                return self._hit(_refused(403, "InvalidObjectState"))
        return None

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        path, method = request.raw_path.partition("?")[0], request.method
        status, headers, data, length = await self._forward(request, body)
        if self.fault is Fault.CUT and method in {"GET", "PUT"} and self._some(path):
            return await _cut(request, status, headers, data)
        if self.fault is Fault.FLIPPED and "/packs/" in path and method == "GET" and data:
            self.hits[path] += 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.fault is Fault.TRUNCATED and "/groups/" in path and method == "GET":
            self.hits[path] += 1
            data = data[: len(data) // 2]
        if method == "HEAD":
            headers["Content-Length"] = length
        return web.Response(status=status, headers=headers, body=data)

    def _some(self, path: str) -> bool:
        self.hits[path] += 1
        return self.hits[path] <= EACH

    def _hit(self, response: web.Response) -> web.Response:
        self.hits["all"] += 1
        return response

    async def _forward(
        self, request: web.Request, body: bytes
    ) -> tuple[int, dict[str, str], bytes, str]:
        assert self._session is not None
        kept = {name: value for name, value in request.headers.items() if name.lower() not in _OWN}
        async with self._session.request(
            request.method,
            URL(self._target + request.raw_path, encoded=True),
            data=body,
            headers=kept,
            allow_redirects=False,
        ) as answer:
            data = await answer.read()
            headers = {n: v for n, v in answer.headers.items() if n.lower() not in _OWN}
            return answer.status, headers, data, answer.headers.get("Content-Length", "0")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{any:.*}", self.handle)
        app_runner = web.AppRunner(app)
        await app_runner.setup()
        site = web.TCPSite(app_runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{app_runner.addresses[0][1]}"
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            try:
                yield
            finally:
                await app_runner.cleanup()


def _refused(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=_ERROR.format(code), content_type="application/xml")


async def _cut(
    request: web.Request, status: int, headers: dict[str, str], data: bytes
) -> web.StreamResponse:
    """Half of an answer, then nothing: of a put, what it did is not known."""
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(data) + 1000
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response

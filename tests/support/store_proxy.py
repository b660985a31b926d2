"""An endpoint before a real store's server, which does wrong whatever a store may do wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from urllib.parse import unquote

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


class Dialect(StrEnum):
    """Of which service the endpoint is: they name errors in their own ways."""

    S3 = "s3"
    AZURE = "az"
    GOOGLE = "gs"


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
    HUNG = "hung"
    THROTTLED = "throttled"
    HELD = "under a retention policy"


_SAID = {
    Dialect.S3: {
        Fault.SOME_ERRORS: (503, "SlowDown"),
        Fault.ERRORS: (500, "InternalError"),
        Fault.FULL: (507, "InsufficientStorage"),
        Fault.DENIED: (403, "InvalidAccessKeyId"),
        Fault.SKEWED: (403, "RequestTimeTooSkewed"),
        Fault.NO_CONDITION: (501, "NotImplemented"),
        Fault.MISSING: (404, "NoSuchKey"),
        Fault.ARCHIVED: (403, "InvalidObjectState"),
        Fault.THROTTLED: (503, "SlowDown"),
    },
    Dialect.AZURE: {
        Fault.SOME_ERRORS: (503, "ServerBusy"),
        Fault.ERRORS: (500, "InternalError"),
        Fault.FULL: (507, "InsufficientStorage"),
        Fault.DENIED: (403, "AuthenticationFailed"),
        Fault.MISSING: (404, "BlobNotFound"),
        Fault.ARCHIVED: (409, "BlobArchived"),
        Fault.THROTTLED: (503, "ServerBusy"),
        Fault.HELD: (409, "BlobImmutableDueToPolicy"),
    },
    Dialect.GOOGLE: {
        Fault.SOME_ERRORS: (503, "ServiceUnavailable"),
        Fault.ERRORS: (500, "InternalError"),
        Fault.FULL: (507, "InsufficientStorage"),
        Fault.DENIED: (403, "AccessDenied"),
        Fault.MISSING: (404, "NoSuchKey"),
        Fault.ARCHIVED: (403, "InvalidObjectState"),
        Fault.THROTTLED: (429, "SlowDown"),
        Fault.HELD: (403, "RetentionPolicyNotMet"),
    },
}
"""What each service answers for a fault: status and code."""


class FaultyStore:
    """Passes everything on to `target` (http://host:port), but for what `fault` does."""

    def __init__(self, target: str, dialect: Dialect = Dialect.S3) -> None:
        self._target, self._said = target, _SAID[dialect]
        self.address = ""
        self._session: aiohttp.ClientSession | None = None
        self.set(Fault.NONE)

    def set(self, fault: Fault) -> None:
        self.fault = fault
        self.hits: Counter[str] = Counter()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self._refused(request):
            return _refusal(*self._said[self.fault])
        if self.fault is Fault.HUNG:
            self.hits["all"] += 1
            await asyncio.Event().wait()
        if self.fault is Fault.SLOW:
            for _ in range(SLOW_STEPS):
                await asyncio.sleep(STEP_S)
        return await self._answer(request, body)

    def _refused(self, request: web.Request) -> bool:
        path, method = _path_of(request), request.method
        reads = method in {"GET", "HEAD"} and "list" not in request.query_string
        match self.fault:
            case Fault.SOME_ERRORS:
                return self._some(path)
            case Fault.ERRORS | Fault.FULL:
                met = method == "PUT"
            case Fault.DENIED | Fault.SKEWED | Fault.THROTTLED:
                met = True
            case Fault.NO_CONDITION:
                met = method == "PUT" and "If-None-Match" in request.headers
            case Fault.MISSING:
                met = reads and "/packs/" in path
            case Fault.ARCHIVED:
                met = reads and "/packs/" in path and method == "GET"
            case Fault.HELD:
                met = method in {"DELETE", "POST"}
            case _:
                met = False
        if met:
            self.hits["all"] += 1
        return met

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        path, method = _path_of(request), request.method
        status, headers, data, length = await self._forward(request, body)
        if self.fault is Fault.CUT and method in {"GET", "PUT"} and self._some(path):
            return await _cut(request, status, headers, data)
        if self.fault is Fault.FLIPPED and "/packs/" in path and method == "GET" and data:
            self.hits[path] += 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.fault is Fault.TRUNCATED and "/groups/" in path and method == "GET":
            self.hits[path] += 1
            data = data[: len(data) // 2]
            if "Content-Range" in headers:  # it is stored like that
                headers["Content-Range"] = f"bytes 0-{len(data) - 1}/{len(data)}"
        if method == "HEAD":
            headers["Content-Length"] = length
        return web.Response(status=status, headers=headers, body=data)

    def _some(self, path: str) -> bool:
        self.hits[path] += 1
        return self.hits[path] <= EACH

    async def _forward(
        self, request: web.Request, body: bytes
    ) -> tuple[int, dict[str, str], bytes, str]:
        assert self._session is not None
        own = _OWN - {"date"}  # clients of Azure sign it
        kept = {name: value for name, value in request.headers.items() if name.lower() not in own}
        async with self._session.request(
            request.method,
            URL(self._target + request.raw_path, encoded=True),
            data=body,
            headers=kept,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),  # signed by clients of Azure
        ) as answer:
            data = await answer.read()
            headers = {n: v for n, v in answer.headers.items() if n.lower() not in _OWN}
            return answer.status, headers, data, answer.headers.get("Content-Length", "0")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{any:.*}", self.handle)
        app_runner = web.AppRunner(app, shutdown_timeout=0.1)
        await app_runner.setup()
        site = web.TCPSite(app_runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{app_runner.addresses[0][1]}"
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            try:
                yield
            finally:
                await app_runner.cleanup()


def _path_of(request: web.Request) -> str:
    """Decoded: Google's clients encode the slashes of a name, too."""
    return unquote(request.raw_path.partition("?")[0])


def _refusal(status: int, code: str) -> web.Response:
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

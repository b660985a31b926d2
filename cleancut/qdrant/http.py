"""HTTP to one Qdrant peer: one request, one bound, foreign failures mapped to our errors.

Knows Qdrant's envelope and its status codes, no endpoint.
"""

from __future__ import annotations

import asyncio
import io
import math
import ssl
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec
from yarl import URL

from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.runtime.addresses import is_loopback_host
from cleancut.runtime.watched_files import WatchedFiles

CHUNK_BYTES = 1 << 20
STREAM_IDLE_S = 60.0
CONNECT_S = 5.0
MAX_CONNECTIONS = 8192
STREAMS_TO_ASK_FOR = 32
"""The most streams that are asked for and not yet answered. Qdrant gives up a connection whose
request does not follow within 5 s, and a process that opens hundreds at once sends late."""
STREAM_TRIES = 3
"""Of a stream that was given up before its first byte: 408, or a closed connection."""
MAX_ANSWER_BYTES = 256 << 20
_ANSWER_MARGIN_S = 1.0
_KINDS: dict[int, type[CleancutError]] = {
    400: Invalid,
    401: Denied,
    403: Denied,
    404: NotFound,
    408: TimedOut,
    409: Refused,
    413: Invalid,
    422: Invalid,
    429: Refused,
}
_HINTS: dict[type[CleancutError], str] = {
    Denied: "check the Qdrant API key, its rights, and the collection's strict mode",
    Refused: "see Qdrant's message; limits and names in use are the usual reasons",
    NotFound: "check the name; it may have been deleted meanwhile",
    TimedOut: "the outcome is unknown; look at the state before repeating it",
    Unavailable: "check that this Qdrant peer runs and see its log",
}
_SLOW_READ = "nothing was changed: see whether this Qdrant peer hangs or has too much to do"


class ApiKey(Protocol):
    """A secret that may be replaced while we run."""

    def get(self, *, now: bool = False) -> str:
        """As it is; `now`: after a look at its file. Raises: Denied."""
        ...


class FixedKey:
    """One that stays as it is."""

    def __init__(self, key: str) -> None:
        self._key = key

    def get(self, *, now: bool = False) -> str:
        return self._key


class _Trust:
    """The CA's file, read again once it is replaced. Connections are pooled by their context, so
    that those made before just end."""

    def __init__(self, ca: Path) -> None:
        self._files = WatchedFiles([ca])
        self._version = -1
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Raises: Denied, if it never held a certificate."""
        version = self._files.look()
        if self._context is None or version != self._version:
            self._version = version
            try:
                pem = self._files.read()[0].decode()
                if not pem.strip():  # ssl would trust all authorities of this machine instead
                    raise ValueError("an empty file")
                self._context = ssl.create_default_context(cadata=pem)
            except (ValueError, ssl.SSLError, Denied) as error:
                if self._context is None:
                    raise Denied("Qdrant's CA cannot be read", "see --qdrant-ca") from error
        return self._context


def check_url(url: str) -> str:
    """The URL of a Qdrant peer. Raises: Invalid, unless it has a scheme and a host."""
    try:
        target = URL(url)
        good = target.scheme in {"http", "https"} and bool(target.host)
    except ValueError:
        good = False
    if not good:
        guess = url.partition("://")[2] or url
        raise Invalid(f"{url!r} is not a URL of Qdrant", f"write --qdrant-url http://{guess}")
    return url


def check_key_line(url: str) -> None:
    """Raises: Invalid, if an API key would go over a network in the clear."""
    target = URL(url)
    if target.scheme != "https" and not is_loopback_host(target.host or ""):
        raise Invalid(
            f"the API key would go in the clear to {url}",
            "use https, or say that this network may see it: --insecure qdrant",
        )


class QdrantHttp:
    """A pool of connections to one peer. Opened on first use, inside the running loop."""

    def __init__(
        self, url: str, api_key: ApiKey | str | None = None, ca_file: Path | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._key = FixedKey(api_key) if isinstance(api_key, str) else api_key
        self._trust = None if ca_file is None else _Trust(ca_file)
        self._asking = asyncio.Semaphore(STREAMS_TO_ASK_FOR)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        timeout_s: float,
        query: dict[str, str] | None = None,
        reads: bool = False,
    ) -> Any:
        """The answer's `result`. `reads`: it changes nothing, although it is not a GET.

        Raises: the kind for Qdrant's status code; TimedOut when there is no answer in time, or
            the connection broke after a change was sent; Unavailable when nothing was reached.
        """
        what = f"{method} {path}"
        with _mapped(what, self.url, sent_change=not (reads or method == "GET")):
            async with asyncio.timeout(timeout_s):
                data = None if body is None else msgspec.json.encode(body)
                headers = {} if data is None else {"content-type": "application/json"}
                target = self._target(path, query)
                asked = self._ask(method, target, data=data, headers=headers)
                async with await asked as response:
                    answer = await _read_bounded(response)
                    if response.status >= 300:
                        raise refusal(what, response.status, answer)
        return _result(what, answer)

    async def change(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        timeout_s: float,
        query: dict[str, str] | None = None,
    ) -> Any:
        """As `call`. Qdrant gets the bound itself and is waited for a second longer, to hear its
        answer."""
        bound_s = timeout_s + _ANSWER_MARGIN_S
        query = server_bound(timeout_s) | (query or {})
        return await self.call(method, path, body, timeout_s=bound_s, query=query)

    async def _ask(self, method: str, target: URL, **more: Any) -> aiohttp.ClientResponse:
        """The answer; the second one, if the first says that the API key is no longer good, and
        its file holds another by now. What was refused so has changed nothing."""
        headers: dict[str, str] = more.pop("headers", {})
        key = self._key.get() if self._key is not None else ""
        while True:
            own = {**headers, "api-key": key} if key else headers
            secured: dict[str, Any] = {} if self._trust is None else {"ssl": self._trust.context()}
            response = await self._open().request(method, target, headers=own, **secured, **more)
            if response.status not in (401, 403) or self._key is None:
                return response
            newer = self._key.get(now=True)
            if newer == key:
                return response
            response.release()
            key = newer

    async def upload(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        size_bytes: int,
        *,
        timeout_s: float,
        query: dict[str, str],
    ) -> None:
        """A file of `size_bytes` in the field `snapshot` of a form, streamed. It is sent once: with
        the key of now, and without a retry.

        Raises: as `call`; what `chunks` raises.
        """
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="snapshot";'
            ' filename="shard.snapshot"\r\ncontent-type: application/octet-stream\r\n\r\n'
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        async def body() -> AsyncIterator[bytes]:
            yield head
            async for chunk in chunks:
                yield chunk
            yield tail

        headers = {
            "content-type": f"multipart/form-data; boundary={boundary}",
            "content-length": str(len(head) + size_bytes + len(tail)),
        }
        if key := self._key.get(now=True) if self._key is not None else "":
            headers["api-key"] = key
        secured: dict[str, Any] = {} if self._trust is None else {"ssl": self._trust.context()}
        what, target = f"POST {path}", self._target(path, query)
        with _mapped(what, self.url, sent_change=True):
            async with (
                asyncio.timeout(timeout_s),
                self._open().post(target, data=body(), headers=headers, **secured) as response,
            ):
                answer = await _read_bounded(response)
                if response.status >= 300:
                    raise refusal(what, response.status, answer)

    async def probe(self, path: str, timeout_s: float) -> bool:
        """Whether a GET answers 200, whatever its body. Raises: Unavailable, TimedOut."""
        with _mapped(f"GET {path}", self.url, sent_change=False):
            async with (
                asyncio.timeout(timeout_s),
                await self._ask("GET", self._target(path)) as response,
            ):
                await _read_bounded(response)
                return response.status == 200

    @asynccontextmanager
    async def stream(
        self, path: str, chunk_bytes: int, body: bytes | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer to a GET, or to a POST of the JSON in `body`, in chunks of up to
        `chunk_bytes`, or 1 MiB, as they come.

        Limits: no bound in total, 60 s without a byte (headers and body). Order: leaving the
            block closes the connection, so that Qdrant frees the shard.
        Raises: as `call`; while reading: Unavailable (broken off), TimedOut (idle).
        """
        method = "GET" if body is None else "POST"
        what, chunk_bytes = f"{method} {path}", min(chunk_bytes, CHUNK_BYTES)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=STREAM_IDLE_S)
        with _mapped(what, self.url, sent_change=False):
            response = await self._ask_for_stream(
                method, path, body, timeout=timeout, read_bufsize=chunk_bytes
            )
        try:
            with _mapped(what, self.url, sent_change=False):
                if response.status != 200:
                    raise refusal(what, response.status, await _read_bounded(response))
            if response.headers.get("content-encoding", "identity") != "identity":
                raise Corrupt(f"{what}: the body is encoded", "remove the proxy in between")
            yield self._chunks(what, response, chunk_bytes)
        finally:
            response.close()

    async def _ask_for_stream(
        self, method: str, path: str, body: bytes | None, **more: Any
    ) -> aiohttp.ClientResponse:
        async def ask() -> aiohttp.ClientResponse:
            if body is not None:
                more["data"] = io.BytesIO(body)
                more["headers"] = {"content-type": "application/json"}
            async with self._asking:
                return await self._ask(method, self._target(path), **more)

        for _ in range(STREAM_TRIES - 1):
            with suppress(aiohttp.ServerDisconnectedError, ConnectionResetError):
                response = await ask()
                if response.status != 408:
                    return response
                response.close()
        return await ask()

    async def _chunks(
        self, what: str, response: aiohttp.ClientResponse, chunk_bytes: int
    ) -> AsyncIterator[bytes]:
        with _mapped(what, self.url, sent_change=False):
            async for chunk in response.content.iter_chunked(chunk_bytes):
                yield chunk

    def _target(self, path: str, query: dict[str, str] | None = None) -> URL:
        url = URL(self.url + path, encoded=True)
        return url.with_query(query) if query else url

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                headers={"accept-encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                auto_decompress=False,
                read_bufsize=CHUNK_BYTES,
            )
        return self._session


def server_bound(timeout_s: float) -> dict[str, str]:
    """The bound as Qdrant takes it, in whole seconds."""
    return {"timeout": str(max(1, math.ceil(timeout_s)))}


def refusal(what: str, status: int, body: bytes) -> CleancutError:
    """The error for an answer that is not a success, with Qdrant's own words in it.

    Shape: `{"status": {"error": text}}` or, for shard streams, plain text.
    """
    kind = _KINDS.get(status, Unavailable if status >= 500 else Invalid)
    words = _words(body)
    return kind(
        f"Qdrant refused {what}: {status} {words}",
        _HINTS.get(kind, ""),
        status=status,
    )


def _words(body: bytes) -> str:
    try:
        answer = msgspec.json.decode(body)
        status = answer["status"]
        return str(status["error"] if isinstance(status, dict) else status)[:500]
    except (msgspec.DecodeError, KeyError, TypeError):
        return body[:500].decode("utf-8", "replace")


def _result(what: str, answer: bytes) -> Any:
    try:
        document = msgspec.json.decode(answer)
    except msgspec.DecodeError as cause:
        raise Corrupt(f"{what}: the answer is not Qdrant's", "check the Qdrant URL") from cause
    return document.get("result", document) if isinstance(document, dict) else document


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise Corrupt(f"an answer of over {MAX_ANSWER_BYTES >> 20} MiB")
    return b"".join(parts)


@contextmanager
def _mapped(what: str, url: str, *, sent_change: bool) -> Iterator[None]:
    """The one place where aiohttp's exceptions become ours."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as cause:
        raise Unavailable(f"cannot reach Qdrant at {url}: {cause}", _HINTS[Unavailable]) from cause
    except TimeoutError as cause:
        hint = _HINTS[TimedOut] if sent_change else _SLOW_READ
        raise TimedOut(f"{what} at {url} got no answer in time", hint) from cause
    except aiohttp.InvalidURL as cause:
        raise Invalid(f"{url!r} is not a URL of Qdrant", "use http://HOST:PORT") from cause
    except (aiohttp.ClientError, OSError) as cause:
        kind = TimedOut if sent_change else Unavailable
        words = _short(cause)
        raise kind(f"{what} at {url} broke off: {words}", _HINTS[kind]) from cause


def _short(cause: Exception) -> str:
    """One line of a foreign exception, without the objects that some of them print."""
    if isinstance(cause, aiohttp.ClientPayloadError):
        return "the answer ends before it is whole, or cannot be decoded"
    if isinstance(cause, aiohttp.ClientResponseError):
        return f"the answer is not HTTP: {_one_line(cause.message.partition(':')[0])}"
    return _one_line(str(cause)) or type(cause).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]

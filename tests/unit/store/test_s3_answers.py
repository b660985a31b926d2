"""Answers that no S3 server gives: of another server at its address, of one that is broken, or cut
short on the way. Each is an error of the store, and none is taken for success."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from cleancut.core.primitives.errors import CleancutError, Refused, Unavailable
from cleancut.ports.store import Store
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store

T = TypeVar("T")
PAGE = b"<html><body>Please sign in</body></html>"
DATA = bytes(range(200))


class Impatient(SystemClock):
    """Passes waits over."""

    async def sleep(self, seconds: float) -> None:
        """Waits no time."""


class Scripted(BaseHTTPRequestHandler):
    """Answers with what `server.answer(method, query, headers)` gives: the head and the body."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server: Any = self.server
        query = {name: texts[0] for name, texts in parse_qs(urlsplit(self.path).query).items()}
        head, body = server.answer(self.command, query, dict(self.headers))
        self.wfile.write(f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode() + body)
        self.close_connection = True

    do_PUT = do_GET = do_HEAD = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


Answer = Callable[[str, dict[str, str], dict[str, str]], tuple[str, bytes]]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "k")


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as served:
        served.answer = answer  # type: ignore[attr-defined]
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        yield (
            f"s3://b/p?endpoint=http://127.0.0.1:{served.server_port}&path_style=1&region=us-east-1"
        )
        served.shutdown()


def use(answer: Answer, act: Callable[[Store], Awaitable[T]]) -> T:
    async def run(url: str) -> T:
        store = open_store(url, Impatient())
        try:
            async with asyncio.timeout(30):
                return await act(store)
        finally:
            await store.close()

    with server(answer) as url:
        return asyncio.run(run(url))


def always(head: str, body: bytes, *, length: bool = True) -> Answer:
    shown = f"{head}\r\nContent-Length: {len(body)}" if length else head
    return lambda *_asked: (shown, body)


async def listed(store: Store) -> list[str]:
    return [info.path async for info in store.list("c/")]


ACTS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "list": listed,
    "folders": lambda store: store.folders(),
    "clock": lambda store: store.clock_s(),
    "put": lambda store: store.put("c/x", b"1"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    "answer",
    [
        always("200 OK\r\nContent-Type: text/html", PAGE),
        always("200 OK", b"<ListBucketResult><Contents><Key>p/c/a", length=False),
    ],
    ids=["another server", "cut short"],
)
def test_what_is_no_answer_of_s3_is_an_error_of_the_store(act: str, answer: Answer) -> None:
    with pytest.raises(CleancutError, match=r"127\.0\.0\.1") as failed:
        use(answer, ACTS[act])
    assert isinstance(failed.value, Unavailable | Refused)
    assert len(str(failed.value)) < 400


def page_of(keys: list[str], token: str | None) -> bytes:
    entries = "".join(f"<Contents><Key>p/{key}</Key><Size>1</Size></Contents>" for key in keys)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = "false" if token is None else "true"
    return (
        f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{entries}{more}"
        "</ListBucketResult>"
    ).encode()


def pages(*given: tuple[list[str], str | None]) -> Answer:
    """The first page, then the one that the token names by its place."""

    def answer(_method: str, query: dict[str, str], _headers: object) -> tuple[str, bytes]:
        body = page_of(*given[int(query.get("continuation-token", 0))])
        return f"200 OK\r\nContent-Length: {len(body)}", body

    return answer


def test_what_two_pages_of_a_listing_both_hold_is_listed_once() -> None:
    found = use(pages((["c/a", "c/b"], "1"), (["c/b", "c/c"], None)), listed)
    assert found == ["c/a", "c/b", "c/c"]


@pytest.mark.parametrize(
    "answer",
    [
        pages((["c/a", "c/b"], "0")),
        pages((["c/a"], "1"), (["c/a"], "0")),
        pages(([], "1"), ([], "0")),
        pages((["c/a"], "")),
    ],
    ids=["the same page", "the same keys", "no keys", "no token"],
)
def test_a_listing_without_an_end_is_refused(answer: Answer) -> None:
    with pytest.raises(Refused, match=r"127\.0\.0\.1.*list"):
        use(answer, listed)


@pytest.mark.parametrize("act", ["folders"])
def test_folders_without_an_end_are_refused(act: str) -> None:
    with pytest.raises(Refused, match="list"):
        use(pages((["c/a"], "0")), ACTS[act])


def test_a_put_that_is_acknowledged_without_an_etag_is_none() -> None:
    with pytest.raises(Unavailable, match="ETag"):
        use(always("200 OK", b""), ACTS["put"])
    use(always('200 OK\r\nETag: "1"', b""), ACTS["put"])


def ranged(cut: int | None = None, *, ignored: bool = False) -> Answer:
    """`cut`: the body ends there, without a length that tells. `ignored`: all of it is sent."""

    def answer(_method: str, _query: object, headers: dict[str, str]) -> tuple[str, bytes]:
        first, _, last = headers["Range"].removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(DATA)), len(DATA) - 1)
        if ignored:
            return f"200 OK\r\nContent-Length: {len(DATA)}", DATA
        body = DATA[start : end + 1]
        return f"206 Part\r\nContent-Range: bytes {start}-{end}/{len(DATA)}", body[:cut]

    return answer


def test_a_body_that_ends_early_is_no_answer() -> None:
    """Else good data would count as damaged."""
    with pytest.raises(Unavailable, match="does not answer"):
        use(ranged(cut=50), lambda store: store.get("c/x"))
    with pytest.raises(Unavailable, match="does not answer"):
        use(ranged(cut=5), lambda store: store.get("c/x", 10, 20))
    assert use(ranged(), lambda store: store.get("c/x", 190, 20)) == DATA[190:]


def test_a_server_that_sends_more_than_it_was_asked_for() -> None:
    assert use(ranged(ignored=True), lambda store: store.get("c/x", 10, 20)) == DATA[10:30]
    assert use(ranged(ignored=True), lambda store: store.get("c/x", 190, 20)) == DATA[190:]
    assert use(ranged(ignored=True), lambda store: store.get("c/x")) == DATA


def test_an_object_of_unknown_size_is_no_answer() -> None:
    with pytest.raises(Unavailable, match="size"):
        use(always("200 OK", b"", length=False), lambda store: store.stat("c/x"))

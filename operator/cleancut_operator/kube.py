"""API server of Kubernetes: where it is, and the few calls that the operator makes itself.

Lists and watches are kopf's. Foreign errors become kinds here.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Fenced,
    Invalid,
    NotFound,
    TimedOut,
    Unavailable,
)
from cleancut_operator.resources import GROUP, VERSION, Fields, Kind, Seen, seen_of

CALL_S = 20.0
_MERGE = {"Content-Type": "application/merge-patch+json"}
_KINDS: dict[int, type[CleancutError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Fenced,
    422: Invalid,
}


class Connection(Protocol):
    """Where the API server is, and who asks; kopf's is one."""

    @property
    def server(self) -> str: ...

    def as_ssl_context(self) -> ssl.SSLContext: ...

    def as_http_headers(self) -> dict[str, str]: ...


class KubeApi:
    """Calls to one API server; an async context manager."""

    def __init__(self, login: Callable[[], Connection]) -> None:
        self._login = login
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def served(self) -> set[str]:
        """The names of our resources that the API server serves."""
        try:
            found = await self._call("GET", f"/apis/{GROUP}/{VERSION}")
        except NotFound:
            return set()
        return {one["name"] for one in found["resources"]}

    async def set_status(self, seen: Seen, fields: Fields) -> Seen:
        """The object with these fields of its status changed.

        Raises: NotFound, once it is gone; Fenced, if it is not as `seen` any more, such as another
            one of its name.
        """
        metadata = {"resourceVersion": seen.version}
        return await self._patch(seen, "/status", {"metadata": metadata, "status": fields})

    async def set_finalizers(self, seen: Seen, finalizers: tuple[str, ...]) -> Seen:
        """The object with these finalizers. Raises: Fenced, if it is not as `seen` any more."""
        metadata = {"finalizers": list(finalizers), "resourceVersion": seen.version}
        return await self._patch(seen, "", {"metadata": metadata})

    async def _patch(self, seen: Seen, part: str, body: Fields) -> Seen:
        return seen_of(seen.kind, await self._call("PATCH", seen.path + part, body))

    async def _call(self, method: str, path: str, body: Fields | None = None) -> Any:
        """A token that has run out is read again, once."""
        try:
            return await self._ask(method, path, body)
        except Denied:
            if self._session is not None:
                await self._session.close()
            self._session = None
            return await self._ask(method, path, body)

    async def _ask(self, method: str, path: str, body: Fields | None) -> Any:
        info = self._login()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=info.as_ssl_context()),
                headers=info.as_http_headers(),
                timeout=aiohttp.ClientTimeout(total=CALL_S),
            )
        data = None if body is None else json.dumps(body)
        headers = _MERGE if data is not None else None
        url = info.server.rstrip("/") + path
        try:
            async with self._session.request(method, url, data=data, headers=headers) as answer:
                text = await answer.text()
        except TimeoutError as error:
            raise TimedOut(
                f"the API server of Kubernetes did not answer in {CALL_S:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"the API server of Kubernetes does not answer: {error}") from error
        if answer.status >= 400:
            kind = _KINDS.get(answer.status, Unavailable)
            raise kind(f"{method} {path}: {answer.status}: {_message_of(text)}")
        return json.loads(text)


def _message_of(text: str) -> str:
    """What a Status says; else the beginning of the text."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]


async def wait_served(kube: KubeApi, limit_s: float, poll_s: float = 1.0) -> None:
    """Returns once the API server serves all kinds. Raises: NotFound after `limit_s`; Denied."""
    wanted = {kind.plural for kind in Kind}
    missing = sorted(wanted)
    try:
        async with asyncio.timeout(limit_s):
            while missing:
                with suppress(Unavailable, TimedOut):
                    missing = sorted(wanted - await kube.served())
                if missing:
                    await asyncio.sleep(poll_s)
    except TimeoutError as error:
        raise NotFound(
            f"the API server of Kubernetes does not serve {', '.join(missing)}",
            "install the CRDs: `operator.crds` of the chart, or its files/crds",
        ) from error

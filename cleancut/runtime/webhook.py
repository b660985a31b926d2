"""Webhooks: one bounded POST to a receiver outside. URLs may hold secrets, so no error names more
of one than its host."""

from __future__ import annotations

import asyncio

import aiohttp
from yarl import URL

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.runtime.addresses import is_loopback_host

POST_S = 10.0
_FINAL = frozenset({400, 405, 411, 413, 414, 415, 422, 431})
"""Answers that a repeat of the same request would get again."""


def check_webhook_url(text: str, *, insecure: bool) -> None:
    """Raises: Invalid, unless it is an http(s) URL; of `http`, only loopback or `insecure`."""
    url = _parsed(text)
    if url is None or url.scheme not in ("http", "https") or not url.host or url.user is not None:
        raise Invalid("the URL of a webhook is not valid", "write https://HOST/PATH")
    if url.scheme == "http" and not insecure and not is_loopback_host(url.host):
        raise Invalid(
            f"the webhook at {url.host!r} would be called in plaintext",
            "use https, or set insecure = true if this network may see it",
        )


async def post(
    url: str, body: bytes, *, content_type: str, token: str = "", bound_s: float = POST_S
) -> None:
    """The receiver has taken it, since it answered 2xx within the bound; redirects are not
    followed, and nothing of the answer is read.

    Raises: Refused (it would refuse this body again), Denied, Unavailable, TimedOut.
    """
    headers = {"content-type": content_type}
    if token:
        headers["authorization"] = f"Bearer {token}"
    host = URL(url).host
    try:
        async with (
            asyncio.timeout(bound_s),
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url, data=body, allow_redirects=False) as response,
        ):
            status = response.status
    except TimeoutError:
        raise TimedOut(f"{host} did not answer in {bound_s:g} s", "see its log") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unavailable(f"{host} was not reached: {_cause(error)}") from None
    if not 200 <= status < 300:
        raise _answered(host, status)


def _answered(host: str | None, status: int) -> CleancutError:
    if status in _FINAL:
        return Refused(f"{host} answered {status}", "see its log; the event is not sent again")
    if status in (401, 403):
        return Denied(f"{host} answered {status}", "check the token and the URL")
    if 300 <= status < 400:
        return Unavailable(f"{host} answered {status}: redirects are not followed", "give its URL")
    return Unavailable(f"{host} answered {status}", "see its log")


def _cause(error: Exception) -> str:
    """What happened, without a URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    return type(error).__name__


def _parsed(text: str) -> URL | None:
    try:
        return URL(text)
    except ValueError:
        return None

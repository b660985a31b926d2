"""One HTTP call that asks a writer to pause or to go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal, Protocol

import aiohttp
import msgspec
from yarl import URL

from cleancut.core.primitives.errors import Invalid, Refused, TimedOut, Unavailable
from cleancut.core.protocol.fence import Fence, Hook
from cleancut.runtime.addresses import is_loopback_host
from cleancut.runtime.watched_files import WatchedSecret


def check_hook(pause: str, resume: str, token_file: str) -> None:
    """Raises: Invalid, unless both are http(s) URLs and the token goes over no open line."""
    for text in (pause, resume):
        try:
            url = URL(text)
        except ValueError:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host or url.user is not None:
            raise Invalid(f"{text!r} is not a valid hook URL", "write http(s)://host/path")
        if token_file and url.scheme == "http" and not is_loopback_host(url.host):
            raise Invalid(f"the token would go in the clear to {url.host!r}", "use https")


Action = Literal["pause", "resume"]


class CallHook(Protocol):
    """What `call_hook` does."""

    async def __call__(
        self, hook: Hook, action: Action, fence: Fence, timeout_s: float, /
    ) -> None: ...


async def call_hook(hook: Hook, action: Action, fence: Fence, timeout_s: float) -> None:
    """The writer has done it, since it answered 2xx within the bound.

    Shape: POST of {"action", "epoch", "collections", "seconds"}; after `seconds` the writer resumes
    by itself in any case. Raises: Refused, Denied (its token cannot be read), Unavailable, TimedOut
        (it may have done it).
    """
    url = hook.pause if action == "pause" else hook.resume
    body = {
        "action": action,
        "epoch": fence.epoch,
        "collections": hook.collections,
        "seconds": fence.budget_s,
    }
    headers = {"content-type": "application/json"}
    if hook.token_file:
        token = WatchedSecret(Path(hook.token_file)).get()
        headers["authorization"] = f"Bearer {token}"
    where = URL(url).with_query(None)
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url, data=msgspec.json.encode(body), allow_redirects=False) as response,
        ):
            status = response.status
    except TimeoutError as error:
        raise TimedOut(f"the hook at {where} did not {action} in {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unavailable(f"the hook at {where} was not reached: {error}") from error
    if not 200 <= status < 300:
        raise Refused(f"the hook at {where} answered {status} to {action!r}", "see its log")

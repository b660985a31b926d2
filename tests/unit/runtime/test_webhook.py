"""One POST to a receiver: bounded, without redirects, and without a secret in any error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.runtime.webhook import check_webhook_url, post
from tests.support.receiver import Receiver, receiving

SECRET = "T0K3N"


def with_receiver(act: Callable[[Receiver], Awaitable[None]]) -> None:
    async def body() -> None:
        async with receiving() as receiver:
            receiver.url += f"/{SECRET}?key={SECRET}"
            await act(receiver)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("url", "insecure"),
    [
        ("https://hooks.example/x", False),
        ("http://127.0.0.1:1/x", False),
        ("http://localhost/x", False),
        ("http://[::1]:8/x", False),
        ("http://hooks.example/x", True),
    ],
)
def test_urls_that_may_be_called(url: str, insecure: bool) -> None:
    check_webhook_url(url, insecure=insecure)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "ftp://hooks.example/x",
        "hooks.example/x",
        "https:///x",
        "https://name:password@hooks.example/x",
        "https://[broken/x",
        "",
    ],
)
def test_urls_that_may_not_are_refused_without_naming_what_follows_the_host(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_webhook_url(url.replace("/x", f"/{SECRET}"), insecure=False)
    assert SECRET not in f"{refused.value.message} {refused.value.hint}"


def test_a_body_arrives_with_the_token() -> None:
    async def act(receiver: Receiver) -> None:
        await post(receiver.url, b"{}", content_type="application/json", token="abc")
        (one,) = receiver.taken
        assert (one.path, one.body) == (f"/hook/{SECRET}?key={SECRET}", b"{}")
        assert one.headers["Authorization"] == "Bearer abc"
        assert one.headers["Content-Type"] == "application/json"

    with_receiver(act)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, Unavailable),
        (400, Refused),
        (401, Denied),
        (403, Denied),
        (404, Unavailable),
        (413, Refused),
        (429, Unavailable),
        (500, Unavailable),
    ],
)
def test_an_answer_that_is_not_2xx_is_an_error(status: int, kind: type[CleancutError]) -> None:
    """Only what a repeat would get again is final. A redirect is not followed: it could lead the
    body and the token anywhere."""

    async def act(receiver: Receiver) -> None:
        receiver.answers, receiver.location = [status], receiver.url
        with pytest.raises(CleancutError) as failed:
            await post(receiver.url, b"{}", content_type="application/json", token=SECRET)
        assert type(failed.value) is kind
        assert str(status) in failed.value.message
        assert SECRET not in f"{failed.value.message} {failed.value.hint}"
        assert len(receiver.taken) == 1

    with_receiver(act)


def test_a_receiver_that_hangs_is_left() -> None:
    async def act(receiver: Receiver) -> None:
        receiver.hangs = True
        with pytest.raises(TimedOut) as failed:
            await post(receiver.url, b"{}", content_type="application/json", bound_s=0.1)
        assert SECRET not in str(failed.value)

    with_receiver(act)


def test_a_receiver_that_is_not_there_is_named_by_its_host_alone() -> None:
    async def act() -> None:
        async with receiving() as receiver:
            gone = receiver.url
        with pytest.raises(Unavailable) as failed:
            await post(f"{gone}/{SECRET}", b"{}", content_type="application/json")
        assert "127.0.0.1 was not reached" in failed.value.message
        assert SECRET not in failed.value.message
        assert failed.value.__cause__ is None

    asyncio.run(act())

"""Addresses: one parser for every flag, endpoint and peer name."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.errors import Invalid
from cleancut.runtime.addresses import is_ip, is_loopback, parse_address, parse_addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("etcd-0.etcd:2379", ("etcd-0.etcd", 2379)),
        ("[::1]:7400", ("::1", 7400)),
        ("[::]:65535", ("::", 65535)),
    ],
)
def test_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "7070", "host", ":7070", "host:", "host:x", "host:70000", "host:²", "host:-1"),
        *("::1:7400", "[::1]", "[]:1", "[host:1", "http://host:1", "host/path:1", "a:1,b:2"),
    ],
)
def test_anything_else_is_invalid_and_the_error_names_it(text: str) -> None:
    with pytest.raises(Invalid, match="invalid address") as caught:
        parse_address(text)
    assert repr(text) in caught.value.message
    assert "HOST:PORT" in caught.value.hint


def test_a_list_is_separated_by_commas_and_never_empty() -> None:
    assert parse_addresses("a:1, b:2,") == ("a:1", "b:2")
    for text in ("", " , ", "a:1,b"):
        with pytest.raises(Invalid):
            parse_addresses(text)


def test_loopback_differs_from_the_network_and_numbers_from_names() -> None:
    assert is_loopback("[::1]:1")
    assert is_loopback("localhost:1")
    assert not is_loopback("0.0.0.0:1")
    assert is_ip("[::1]:1")
    assert not is_ip("localhost:1")


@pytest.mark.parametrize(
    ("text", "cause"),
    [("localhost", "the port is missing"), ("http://localhost:7400", "it is a URL")],
)
def test_an_error_says_what_is_wrong_with_an_address(text: str, cause: str) -> None:
    with pytest.raises(Invalid, match=cause):
        parse_address(text)

"""What a request can fail with, and how the engine's own words become one of these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_BAD_REQUEST = re.compile(
    r"dimension|Wrong input|Not existing vector name|vector name|not a valid|Expected|"
    r"No range index|Unsupported|Validation|index required|malformed|datatype",
    re.IGNORECASE,
)


class Problem(Exception):
    """A request that gets `status` and Qdrant's envelope with `text` as its answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Panic(Problem):
    """What makes a real server's worker panic: the connection is closed without any answer."""

    def __init__(self, text: str) -> None:
        super().__init__(500, text)


class Unreachable(Exception):
    """Another peer did not answer: refused, broken off, or not in time."""

    def __init__(self, peer_id: int, why: str) -> None:
        super().__init__(why)
        self.peer_id = peer_id


def bad_request(text: str) -> Problem:
    return Problem(400, f"Bad request: {text}")


def wrong_input(text: str) -> Problem:
    return Problem(400, f"Wrong input: {text}")


def not_found(text: str) -> Problem:
    return Problem(404, f"Not found: {text}")


def service_error(text: str) -> Problem:
    return Problem(500, f"Service internal error: {text}")


def from_engine(error: BaseException) -> Problem:
    """The engine raises one type only: its text says which kind it is."""
    text = str(error)
    if text.startswith("No point with id"):
        return not_found(text)
    if isinstance(error, (ValueError, TypeError, KeyError, OverflowError)) or _BAD_REQUEST.search(
        text
    ):
        return wrong_input(text)
    return service_error(text)


@contextmanager
def engine_errors() -> Iterator[None]:
    """The one place where the engine's exceptions become ours, its panics among them.

    The engine raises plain `Exception`s, and Python's own for values it cannot convert.
    """
    try:
        yield
    except BaseException as error:
        plain = type(error) in (Exception, ValueError, TypeError, KeyError, OverflowError)
        if plain or type(error).__name__ == "PanicException":
            raise from_engine(error) from error
        raise

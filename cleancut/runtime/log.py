"""Logs on stderr: one line a transition and an effect, JSON or text with the same fields.
Configured once by each program."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import click
import structlog

Logger = structlog.stdlib.BoundLogger
LOG_OPTIONS = (
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        default="info",
        show_default=True,
        help="Least level that is logged.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["json", "text"]),
        default="json",
        show_default=True,
        help="Form of the lines of the log, one for each event, with the same fields.",
    ),
)
_FIRST = ("timestamp", "level", "component", "event")


def configure_logging(level: str, component: str, form: str = "json") -> Logger:
    """The process's logger, bound to its `component`. Level: debug, info, warning or error.
    `form`: json or text."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _text if form == "text" else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logger: Logger = structlog.get_logger().bind(component=component)
    return logger


def _text(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
    """Time, level, component and event, then the other fields as key=value: always one line."""
    first = " ".join(_word(fields[name]) for name in _FIRST[:-1] if name in fields)
    rest = "".join(
        f" {name}={_value(value)}" for name, value in fields.items() if name not in _FIRST
    )
    return f"{first} {_word(fields.get('event', ''))}{rest}"


def _word(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else repr(text)


def _value(value: object) -> str:
    """Quoted where it would be taken for more than one value."""
    text = str(value)
    plain = text.isprintable() and not set(text) & {" ", '"', "="}
    return text if text and plain else repr(text)


class Trouble:
    """A trouble that lasts: logged at `level` when it begins and when its cause changes, and as
    debug while it stays the same."""

    def __init__(self, log: Logger, level: str = "warning") -> None:
        self._log, self._level, self._cause = log, level, ""

    def tell(self, event: str, cause: str, **facts: object) -> None:
        level = "debug" if cause == self._cause else self._level
        getattr(self._log, level)(event, cause=cause, **facts)
        self._cause = cause

    def end(self) -> None:
        """The next one is news, whatever its cause."""
        self._cause = ""

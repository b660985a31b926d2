"""Rendering: pages from values, by templates that escape everything."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cleancut import __version__
from cleancut.api.state_words import state_of, step_of, title_of, word_of
from cleancut.api.work import of_agent, work_of
from cleancut.core.primitives.timestamps import format_second
from cleancut.core.primitives.visible import visible
from cleancut.page import words
from cleancut.page.growth import chart
from cleancut.page.routes import NAVIGATION
from cleancut.page.strip import strip_svg
from cleancut.page.timeline import attempt_svg, barrier, phases

PACKAGE = "cleancut.page"
SHOWN_SHARDS = 1000
"""Of one backup; its JSON has all of them."""


def render(template: str, now_s: float, **values: Any) -> str:
    """The HTML of `template`. `now_s`: what relative times are relative to."""
    return environment().get_template(template).render(now_s=now_s, **values)


def static(name: str) -> bytes:
    """A file that pages load, by its name alone. Raises: FileNotFoundError."""
    return (files(PACKAGE) / "static" / name).read_bytes()


@cache
def environment() -> Environment:
    """One for the process: templates are compiled once."""
    made = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "size": words.size,
        "count": words.count,
        "span": words.span,
        "minute": lambda text: words.minute(words.seconds_of(text)),
        "seconds": words.seconds_of,
        "rfc3339": format_second,
        "ago": words.ago,
        "some": words.some,
        "facts_of": lambda one: words.facts_text(one.facts),
        "state": state_of,
        "step": step_of,
        "title_of": title_of,
        "word": word_of,
        "strip": strip_svg,
        "chart": chart,
        "attempt": attempt_svg,
        "barrier": barrier,
        "phases": phases,
        "work": work_of,
        "work_of_agent": of_agent,
    }
    made.globals |= {
        "navigation": NAVIGATION,
        "version": __version__,
        "percent": words.percent,
        "href": lambda name: f"/backups/{name}",
        "in_report": False,
        "suffix": "",
        "said": "",
        "shown_shards": SHOWN_SHARDS,
        "style": lambda: Markup(static("page.css").decode()),
    }
    return made


def shown(value: Any) -> Any:
    """What a template writes: hidden characters of text as escapes, and a dash for None."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return visible(value, lines=True)
    return "\u2013" if value is None else value

"""SVG as text: elements with escaped attributes and text, and nothing that a policy forbids."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from cleancut.core.primitives.visible import visible

Value = str | float


def number(value: float) -> str:
    """Up to two digits after the point, without trailing zeros: the same on every machine."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


def element(name: str, inner: Iterable[str] | str = "", **attributes: Value) -> Markup:
    """One element; `class_` stands for class and `_` in names for a dash. `inner`: text, which is
    escaped, or elements."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value != ""
    )
    if isinstance(inner, Markup):
        content = str(inner)
    elif isinstance(inner, str):
        content = str(escape(visible(inner)))
    else:
        content = "".join(map(str, inner))
    return Markup(f"<{name}{words}>{content}</{name}>" if content else f"<{name}{words}/>")


def titled(text: str) -> Markup:
    """The tooltip of the element that it stands in."""
    return element("title", text)


def _value(value: Value) -> str:
    return str(escape(visible(value))) if isinstance(value, str) else number(value)

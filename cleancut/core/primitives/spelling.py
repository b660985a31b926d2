"""Names that were probably meant, for words that are not known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from cleancut.core.primitives.errors import Invalid

_LIKENESS = 0.5


def meant(word: str, known: Iterable[str]) -> str:
    """The known name most like `word`, in dashes; "" if none is like it."""
    names = {name.replace("_", "-"): None for name in known}
    close = get_close_matches(word.replace("_", "-").lower(), list(names), n=1, cutoff=_LIKENESS)
    return close[0] if close else ""


def suggestion(word: str, known: Iterable[str], shape: str = "{}") -> str:
    """`: did you mean X?`, where X is the name that was probably meant, written as in `shape`."""
    name = meant(word, known)
    return f": did you mean `{shape.format(name)}`?" if name else ""


def check_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    """Checks that a table of a settings file has known keys only, each once, with dashes or
    underscores. Raises: Invalid; `where`: the table as it is written, such as `[retention]`."""
    names = [name.replace("_", "-") for name in known]
    written: dict[str, str] = {}
    for key, value in table.items():
        name = key.replace("_", "-")
        if name not in names:
            inner = where.strip("[]") + "."
            nested = isinstance(value, dict)
            shown = f"table `[{inner}{key}]`" if nested else f"key `{key}` in `{where}`"
            shape = f"[{inner}{{}}]" if nested else "{}"
            raise Invalid(
                f"unknown {shown}{suggestion(key, names, shape)}",
                f"the keys of {where} are {', '.join(sorted(names))}",
            )
        if name in written:
            raise Invalid(f"`{written[name]}` and `{key}` in `{where}` are the same key")
        written[name] = key

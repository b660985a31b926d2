"""Pages: lists are asked for and given in parts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list: at most `size`, from where the previous page's token says."""

    size: int
    token: str = ""

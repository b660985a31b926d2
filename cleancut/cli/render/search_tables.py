"""Tables of a search in a backup."""

from __future__ import annotations

import msgspec
from rich.console import RenderableType

from cleancut.api.searches import SearchAnswer
from cleancut.cli.render.grids import grid

_SHOWN = 200


def answer(value: SearchAnswer) -> RenderableType:
    rows = (
        (hit.id, f"{hit.score:.6g}", hit.shard_key, _short(msgspec.json.encode(hit.payload)))
        for hit in value.hits
    )
    return grid(("ID", "SCORE", "SHARD KEY", "PAYLOAD"), rows, fold=("PAYLOAD",))


def _short(payload: bytes) -> str:
    text = payload.decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

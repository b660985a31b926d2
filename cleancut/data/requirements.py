"""Requirements of this package: the extra `data`."""

from __future__ import annotations

from importlib.util import find_spec

from cleancut.core.primitives.errors import Refused
from cleancut.engine.shard import check_engine


def check_extra() -> None:
    """Raises: Refused, where the extra `data` is not installed."""
    check_engine()
    try:
        import numpy  # noqa: F401 -- only whether it is there
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise Refused(f"{error.name} is not installed here", "install `cleancut[data]`") from error


def why_no_data() -> str:
    """Why shards cannot be opened in this process, "" if they can; nothing is imported."""
    lacking = [name for name in ("qdrant_edge", "numpy", "pyarrow") if find_spec(name) is None]
    return f"{', '.join(lacking)}: not installed here; install `cleancut[data]`" if lacking else ""

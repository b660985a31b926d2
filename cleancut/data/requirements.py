"""Requirements of this package: the extra `data`."""

from __future__ import annotations

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

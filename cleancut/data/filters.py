"""Filters, checked before a shard is read."""

from __future__ import annotations

from cleancut.core.points.selection import Selection
from cleancut.core.primitives.errors import Invalid


def check_filter(selection: Selection) -> None:
    """Raises: Invalid, for a filter that Qdrant's engine does not understand."""
    from cleancut.engine.filters import to_filter

    try:
        to_filter(selection.filter)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise Invalid(
            f"the filter is malformed: {what}",
            "see https://qdrant.tech/documentation/concepts/filtering/",
        ) from error

"""Types of times in records: what is none is not decoded, so that no reader fails at it later."""

from __future__ import annotations

from typing import Annotated

import msgspec

_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = (
    r"(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    rf"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_PATTERN = (
    rf"{_DATE}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
Time = Annotated[str, msgspec.Meta(pattern=rf"\A{_PATTERN}\Z")]
"""RFC 3339, in a record: a record with anything else in its place is not decoded. A default of ""
is not written, so it may stand for none."""
MaybeTime = Annotated[str, msgspec.Meta(pattern=rf"\A(?:{_PATTERN})?\Z")]
"""As `Time`, or "" for none, in a field without a default."""

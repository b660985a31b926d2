"""Bodies of notifications: JSON, a message for Slack, one line of text for a ping. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from cleancut.core.maintenance.notifications import Notification
from cleancut.core.maintenance.notify_rules import Event, Template
from cleancut.core.primitives.timestamps import to_second

SCHEMA = 1
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LONGEST = 2000
_VERBS = {
    Event.STARTED: "has started",
    Event.COMMITTED: "is committed",
    Event.ABORTED: "failed",
    Event.MISSED: "was not started",
    Event.RESTORED: "is done",
    Event.NEEDS_OPERATOR: "needs an operator",
    Event.DAMAGED: "is damaged",
    Event.COPIED: "is done",
}


def body_of(template: Template, cluster: str, one: Notification) -> tuple[bytes, str]:
    """The body and its content type."""
    if template is Template.PING:
        return line_of(cluster, one).encode(), "text/plain; charset=utf-8"
    document: dict[str, Any]
    if template is Template.SLACK:
        document = {"text": line_of(cluster, one).translate(_SLACK)}
    else:
        fields = {name: getattr(one, name) for name in Notification.__struct_fields__}
        document = {"schema": SCHEMA, "cluster": cluster, **fields, "at": to_second(one.at)}
    return msgspec.json.encode(document), "application/json"


def line_of(cluster: str, one: Notification) -> str:
    """The event in one line, for people."""
    number = f" {one.epoch}" if one.epoch and one.kind in {"backup", "import"} else ""
    of = f" of backup {one.epoch}" if one.epoch and not number else ""
    schedule = f" (schedule {one.schedule})" if one.schedule else ""
    why = f": {one.message}" if one.message else ""
    reason = f" [{one.reason}]" if one.reason else ""
    text = f"cleancut {cluster}: {one.kind}{number}{of}{schedule} {_VERBS[one.event]}{why}{reason}"
    return " ".join(text.split())[:_LONGEST]

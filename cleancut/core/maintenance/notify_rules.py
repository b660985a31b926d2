"""Notification rules: which events a target of the coordinators' file gets, and in which form.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from cleancut.core.maintenance.schedule import Schedules
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import parse_name
from cleancut.core.primitives.spelling import suggestion


class Event(StrEnum):
    """What a notification is of. `started` is only for the start URL of a ping."""

    STARTED = "started"
    COMMITTED = "committed"
    ABORTED = "aborted"
    MISSED = "missed"
    RESTORED = "restored"
    NEEDS_OPERATOR = "needs-operator"
    DAMAGED = "damaged"
    COPIED = "copied"


ALL_EVENTS = tuple(event for event in Event if event is not Event.STARTED)
GOOD = frozenset({Event.COMMITTED, Event.RESTORED, Event.COPIED})
"""A ping of these goes to the URL itself, of `started` to the start URL, of others to the one for
failures."""


class Template(StrEnum):
    """The body: the event as JSON, a message for Slack, or one line of text for a ping."""

    JSON = "json"
    SLACK = "slack"
    PING = "ping"


class NotifyRule(Record, frozen=True, forbid_unknown_fields=True):
    """`[notify.NAME]` of a coordinator's file: a target of notifications.

    `url_file`: holds the URL, which is a secret of some receivers. `start`, `fail`: of a ping, its
    further URLs, or what is appended to the first one if they begin with `/` or `?`; empty: such
    events are not sent. `schedules`: only what these schedules started; empty: everything.
    `insecure`: `http://` to another host is allowed.
    """

    url: str = ""
    url_file: str = ""
    on: tuple[Event, ...] = ALL_EVENTS
    template: Template = Template.JSON
    start: str = ""
    fail: str = ""
    schedules: tuple[str, ...] = ()
    token_file: str = ""
    insecure: bool = False

    def takes(self, event: Event, schedule: str) -> bool:
        """Whether this target gets such an event of this schedule ("": of none)."""
        if self.schedules and schedule not in self.schedules:
            return False
        if event is Event.STARTED:
            return bool(self.start)
        if self.template is Template.PING and event not in GOOD and not self.fail:
            return False
        return event in self.on

    def further(self) -> tuple[str, ...]:
        """What leads to its further URLs."""
        return tuple(one for one in (self.start, self.fail) if one)

    def url_of(self, event: Event, url: str) -> str:
        """Where the event goes; `url`: the target's own, from the file or from the settings."""
        if self.template is not Template.PING or event in GOOD:
            return url
        return full_url(url, self.start if event is Event.STARTED else self.fail)


Notify = Mapping[str, NotifyRule]


def full_url(url: str, further: str) -> str:
    """`further`, or `url` with it at its end."""
    return url.rstrip("/") + further if further.startswith(("/", "?")) else further


def check_notify(name: str, rule: NotifyRule) -> None:
    """Checks all but the URLs. Raises: Invalid."""
    parse_name(name, "notification target")
    where = f"[notify.{name}]"
    if bool(rule.url) == bool(rule.url_file):
        raise Invalid(f"{where}: give url or url-file", "exactly one of the two")
    if rule.further() and rule.template is not Template.PING:
        raise Invalid(f"{where}: start and fail apply to a ping", 'set template = "ping"')
    if Event.STARTED in rule.on:
        raise Invalid(f"{where}: 'started' is sent to the start URL of a ping", "set start instead")
    if not rule.on:
        raise Invalid(f"{where}: `on` is empty", "name an event, or leave it out for all")


def unknown_schedules(notify: Notify, schedules: Schedules) -> list[str]:
    """What targets name and the file does not have, for people: a call may define it, or it is
    misspelled."""
    return [
        f"[notify.{name}] waits for a schedule that is not in the file, {one!r}"
        f"{suggestion(one, schedules)}"
        for name, rule in sorted(notify.items())
        for one in rule.schedules
        if one not in schedules
    ]

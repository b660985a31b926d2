"""A coordinator's metrics of its notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cleancut.core.maintenance.notifications import Outbox
from cleancut.core.primitives.timestamps import parse_time
from cleancut.runtime.prometheus import Meter

SENT, FAILED, DROPPED = "sent", "failed", "dropped"


class NotifyMetrics:
    """Gauges of each target, and counters of what this coordinator sent while it led."""

    def __init__(self, meter: Meter, targets: Sequence[str]) -> None:
        self._pending = meter.gauge(
            "cleancut_notify_pending", "Events that wait to be sent to a target.", "notify"
        )
        self._failing = meter.gauge(
            "cleancut_notify_failing_since_timestamp_seconds",
            "Since when a target cannot be notified, in seconds since 1970; absent while it can.",
            "notify",
        )
        self._count = meter.counter(
            "cleancut_notifications_total",
            "Attempts to notify a target while this coordinator led. sent: it was taken; failed: it"
            " is tried again; dropped: it was refused, or tried for a day.",
            notify=targets,
            outcome=(SENT, FAILED, DROPPED),
        )

    def count(self, target: str, outcome: str, amount: int = 1) -> None:
        self._count.count(amount, notify=target, outcome=outcome)

    def show(self, outboxes: Mapping[str, Outbox]) -> None:
        """What etcd holds of each target."""
        rows = [({"notify": name}, one) for name, one in outboxes.items()]
        self._pending.show([(labels, float(len(one.pending))) for labels, one in rows])
        self._failing.show(
            [
                (labels, parse_time(one.failing_since) if one.failing_since else None)
                for labels, one in rows
            ]
        )

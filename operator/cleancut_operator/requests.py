"""Requests of objects: what a spec asks the coordinators for. Pure.

The schemas of the CRDs fill in defaults and refuse what cannot be meant; the rest is the
coordinators' to refuse.
"""

from __future__ import annotations

from cleancut.api.restores import MomentOptions, Rename, RestoreOptions, ShardNumber
from cleancut.api.schedules import RetentionRules, Schedule
from cleancut.core.primitives.durations import parse_duration
from cleancut.core.protocol.requests import BackupRequest
from cleancut_operator.resources import Fields, Seen

ATTEMPTS = 3
_RETENTION = {
    "keepLast": "keep_last",
    "keepHourly": "keep_hourly",
    "keepDaily": "keep_daily",
    "keepWeekly": "keep_weekly",
    "keepMonthly": "keep_monthly",
    "keepYearly": "keep_yearly",
    "maxAgeDays": "max_age_days",
    "minCount": "min_count",
}


def backup_request(spec: Fields) -> BackupRequest:
    """What a CleancutBackup asks for."""
    return BackupRequest(
        collections=tuple(spec.get("collections", ())),
        exclude=tuple(spec.get("exclude", ())),
        allow_empty=spec.get("allowEmpty", False),
        allow_missing=spec.get("allowMissing", False),
        require_point_in_time=spec.get("requirePointInTime", False),
        attempts=spec.get("attempts", ATTEMPTS),
        fence=tuple(spec.get("fence", ())),
        full=spec.get("full", False),
        audit=spec.get("audit", False),
        labels=dict(spec.get("labels", {})),
        keep_s=parse_duration(spec.get("keep") or "0"),
    )


def restore_options(spec: Fields) -> RestoreOptions:
    """What a CleancutRestore asks for, besides its backup."""
    return RestoreOptions(
        collections=tuple(spec.get("collections", ())),
        from_cluster=spec.get("fromCluster", ""),
        from_store=spec.get("fromStore", ""),
        renames=tuple(
            Rename(old_name=one["from"], new_name=one["to"]) for one in spec.get("renames", ())
        ),
        beside=spec.get("beside", False),
        replace=spec.get("replace", False),
        overwrite=spec.get("overwrite", False),
        confirm=spec.get("confirmOverwrite", ""),
        only_shards=tuple(spec.get("onlyShards", ())),
        peer_id=spec.get("peerId"),
        shards=tuple(
            ShardNumber(shards=one["shards"], of=one.get("of", ""))
            for one in spec.get("shards", ())
        ),
        accept_count=spec.get("acceptCount", False),
        replicas=spec.get("replicas", 0),
        rebalance=spec.get("rebalance", False),
        strict=spec.get("strict", False),
        quotas=spec.get("quotas", False),
        target=_moment(spec),
    )


def _moment(spec: Fields) -> MomentOptions | None:
    """The moment that a restore goes to; None: that of its backup."""
    if not any(spec.get(key) for key in ("at", "mark", "before", "without")):
        return None
    return MomentOptions(
        at=spec.get("at"),
        mark=spec.get("mark", ""),
        before=spec.get("before", ""),
        without=spec.get("without", ""),
        exact=spec.get("exact", False),
        force=spec.get("force", False),
    )


def schedule_name(seen: Seen) -> str:
    """The schedule that a CleancutSchedule is of."""
    return str(seen.spec.get("schedule") or seen.name)


def defined_schedule(seen: Seen, revision: int) -> Schedule:
    """What a CleancutSchedule with `cron` defines. `revision`: of the one that it replaces."""
    spec = seen.spec
    rules = spec.get("retention")
    return Schedule(
        name=schedule_name(seen),
        owner=seen.owner,
        revision=revision,
        cron=spec["cron"],
        do=spec.get("do", ""),
        time_zone=spec.get("timeZone", ""),
        jitter_s=_seconds(spec, "jitter"),
        start_within_s=_seconds(spec, "startWithin"),
        max_age_s=_seconds(spec, "maxAge"),
        overlap=spec.get("overlap", ""),
        collections=tuple(spec.get("collections", ())),
        exclude=tuple(spec.get("exclude", ())),
        allow_missing=spec.get("allowMissing", False),
        allow_empty=spec.get("allowEmpty", False),
        require_point_in_time=spec.get("requirePointInTime", False),
        attempts=spec.get("attempts", 0),
        fence=tuple(spec.get("fence", ())),
        fence_budget_s=_seconds(spec, "fenceBudget"),
        percent=spec.get("percent", 0),
        shards=spec.get("shards", 0),
        to=spec.get("to", ""),
        labels=dict(spec.get("labels", {})),
        retention=None
        if rules is None
        else RetentionRules(**{_RETENTION[key]: value for key, value in rules.items()}),
    )


def _seconds(spec: Fields, key: str) -> float:
    return parse_duration(spec.get(key) or "0")

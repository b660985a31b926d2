"""Requests of objects: what a spec asks the coordinators for. Pure.

The schemas of the CRDs fill in defaults and refuse what cannot be meant; the rest is the
coordinators' to refuse.
"""

from __future__ import annotations

from cleancut.api.restores import MomentOptions, Rename, RestoreOptions
from cleancut.core.primitives.durations import parse_duration
from cleancut.core.protocol.requests import BackupRequest
from cleancut_operator.resources import Fields

ATTEMPTS = 3


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
    at, mark = spec.get("at"), spec.get("mark", "")
    return RestoreOptions(
        collections=tuple(spec.get("collections", ())),
        from_cluster=spec.get("fromCluster", ""),
        from_store=spec.get("fromStore", ""),
        renames=tuple(
            Rename(old_name=one["from"], new_name=one["to"]) for one in spec.get("renames", ())
        ),
        beside=spec.get("beside", False),
        replace=spec.get("replace", False),
        replicas=spec.get("replicas", 0),
        rebalance=spec.get("rebalance", False),
        strict=spec.get("strict", False),
        quotas=spec.get("quotas", False),
        target=MomentOptions(at=at, mark=mark) if at or mark else None,
    )

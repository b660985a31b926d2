"""Requests of backups as messages."""

from __future__ import annotations

from cleancut.api.wire import new_message
from cleancut.core.protocol.requests import BackupRequest
from cleancut.v1.backup_pb2 import CreateBackupRequest


def backup_message(request: BackupRequest, request_id: str = "") -> CreateBackupRequest:
    """Raises: Invalid, for a value that its field cannot hold."""
    return new_message(
        CreateBackupRequest,
        request_id=request_id,
        collections=request.collections,
        allow_empty=request.allow_empty,
        require_point_in_time=request.require_point_in_time,
        attempts=request.attempts,
        fence=request.fence,
        fence_budget_s=request.fence_budget_s,
        full=request.full,
        exclude=request.exclude,
        allow_missing=request.allow_missing,
        audit=request.audit,
        labels=request.labels,
        keep_s=request.keep_s,
    )

"""Requests of backups and of pages as messages."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message

from cleancut.api.wire import new_message
from cleancut.core.protocol.requests import BackupRequest, ImportRequest, SeedRequest
from cleancut.v1 import backup_pb2 as backups

M = TypeVar("M", bound=Message)


def backup_message(request: BackupRequest, request_id: str = "") -> backups.CreateBackupRequest:
    """Raises: Invalid, for a value that its field cannot hold."""
    return new_message(
        backups.CreateBackupRequest,
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


def seed_message(request: SeedRequest, request_id: str) -> backups.SeedBackupRequest:
    return new_message(
        backups.SeedBackupRequest,
        request_id=request_id,
        collections=request.collections,
        streams=request.streams,
        attempts=request.attempts,
    )


def import_message(request: ImportRequest, request_id: str) -> backups.ImportBackupRequest:
    return new_message(
        backups.ImportBackupRequest,
        request_id=request_id,
        import_id=request.import_id,
        draft=request.draft,
        collection=request.collection,
        attempts=request.attempts,
    )


def page_message(kind: type[M], page_size: int, page_token: str) -> M:
    """The request of one page of a list."""
    return new_message(kind, page_size=page_size, page_token=page_token)

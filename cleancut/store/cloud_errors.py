"""Errors of Azure and Google Cloud Storage, as obstore words them, as ours. Text only, no I/O.

Source: obstore 0.12 passes neither status nor headers on, so both are read from its message.
"""

from __future__ import annotations

import re

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
)
from cleancut.store.attempts import Failure
from cleancut.store.urls import CloudUrl

_STATUS = re.compile(r"status code: (\d{3})\b|\(code: (\d{3})\)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_SOURCE = "\nDebug source:"

EXISTS = frozenset({"BlobAlreadyExists", "UnauthorizedBlobOverwrite", "PreconditionFailed"})
_NO_BUCKET = frozenset({"ContainerNotFound", "ContainerBeingDeleted", "NoSuchBucket"})
_NO_ACCOUNT = frozenset({"ResourceNotFound", "AccountIsDisabled", "AccountBeingCreated"})
_COLD = frozenset({"BlobArchived", "BlobBeingRehydrated", "InvalidObjectState"})
_HELD = frozenset(
    {
        "BlobImmutableDueToPolicy",
        "ObjectUnderActiveHold",
        "RetentionPolicyNotMet",
        "SnapshotsPresent",
    }
)
_FULL = frozenset({"InsufficientStorage", "QuotaExceeded"})
_SKEWED = frozenset({"RequestTimeTooSkewed"})
_BUSY = frozenset({"InternalError", "OperationTimedOut", "ServerBusy", "SlowDown"})

_BROKEN = (
    ("Timeout", "no answer in time"),
    ("TimedOut", "no answer in time"),
    ("dns error", "its name is not known"),
    ("ConnectionRefused", "connection refused"),
    ("kind: Connect", "no connection"),
    ("IncompleteBody", "the answer ends early"),
    ("HttpError", "the connection broke"),
)
"""What stands in obstore's account of a request without an answer, and what it means."""

_ENDPOINT = "is the endpoint right and up?"
_PLACE = {"az": "container", "gs": "bucket"}
_ROLE = {
    "az": "the role Storage Blob Data Contributor on the container, and that its firewall lets this"
    " host in",
    "gs": "the role Storage Object User on the bucket",
}
_CHAIN = {
    "az": "give &credentials=FILE in the store URL, AZURE_STORAGE_ACCOUNT_KEY,"
    " AZURE_STORAGE_SAS_TOKEN, a workload identity (AZURE_CLIENT_ID, AZURE_TENANT_ID,"
    " AZURE_FEDERATED_TOKEN_FILE) or the machine's managed identity",
    "gs": "give &credentials=FILE in the store URL, GOOGLE_APPLICATION_CREDENTIALS, or the service"
    " account of the machine or the workload",
}
_THAW = {
    "az": "`az storage blob set-tier --tier Cool` for the blobs under this prefix",
    "gs": "set a class with immediate access",
}


def judge_error(error: Exception, path: str, url: CloudUrl) -> Failure:
    """What `error` means to an operator; retryable where a later attempt may succeed."""
    text, _, source = str(error).partition(_SOURCE)
    where = f"{_PLACE[url.scheme]} {url.bucket}" + (f" at {url.endpoint}" if url.endpoint else "")
    if "performing token request" in text:
        return _no_token(text, where, url)
    status = 404 if isinstance(error, FileNotFoundError) else status_of(error)
    if status:
        failed = _answered(status, code_of(error), path, where=where, url=url)
        return Failure(failed, replaced=status in {401, 403})
    if isinstance(error, OSError):
        return Failure(Unavailable(f"{where} does not answer: {text}", _ENDPOINT))
    return Failure(_unanswered(text, source, where))


def status_of(error: Exception) -> int:
    """The HTTP status of an answer; 0 if there was none."""
    found = _STATUS.search(str(error))
    return int(found[1] or found[2]) if found else 0


def code_of(error: Exception) -> str:
    """The store's own name of the error; empty for HEAD, which has no body."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def config_error(error: Exception, url: CloudUrl) -> CleancutError:
    """Why no client could be made: it reads settings and files of credentials."""
    text = str(error).partition(_SOURCE)[0].strip()
    reason = text.partition(" error: ")[2] or text
    if "Account must be specified" in reason:
        return Invalid(
            f"store {url.scheme}://{url.bucket} names no account",
            "add ?account=NAME to the store URL, or set AZURE_STORAGE_ACCOUNT_NAME",
        )
    hint = "only files of the types service_account and authorized_user can be used"
    if "external_account" not in reason:
        hint = _CHAIN[url.scheme]
    return Denied(f"credentials for {_PLACE[url.scheme]} {url.bucket}: {reason}", hint)


def _no_token(text: str, where: str, url: CloudUrl) -> Failure:
    """The service that gives tokens refuses, or there is none: then there are no credentials."""
    found = _STATUS.search(text)
    if found and int(found[1]) >= 500:
        return Failure(Unavailable(f"tokens for {where} cannot be had now", "it may come back"))
    said = f"its service answers {found[1]}" if found else "no service gives tokens here"
    return Failure(Denied(f"no credentials for {where}: {said}", _CHAIN[url.scheme]), replaced=True)


def _answered(status: int, code: str, path: str, *, where: str, url: CloudUrl) -> CleancutError:
    said = code or str(status)
    if code in _NO_BUCKET or code in _NO_ACCOUNT:
        hint = "create it, or correct the store URL and its account"
        return Refused(f"{where} does not exist: {said}", hint)
    if status == 404:
        return NotFound(f"the store has no {path}", path=path)
    if code in _COLD:
        return Refused(
            f"{path} in {where} is in an archive tier and cannot be read: {said}",
            f"{_THAW[url.scheme]}, wait until that is done, then repeat; for later backups, exclude"
            " the prefix from life-cycle rules that archive",
            path=path,
        )
    if code in _HELD:
        return Refused(
            f"{path} in {where} is under a retention policy or a hold: {said}",
            "it can be deleted once that has ended",
            path=path,
        )
    if code in _FULL or status == 507:
        return Refused(f"no space left in {where}: {said}", "free some, or raise its quota")
    if code in _SKEWED:
        return Refused(f"{where} says that this host's clock is wrong", "correct its time")
    if status in {401, 403}:
        return Denied(
            f"{where} refuses our credentials for {path}: {said}",
            f"they need {_ROLE[url.scheme]}; were they replaced, did they expire, is this host's"
            " clock right?",
        )
    if status in {408, 429} or status >= 500 or code in _BUSY:
        return Unavailable(f"{where} fails at {path}: {said}", "it may come back")
    return Refused(f"{where} refuses {path}: {said}", "check the store URL")


def _unanswered(text: str, source: str, where: str) -> CleancutError:
    """No whole answer came. `source`: the causes, in obstore's words."""
    if "InvalidCertificate" in source or "invalid peer certificate" in source:
        return Refused(f"TLS to {where} fails: its certificate is not trusted", "add &ca=FILE")
    if "InvalidMessage" in source:
        return Refused(f"TLS to {where} fails: it does not speak TLS", "correct the endpoint")
    for mark, reason in _BROKEN:
        if mark in source:
            return Unavailable(f"{where} does not answer: {reason}", _ENDPOINT)
    return Refused(f"{where} cannot be used: {text.strip()}", "check the store URL")

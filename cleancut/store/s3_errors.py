"""What botocore's errors mean in the tree of `cleancut.core.primitives.errors`. Nothing is called
here."""

from __future__ import annotations

import botocore.exceptions as boto

from cleancut.core.primitives.errors import CleancutError, Denied, NotFound, Refused, Unavailable
from cleancut.store.urls import S3Url

_DENIED = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "ExpiredToken",
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "SignatureDoesNotMatch",
        "401",
        "403",
    }
)
_FULL = frozenset(
    {
        "EntityTooLarge",
        "InsufficientStorage",
        "QuotaExceeded",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "507",
    }
)
_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "301"})
_BUSY = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "TooManyRequests",
        "ConditionalRequestConflict",
        "408",
        "409",
        "429",
    }
)
NO_CONDITION = frozenset({"NotImplemented", "501"})


def code_of(error: boto.ClientError) -> str:
    """S3's own name of the error; for HEAD, which has no body, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def retry_after_s(error: Exception) -> float:
    """How long the server asks to be left alone; 0 if it does not say, or gives a date."""
    if not isinstance(error, boto.ClientError):
        return 0.0
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    asked = headers.get("retry-after", "")
    return float(asked) if asked.isdigit() else 0.0


def mapped(error: Exception, path: str, url: S3Url) -> CleancutError:
    """What `error` means to an operator; retryable where a later attempt may succeed."""
    where = f"bucket {url.bucket}" + (f" at {url.endpoint}" if url.endpoint else "")
    if isinstance(error, boto.ClientError):
        return _mapped_answer(error, path, where)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return Denied(
            f"no credentials for {where}",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's role",
        )
    if isinstance(error, boto.CredentialRetrievalError | boto.UnauthorizedSSOTokenError):
        return Denied(f"credentials for {where} cannot be had: {error}", "sign in again")
    if isinstance(error, boto.SSLError):
        return Refused(f"TLS to {where} fails: {error}", "set AWS_CA_BUNDLE to its CA's file")
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError):
        return Unavailable(f"{where} does not answer: {error}", "is the endpoint right and up?")
    return Refused(f"{where} cannot be used: {error}", "check region, endpoint and profile")


def _mapped_answer(error: boto.ClientError, path: str, where: str) -> CleancutError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in {"NoSuchKey", "404", "NotFound"}:
        return NotFound(f"the store has no {path}", path=path)
    if code == "NoSuchBucket":
        return Refused(f"{where} does not exist", "create it, or correct the store URL")
    if code in _DENIED:
        return Denied(
            f"{where} refuses our credentials for {path}: {code}",
            "they need Get, Put, Delete on its objects, and ListBucket",
        )
    if code in _FULL or status == 507:
        return Refused(f"no space left in {where}: {code}", "free some, or raise its quota")
    if code in _REGION:
        return Refused(f"{where} is in another region: {code}", "add &region=.. to the store URL")
    if code == "RequestTimeTooSkewed":
        return Refused(f"{where} says that this host's clock is wrong", "correct its time")
    if code in _BUSY or status >= 500:
        return Unavailable(f"{where} fails at {path}: {code or status}", "it may come back")
    return Refused(f"{where} refuses {path}: {error}", "check the store URL")

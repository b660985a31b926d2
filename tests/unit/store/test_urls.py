"""URLs of stores: what they mean, and that wrong ones are refused without showing a secret."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from cleancut.store.urls import CloudUrl, FileUrl, S3Url, parse_store_url


def test_urls() -> None:
    """What a URL means, and that a wrong one is refused with the forms that are right."""
    assert parse_store_url("file:///srv/a%20b") == FileUrl(Path("/srv/a b"))
    full = "s3://b/p/q?endpoint=https://h:9&region=eu&path_style=1"
    assert parse_store_url(full) == S3Url("b", "p/q", "https://h:9", "eu", True)
    kept = (
        "s3://b?profile=ops&ca=/ca.pem&storage_class=STANDARD_IA&sse=aws:kms&kms_key=k"
        "&checksum=SHA256&payload_signing=1"
    )
    assert parse_store_url(kept) == S3Url(
        "b",
        "",
        profile="ops",
        ca="/ca.pem",
        storage_class="STANDARD_IA",
        sse="aws:kms",
        kms_key="k",
        checksum="SHA256",
        payload_signing=True,
    )
    assert parse_store_url("s3://b") == S3Url("b", "")
    azure = "az://c/p?account=a&endpoint=https://a.blob.example&storage_class=Cool&ca=/ca.pem"
    assert parse_store_url(azure) == CloudUrl(
        "az", "c", "p", "a", "https://a.blob.example", "", "/ca.pem", "Cool"
    )
    assert parse_store_url("gs://b/p/q?credentials=/k.json&storage_class=NEARLINE") == CloudUrl(
        "gs", "b", "p/q", credentials="/k.json", storage_class="NEARLINE"
    )
    wrong = [
        "", "/srv", "file://srv", "file:relative", "file:///a?x=1", "s3://", "s3:///p", "ftp://h/p",
        "s3://b?endpoint=h:9", "s3://b?path_style=yes", "s3://b?bucket=c", "s3://k:s@b/p",
        "s3://b/p/../q", "s3://b:9/p", "s3://b/p#f", "file:///a%00b", "s3://[b/p",
        "s3://b?sse=rot13", "s3://b?kms_key=k", "s3://b?checksum=MD4",
        "s3://b?payload_signing=yes", "az://", "az:///p", "gs://b?account=a", "gs://b/p/../q",
        "az://c?storage_class=Archive", "gs://b?storage_class=Hot", "gs://b?endpoint=http://gcs",
        "az://c?endpoint=https://u:p@h", "az://c@a/p", "azure://c/p", "oss://b",
    ]  # fmt: skip
    for url in wrong:
        with pytest.raises(Invalid) as refused:
            parse_store_url(url)
        assert "file:///" in refused.value.hint or "use " in refused.value.hint, url


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match="file://, s3://, az://, gs://"):
        parse_store_url("oss://bucket/prefix")


@pytest.mark.parametrize(
    "url",
    [
        "az://c/p?account=a&account_key=hidden",
        "az://c?sv=2021&sig=hidden",
        "gs://b?token=hidden",
        "s3://b?secret_access_key=hidden",
        "s3://user:hidden@b",
        "az://c?endpoint=https://user:hidden@host",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_store_url(url)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(("url", "extra"), [("az://c?account=a", "azure"), ("gs://b", "gcs")])
def test_a_missing_extra_is_named(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "cleancut.store.cloud", raising=False)
    with pytest.raises(Refused, match=f"needs the extra `{extra}`") as refused:
        open_store(url, SystemClock())
    assert refused.value.hint == f"pip install 'cleancut[{extra}]'"

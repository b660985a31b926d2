"""The request that leaves files out, and the list of files that a segment's part begins with."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.capture.request import (
    MAX_BODY_BYTES,
    in_words,
    is_inside,
    leave_out,
    missing,
    read_manifest,
)
from cleancut.core.primitives.errors import Corrupt

NEWEST = 2**63 - 1


def manifest(segment: str = "s", **files: object) -> bytes:
    return json.dumps(
        {"segment_id": segment, "segment_version": 7, "file_versions": files}
    ).encode()


def test_a_request_has_the_newest_version_of_each_file_that_it_leaves_out() -> None:
    found = leave_out({"a/vectors/x": 3, "b/y": 2, "a/z": 1})
    assert found.files == {"a/vectors/x", "b/y", "a/z"}
    assert json.loads(found.body) == {
        "a": {
            "segment_id": "a",
            "segment_version": NEWEST,
            "file_versions": {"vectors/x": NEWEST, "z": NEWEST},
        },
        "b": {"segment_id": "b", "segment_version": NEWEST, "file_versions": {"y": NEWEST}},
    }
    assert leave_out({}).body == b"{}"


def test_where_not_all_fit_the_smallest_files_are_sent() -> None:
    files = {f"{'s' * 30}{n % 7}/{'d' * 150}/{n}": n for n in range(20_000)}
    found = leave_out(files)
    assert len(found.body) <= MAX_BODY_BYTES < len(found.body) + 300
    least = min(files[path] for path in found.files)
    assert found.files == {path for path in files if files[path] >= least}


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abé"), st.text(min_size=1, max_size=9)).map("/".join),
        st.integers(0, 9),
        max_size=30,
    ),
    st.integers(2, 900),
)
def test_the_limit_is_kept_and_what_the_body_says_is_what_is_left_out(
    files: dict[str, int], limit_bytes: int
) -> None:
    found = leave_out(files, limit_bytes)
    assert len(found.body) <= limit_bytes
    said = {
        f"{segment}/{path}"
        for segment, entry in json.loads(found.body).items()
        for path in entry["file_versions"]
    }
    assert said == found.files <= set(files)


def test_the_list_of_a_segment_is_read_with_what_is_always_sent() -> None:
    data = manifest(**{"id_tracker.mappings": 4, "vectors/chunk_0.mmap": None})
    assert read_manifest(data, "s") == {
        "id_tracker.mappings",
        "vectors/chunk_0.mmap",
        "segment.json",
        "version.info",
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"segment_id": "s"}',
        b'{"segment_id": "s", "file_versions": ["a"]}',
        b"[" * 100_000,
        manifest(segment="t"),
        *(
            manifest(**{path: 1})
            for path in ("", "/etc/passwd", "a/../b", "..", "a//b", "./a", "a/", "a\0b")
        ),
        manifest(**{"x" * 5000: 1}),
    ],
)
def test_a_hostile_list_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        read_manifest(data, "s")


def test_every_listed_file_has_to_be_kept_direct_or_received() -> None:
    listed = {"s": ["a", "b", "c"], "t": ["a"]}
    assert missing(listed, received=["s/a", "x/y"], kept=["s/b"], direct=["s/c", "t/a"]) == []
    assert missing(listed, received=["s/a"], kept=[], direct=["t/b"]) == ["s/b", "s/c", "t/a"]
    assert in_words(["a", "b"]) == "a, b"
    assert in_words(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_paths_that_lead_elsewhere_are_not_inside() -> None:
    assert is_inside("a/b.c")
    assert is_inside("..a")
    assert not is_inside("a/..")
    assert not is_inside("")

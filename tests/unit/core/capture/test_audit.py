"""Audits: what two tars of one shard have to have in common."""

from __future__ import annotations

from cleancut.core.capture.audit import MemberDigest, compare

ONE, OTHER = MemberDigest(10, "a"), MemberDigest(10, "b")
CHUNK = "segments/s1/files/vector_storage/chunk_0.mmap"
SMALL = "segments/s1/files/version.info"
BEHIND = {"wal/open-1": ONE, "newest_clocks.json": ONE, "shard_config.json": ONE}
WHOLE = {CHUNK: ONE, SMALL: ONE} | BEHIND


def test_equal_captures_may_differ_in_their_logs_and_clocks() -> None:
    streamed = WHOLE | {"wal/open-1": OTHER, "newest_clocks.json": OTHER, "wal/open-2": ONE}
    found = compare(WHOLE, streamed)
    assert (found.skipped, found.differences) == ("", ())


def test_a_difference_is_named_by_its_member() -> None:
    without = {path: one for path, one in WHOLE.items() if path != SMALL}
    for captured, streamed, words in (
        (WHOLE, WHOLE | {CHUNK: OTHER}, f"{CHUNK} differs"),
        (WHOLE, WHOLE | {CHUNK: MemberDigest(11, "a")}, f"{CHUNK} differs"),
        (without, WHOLE, f"{SMALL} is only in the stream"),
        (WHOLE, without, f"{SMALL} is only in the capture"),
        (WHOLE, WHOLE | {"shard_config.json": OTHER}, "shard_config.json differs"),
    ):
        assert compare(captured, streamed).in_words() == words


def test_many_differences_are_counted() -> None:
    ours = {f"segments/s1/files/{number}": ONE for number in range(9)}
    found = compare(ours, dict.fromkeys(ours, OTHER))
    assert found.in_words().endswith("and 6 more")


def test_segments_that_an_optimizer_has_exchanged_are_not_compared() -> None:
    streamed = {path.replace("s1", "s2"): OTHER for path in WHOLE}
    found = compare(WHOLE, streamed)
    assert "optimizer" in found.skipped
    assert found.differences == ()

"""Files of settings as editors and generators write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleancut.runtime.toml_files import read_toml


def read(folder: Path, data: bytes) -> object:
    file = folder / "x.toml"
    file.write_bytes(data)
    return read_toml(file)


def test_marks_and_ends_of_lines_of_other_systems_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, b'\xef\xbb\xbfa = "b"\r\n[c]\r\nd = 1\r\n') == {"a": "b", "c": {"d": 1}}


@pytest.mark.parametrize(
    "data",
    [
        b"a = \xff",
        b"a = 1\na = 2",
        b'[notify.x]\nurl-file = "/etc/\\u0000x"',
        b'a = ["b", {c = "\\u0000"}]',
        b"a = " + b"[" * 5000 + b"]" * 5000,
    ],
)
def test_anything_else_says_what_is_wrong(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(tmp_path, data)

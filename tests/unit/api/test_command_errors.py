"""Errors of a command line on stderr, among notices, are read back."""

from __future__ import annotations

from cleancut.api.command_errors import read_command_error

LINE = '{"schema":1,"error":{"code":4,"message":"it is in use","hint":"wait","reason":"REFUSED"}}'


def test_the_error_is_found_among_notices() -> None:
    found = read_command_error(f"backup #1: running\n{LINE}\n".encode())
    assert found is not None
    assert (found.code, found.message, found.hint, found.reason) == (
        4,
        "it is in use",
        "wait",
        "REFUSED",
    )


def test_other_text_is_no_error() -> None:
    assert read_command_error("") is None
    assert read_command_error('{"schema":1}\n{broken\nerror: in words') is None

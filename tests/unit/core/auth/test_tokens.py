"""Bearer tokens: what the file says, and whose a presented one is."""

from __future__ import annotations

import json

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.auth.roles import Role
from cleancut.core.auth.tokens import (
    MAX_TOKENS,
    BearerToken,
    digest_of,
    find_token,
    line_of,
    parse_tokens,
)
from cleancut.core.primitives.errors import Invalid, Unauthenticated

SECRET = "cct_not-a-real-one"
NOW_S = 1_800_000_000.0
OPS = BearerToken("ops", Role.OPERATOR, digest_of(SECRET), NOW_S + 1)


def test_a_line_reads_back_as_it_was_written_and_comments_are_skipped() -> None:
    grafana = BearerToken("grafana", Role.READER, digest_of("other"))
    text = f"# ours\n\n{line_of(OPS)}  # until we know better\n{line_of(grafana)}\n"
    assert parse_tokens(text) == (OPS, grafana)
    assert SECRET not in text


@pytest.mark.parametrize(
    "line",
    [
        f"ops operator {SECRET}",
        "ops operator",
        f"ops root {digest_of(SECRET)}",
        f"Ops! operator {digest_of(SECRET)}",
        f"ops operator {digest_of(SECRET)} tomorrow",
        f"ops operator {digest_of(SECRET)} 2027-01-01",
        f"ops operator {digest_of(SECRET)} 2027-01-01T00:00:00Z more",
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_not_told(line: str) -> None:
    """Somebody may have put the token itself there."""
    with pytest.raises(Invalid) as caught:
        parse_tokens(f"{line_of(OPS)}\n{line}\n")
    assert "line 2" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_no_token_stands_twice_and_there_are_not_too_many() -> None:
    with pytest.raises(Invalid, match="twice"):
        parse_tokens(f"{line_of(OPS)}\nadmin admin {OPS.digest}\n")
    lines = [
        line_of(BearerToken("a", Role.READER, digest_of(str(n)))) for n in range(MAX_TOKENS + 1)
    ]
    with pytest.raises(Invalid, match="at most"):
        parse_tokens("\n".join(lines))


def test_a_token_is_good_until_it_expires_and_only_as_a_whole() -> None:
    tokens = (BearerToken("a", Role.ADMIN, digest_of("another")), OPS)
    assert find_token(tokens, SECRET, NOW_S) is OPS
    with pytest.raises(Unauthenticated, match="expired"):
        find_token(tokens, SECRET, NOW_S + 1)
    for wrong in ("", SECRET[:-1], SECRET + "x", OPS.digest, "x" * 100_000, "\udcff"):
        with pytest.raises(Unauthenticated, match="unknown token"):
            find_token(tokens, wrong, NOW_S)


def test_a_new_token_is_the_one_that_its_line_knows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["token", "new", "--name", "ci", "--role", "operator"]
    assert run([*arguments, "--expires", "90d", "-o", "json"]) == Exit.OK
    made = json.loads(capsys.readouterr().out)["token"]
    (token,) = parse_tokens(made["line"])
    assert find_token([token], made["token"], NOW_S - 90 * 86400) is token
    assert (token.name, token.role) == ("ci", Role.OPERATOR)
    assert token.expires_s is not None
    assert made["token"] not in made["line"]

    assert run([*arguments, "-o", "name"]) == Exit.OK
    told = capsys.readouterr()
    again, line = told.out.strip(), told.err.splitlines()[1]
    assert again != made["token"]
    assert find_token(parse_tokens(line), again, NOW_S).expires_s is None
    assert again not in told.err


def test_a_token_needs_a_name_that_fits_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "new", "--name", "two words", "--role", "reader"]) == Exit.USAGE
    assert "cct_" not in capsys.readouterr().out

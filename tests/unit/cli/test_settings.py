"""Where settings come from, and what a wrong command line is told."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import root, run
from cleancut.cli.offline import store_and_cluster
from cleancut.cli.options import backup_argument
from cleancut.cli.settings import Settings, Verb, parse_duration, settings_of, usual_path
from cleancut.core.primitives.errors import Invalid

CONFIG = 'coordinator = "file:1"\noutput = "yaml"\ncluster = "from-file"\n'


@click.command(cls=Verb)
@click.pass_context
def probe(context: click.Context, /) -> None:
    """Keeps the settings that a verb would see."""
    seen.append(settings_of(context))


seen: list[Settings] = []
outer = click.Group("cleancut", params=root.params, callback=lambda: None, commands=[probe])


def settings(*arguments: str, **env: str) -> Settings:
    seen.clear()
    clean = {f"CLEANCUT_{name}": None for name in ("COORDINATOR", "OUTPUT", "CLUSTER", "STORE")}
    clean |= {"XDG_CONFIG_HOME": "/nonexistent", "CLEANCUT_CONFIG": None, **env}
    result = CliRunner().invoke(outer, arguments, env=clean, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(CONFIG)
    config = ("--config", str(file))
    assert settings("probe").output == "table"
    assert settings(*config, "probe").output == "yaml"
    assert settings(*config, "probe", CLEANCUT_OUTPUT="json").output == "json"
    assert settings(*config, "-o", "name", "probe", CLEANCUT_OUTPUT="json").output == "name"
    assert settings(*config, "probe").addresses == ["file:1"]


def test_shared_flags_are_taken_after_the_verb_too_and_the_later_one_wins() -> None:
    assert settings("probe", "-o", "json", "--coordinator", "a:1").addresses == ["a:1"]
    assert settings("-o", "yaml", "probe", "-o", "json").output == "json"
    assert settings("-o", "yaml", "probe").output == "yaml"


def test_a_coordinator_without_a_port_has_the_usual_one() -> None:
    given = "a, [::1],b:1, [::2]:2"
    expected = ["a:7400", "[::1]:7400", "b:1", "[::2]:2"]
    assert settings("--coordinator", given, "probe").addresses == expected


def test_the_file_at_its_usual_place_is_read_if_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "cleancut"
    folder.mkdir()
    assert settings("probe", XDG_CONFIG_HOME=str(tmp_path)).cluster is None
    (folder / "config.toml").write_text(CONFIG)
    assert settings("probe", XDG_CONFIG_HOME=str(tmp_path)).cluster == "from-file"


@pytest.mark.parametrize("text", ['colour = "red"', "not toml", 'output = "xml"'])
def test_a_file_that_says_nonsense_is_a_usage_error(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    assert run(["--config", str(file), "version"]) == Exit.USAGE
    assert capsys.readouterr().out == ""


def test_a_flag_beats_the_environment() -> None:
    """A store that a flag names is read, whatever coordinator the environment names."""
    environment = {"CLEANCUT_COORDINATOR": "a:1", "CLEANCUT_CLUSTER": "main"}
    assert settings("--store", "file:///b", "probe", **environment).offline
    assert settings("probe", "--store", "file:///b", **environment).offline
    both = {**environment, "CLEANCUT_STORE": "file:///b"}
    assert not settings("probe", **both).offline
    assert not settings("--coordinator", "b:1", "probe", **both).offline
    assert settings("--coordinator", "b:1", "probe", **both).expected_cluster == ""
    assert settings("--cluster", "x", "probe", **both).expected_cluster == "x"
    assert settings("probe", **both).expected_cluster == "main"


def test_a_store_for_a_command_of_coordinators_is_refused() -> None:
    with pytest.raises(Invalid, match="nothing was done"):
        settings(
            "--store", "file:///b", "probe", CLEANCUT_COORDINATOR="a:1"
        ).check_asks_coordinator()
    settings("probe", CLEANCUT_STORE="file:///b").check_asks_coordinator()


def test_a_store_is_read_alone_only_if_no_coordinator_is_named() -> None:
    store = ("--store", "file:///b", "--cluster", "main")
    assert settings(*store, "probe").offline
    assert store_and_cluster(settings(*store, "probe")) == ("file:///b", "main")
    with pytest.raises(Invalid, match="two places"):
        settings(*store, "--coordinator", "a:1", "probe").offline
    assert not settings("probe").offline
    with pytest.raises(Invalid):
        store_and_cluster(settings("--cluster", "main", "probe"))
    with pytest.raises(Invalid):
        store_and_cluster(settings("--store", "file:///b", "--cluster", "No Name", "probe"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("1h30m", 5400),
        ("1d12h", 129600),
        ("24h", 86400),
        ("7d", 604800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "10 m", "1w", "inf", "1h30", "30m1h", "h"])
def test_durations_that_cannot_be_read(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_duration(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["backup", "create", "--attempts", "0"],
        ["backup", "create", "--require", "luck"],
        ["backup", "show"],
        ["restore", "start"],
        ["nonsense"],
        ["backup", "list", "-o", "xml"],
        ["--coordinator", "http://nowhere:7400", "status"],
        ["--ca", "only-this", "status"],
    ],
)
def test_a_wrong_command_line_exits_2_and_leaves_stdout_alone(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err


def test_version_needs_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "-o", "name"]) == Exit.OK
    assert capsys.readouterr().out.strip().count(".") == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_program_back(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["completion", shell]) == Exit.OK
    assert "_CLEANCUT_COMPLETE" in capsys.readouterr().out


def test_completion_itself_knows_the_nouns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_CLEANCUT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "cleancut backup cr")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        run([])
    assert "create" in capsys.readouterr().out


def test_without_a_home_directory_there_is_no_file_and_no_traceback() -> None:
    """A container may run with any user id, without HOME and without an entry in passwd."""
    assert usual_path({}) is None
    assert usual_path({"HOME": "/h"}) == Path("/h/.config/cleancut/config.toml")
    assert settings("probe", XDG_CONFIG_HOME="", HOME="").cluster is None


def test_a_backup_is_named_by_its_number_with_or_without_the_sign() -> None:
    named = click.Group("named")

    @named.command()
    @backup_argument
    def show(backup_id: str) -> None:
        click.echo(backup_id)

    for text in ("17", "#17"):
        assert CliRunner().invoke(named, ["show", text]).output == "17\n"
    assert CliRunner().invoke(named, ["show", "#"]).exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["backup", "hold", "1", "--reason", "x", "--for", "0s"], "'0s' is too short"),
        (["token", "new", "--name", "a", "--role", "reader", "--expires", "0"], "too short"),
        (["token", "new", "--name", "a", "--role", "reader", "--expires", "99999d"], "too long"),
        (["backup", "show", "\udcff"], "not valid UTF-8"),
        (["--store", "s3://b?regon=x", "--cluster", "c", "key", "list"], "did you mean `region`?"),
        (["--store", "s3://", "--cluster", "c", "key", "list"], "names no bucket"),
        (["--store", "ftp://b", "--cluster", "c", "key", "list"], "of none of the schemes"),
        (["key", "list"], "needs --store URL"),
    ],
)
def test_an_odd_value_is_refused_with_the_reason(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == Exit.USAGE
    assert text in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--etcd", "x"], "the port is missing"),
        (["--etcd", "x:1", "--spill-size", "8Gx"], "--spill-size '8Gx' is not a quantity"),
        (["--etcd", "x:1", "--memory", "lots"], "--memory 'lots' is not a quantity"),
        (["--etcd", "x:1", "--image", "a b"], "--image 'a b' is not an image"),
    ],
)
def test_agent_values_that_a_pod_would_refuse_are_refused_here(
    flags: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--store", "s3://b/p", "--cluster", "c", "agent", "values", *flags]) == Exit.USAGE
    assert text in capsys.readouterr().err


def test_a_no_is_not_an_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said that nothing was done, and the exit code is that of a refusal."""
    ours, theirs = pty.openpty()
    before = sys.stdin
    try:
        os.write(ours, b"n\n")
        with os.fdopen(theirs, "r") as sys.stdin:
            assert run(["backup", "delete", "7"]) == Exit.REFUSED
    finally:
        sys.stdin = before
        os.close(ours)
    assert "not confirmed; nothing was done" in capsys.readouterr().err

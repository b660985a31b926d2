"""What a settings file may hold: misspelt names are refused, with the name that was meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

import cleancut_agent.main
import cleancut_coordinator.main
from cleancut import __version__
from cleancut.cli.main import root

NEEDED = """
cluster = "c"
etcd = "127.0.0.1:1"
store = "file:///nowhere"
qdrant-url = "http://127.0.0.1:1"
"""


@pytest.fixture(autouse=True)
def logging_of_the_process() -> Iterator[None]:
    """The programs configure it; other tests need it as it was."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def check(folder: Path, text: str) -> Result:
    """`--check-config` of a coordinator's file."""
    file = folder / "settings.toml"
    file.write_text(NEEDED + text)
    arguments = ["--config", str(file), "--check-config"]
    return CliRunner().invoke(cleancut_coordinator.main.cli, arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[retentoin]\nkeep-last = 3", "`[retentoin]`: did you mean `[retention]`?"),
        ("[role]", "`[role]`: did you mean `[roles]`?"),
        ("[role]\nadmin = ['dns:a']", "`[role]`: did you mean `[roles]`?"),
        ("[[fense]]\ncollection = 'a'", "`[[fense]]`: did you mean `[[fence]]`?"),
        ("[fense]\ncollection = 'a'", "`[fense]`: did you mean `[[fence]]`?"),
        (
            "[schedul.nightly]\ncron = '@daily'",
            "`[schedul.nightly]`: did you mean `[schedule.nightly]`?",
        ),
        ("[schedul]\ncron = '@daily'", "`[schedul]`: did you mean `[schedule.NAME]`?"),
        ("sweep-evry = 10", "`sweep-evry`: did you mean `gc-every`?"),
        ("gc_evry = 10", "`gc_evry`: did you mean `gc-every`?"),
        ("fence-budgett = 3", "`fence-budgett`: did you mean `fence-budget`?"),
        ("stay = true", "unknown key `stay`"),
        ("config = 'x'", "unknown key `config`"),
        ("check-config = true", "unknown key `check-config`"),
        ("[zebra]", "unknown table `[zebra]`"),
        ("[stor.second]\nurl = 'file:///x'", "`[stor.second]`: did you mean `[store.second]`?"),
        ("retention = 3", "`retention` is a table: it is written `[retention]`"),
        ("[gc-every]\nhours = 1", "`[gc-every]` is a key, not a table"),
        ("gc-every = 1\ngc_every = 2", "`gc_every` is given twice"),
        (
            "[retention]\nkeep-dayly = 3",
            "`keep-dayly` in `[retention]`: did you mean `keep-daily`?",
        ),
        (
            "[retention]\nkeep_dayly = 3",
            "`keep_dayly` in `[retention]`: did you mean `keep-daily`?",
        ),
        ("[retention]\nkeep-last = 3\nkeep_last = 4", "are the same key"),
        ("[retention]\nkeep-last = 'x'", "`keep-last`: Expected a whole number"),
        (
            "[schedule.n]\ncron = '@daily'\nstart-witin = 3",
            "`start-witin` in `[schedule.n]`: did you mean `start-within`?",
        ),
        (
            "[schedule.n]\ncron = '@daily'\n[schedule.n.retentoin]\nkeep-last = 3",
            "`[schedule.n.retentoin]`: did you mean `[schedule.n.retention]`?",
        ),
        (
            "[schedule.n]\ncron = '@daily'\n[schedule.n.retention]\nkeep-lst = 3",
            "`keep-lst` in `[schedule.n.retention]`: did you mean `keep-last`?",
        ),
        ("[schedule]\ncron = '@daily'", "a schedule is written [schedule.NAME]"),
        (
            "[[fence]]\ncolection = 'a'\nalias = 'w'",
            "`colection` in `[[fence]]`: did you mean `collection`?",
        ),
        ("[fence]\ncollection = 'a'\nalias = 'w'", "it is written [[fence]]"),
        ("[roles]\nreadr = ['dns:a']", "`readr` in `[roles]`: did you mean `reader`?"),
        (
            "[schedule.n]\ncron = '@daily'\nstart-within = '2 hours'",
            "`start-within` in `[schedule.n]`: '2 hours' is not a duration",
        ),
        ("gc-every = '2x'", "'2x' is not a duration"),
        ("gc-every = true", "write a number"),
        ("fence-budget = '2h'", "is not in the range"),
        ("[schedule.n]\ncron = '0 30 2 * * *'", "it has six fields"),
        ("[schedule.n]\ncron = '@dayly'", "unknown name, use one of @hourly"),
    ],
)
def test_what_is_not_known_is_refused_by_its_name(text: str, expected: str, tmp_path: Path) -> None:
    ran = check(tmp_path, text)
    assert expected in ran.output
    assert ran.exit_code == 2
    assert "OK" not in ran.output


def test_all_unknown_names_are_reported_at_once(tmp_path: Path) -> None:
    ran = check(tmp_path, "gc-evry = 1\n[retentoin]\n[role]\n")
    assert all(name in ran.output for name in ("`gc-evry`", "`[retentoin]`", "`[role]`"))


def test_a_correct_file_is_ok_with_durations_in_words(tmp_path: Path) -> None:
    text = """
gc-every = "10m"
garbage_grace = 3600
fence-budget = "3s"
cut-bound = "1m"
shard-bound = 0.2
fence = []
[retention]
keep-last = 3
[schedule.nightly]
cron = "@daily"
jitter = "90s"
start-within = "2h"
"""
    ran = check(tmp_path, text)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith("OK: schedules: nightly (backup at '@daily')")


def test_a_wrong_address_or_store_is_found_by_the_check(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    for old, new in (("file:///nowhere", "ftp://x"), ("127.0.0.1:1", "etcd"), ('"c"', '"a/b"')):
        file.write_text(NEEDED.replace(old, new, 1))
        arguments = ["--config", str(file), "--check-config"]
        ran = CliRunner().invoke(cleancut_coordinator.main.cli, arguments)
        assert ran.exit_code == 2, (new, ran.output)


def test_an_agents_file_has_no_tables(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    for text in ("[retention]\nkeep-last = 3\n", 'spil-dir = "/x"\n', "[[fence]]\n"):
        file.write_text(text)
        ran = CliRunner().invoke(cleancut_agent.main.cli, ["--config", str(file)])
        assert ran.exit_code == 2
        assert "unknown" in ran.output
    assert (
        "did you mean `spill-dir`?"
        in CliRunner()
        .invoke(cleancut_agent.main.cli, ["--config", str(written(file, 'spil-dir = "/x"\n'))])
        .output
    )


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_a_start_logs_what_was_loaded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Once, before anything is contacted: this start fails at the password's file."""
    text = 'etcd-user = "u"\netcd-password-file = "/nowhere/file"\n[retention]\nkeep-last = 3\n'
    file = written(tmp_path / "settings.toml", NEEDED + text)
    arguments = ["--config", str(file), "--gc-every", "1h"]
    with pytest.raises(SystemExit):
        cleancut_coordinator.main.cli(arguments)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line[0] == "{"]
    (found,) = [line for line in lines if line["event"] == "settings loaded"]
    assert found["file"] == str(file)
    assert found["tables"] == ["retention"]
    assert found["from_flags"] == ["gc-every"]
    assert "etcd-user" in found["from_file"]
    assert "backups expire" in found["rules"]


@pytest.mark.parametrize("program", [root, cleancut_agent.main.cli, cleancut_coordinator.main.cli])
def test_every_program_says_its_version(program: object) -> None:
    ran = CliRunner().invoke(program, ["--version"])  # type: ignore[arg-type]
    assert ran.exit_code == 0
    assert ran.output.strip().endswith(f" {__version__}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gc-every = [1]", "`gc-every` is [1]: write a number"),
        ("gc-every = true", "`gc-every` is True: write a number"),
        ("gc-every = nan", "`gc-every` is nan: write a number"),
        ("http = 7401", "`http` is 7401: write text in quotes"),
        ('insecure = "api"', "`insecure` is 'api': write a list of texts"),
        ("tokens-file = 5", "`tokens-file` is 5: write text in quotes"),
        ('log-level = "loud"', "'loud' is not one of 'debug', 'info', 'warning', 'error'"),
        ('advertise = "nope"', "invalid address 'nope': the port is missing"),
        ('gc-every = "1h30"', "'1h30' is not a duration: write 90s, 10m, 24h, 7d or 1h30m"),
        ('[retention]\nkeep-last = "3"', "`keep-last`: Expected a whole number, got text"),
        ("[retention]\nkeep-last = 5000000000", "at most 1000000 is possible"),
        ("[retention]\nkeep-daily = -1", "keep-daily cannot be negative: -1"),
        ("[retention]\nmax-age-days = inf", "`max-age-days` in `[retention]` is not a finite"),
        (
            '[schedule.n]\ncron = "@daily"\ndo = "backups"',
            "`do`: Invalid enum value 'backups', use one of backup, verify, drill",
        ),
        (
            '[schedule.n]\ncron = "@daily"\ncollections = ["a"]\nexclude = ["a"]',
            "collection 'a' is named and excluded",
        ),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_with_what_to_write(
    text: str, expected: str, tmp_path: Path
) -> None:
    result = check(tmp_path, text)
    assert result.exit_code == 2, result.output
    assert expected in " ".join(result.output.split())


def test_values_of_wrong_types_are_refused_by_agent_and_command_line(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(NEEDED + 'spill-dir = 5\nstay = "yes"')
    result = CliRunner().invoke(cleancut_agent.main.cli, ["--config", str(file)])
    assert result.exit_code == 2
    shown = " ".join(result.output.split())
    assert "`spill-dir` is 5: write text in quotes" in shown
    assert "`stay` is 'yes': write true or false" in shown
    file.write_text("coordinater = 5\n")
    result = CliRunner().invoke(root, ["--config", str(file), "version"])
    assert "coordinater: did you mean `coordinator`?" in " ".join(result.output.split())
    file.write_text("coordinator = 5\n")
    result = CliRunner().invoke(root, ["--config", str(file), "version"])
    assert "`coordinator` is 5: write text in quotes" in " ".join(result.output.split())


STORES = """
[store]
url = "file:///nowhere"
[store.second]
url = "s3://away/qdrant?profile=second"
upload-rate = "50MiB"
[store.second.retention]
keep-daily = 90
[schedule.away]
do = "copy"
to = "second"
cron = "30 3 * * *"
"""


def check_stores(folder: Path, text: str) -> Result:
    """The main store is named in its table, since TOML has no key of the same name."""
    file = folder / "settings.toml"
    file.write_text(NEEDED.replace('store = "file:///nowhere"\n', "") + text)
    return CliRunner().invoke(
        cleancut_coordinator.main.cli, ["--config", str(file), "--check-config"]
    )


def test_stores_of_copies_are_named_next_to_the_main_one(tmp_path: Path) -> None:
    done = check_stores(tmp_path, STORES)
    assert done.exit_code == 0, done.output
    assert "stores of copies: second" in done.output


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('to = "second"\n', "", "a copy needs the store that it goes to"),
        ('to = "second"', 'to = "secnd"', "there is no [store.secnd]: did you mean `second`?"),
        ('"50MiB"', '"many"', "`upload-rate` in `[store.second]`: 'many' is not a size"),
        ("upload-rate", "upload-rat", "did you mean `upload-rate`?"),
        ("s3://away/qdrant?profile=second", "ftp://away", "of none of the schemes"),
        ('cron = "30 3 * * *"', 'cron = "30 3 * * *"\nshards = 2', "does not apply to a copy"),
        ("[store]\nurl", "[store]\nurll", "missing option --store"),
    ],
)
def test_faults_of_stores_are_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    done = check_stores(tmp_path, STORES.replace(old, new))
    assert done.exit_code != 0
    assert expected in " ".join((done.output + done.stderr).split())

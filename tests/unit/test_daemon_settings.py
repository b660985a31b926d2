"""What the programs refuse to start with, and where the audit goes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner

from cleancut.core.auth.roles import Role
from cleancut.core.primitives.errors import Denied, Invalid
from cleancut.daemon_settings import Shared, common_options, config_option, load_file, shared_of
from cleancut.qdrant.http import check_key_line
from cleancut.rpc.audit import FileAudit
from cleancut.runtime.clock import SystemClock
from cleancut_coordinator.api.listen import open_api, read_roles
from tests.support.api_callers import secret_of, token_line, write_tokens
from tests.support.certificates import Authority


def shared(**given: Any) -> Shared:
    nothing = dict.fromkeys(Shared.__dataclass_fields__)
    base = {"cluster": "c", "etcd": "127.0.0.1:2379", "etcd_user": "", "insecure": ()}
    return Shared(**{**nothing, **base, **given})


def flags(**given: Any) -> dict[str, Any]:
    names = ("grpc_ca", "grpc_cert", "grpc_key", "tokens_file", "audit_log")
    return {**dict.fromkeys(names), "grpc": "127.0.0.1:7400", **given}


def logger(file: io.StringIO) -> Any:
    """One of its own: the process's stays as it is."""
    return structlog.wrap_logger(
        structlog.PrintLogger(file),
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )


def roles_of(folder: Path, text: str) -> dict[str, Role]:
    file = folder / "settings.toml"
    file.write_text(text)
    context = click.Context(click.Command("x"))
    load_file(context, click.Option(["--config"]), file)
    return read_roles(context)


def test_the_settings_file_names_certificates_by_role(tmp_path: Path) -> None:
    text = '[roles]\nreader = ["dns:Grafana.example"]\nadmin = ["spiffe://prod/ops"]\n'
    assert roles_of(tmp_path, text) == {
        "dns:grafana.example": Role.READER,
        "spiffe://prod/ops": Role.ADMIN,
    }
    assert roles_of(tmp_path, 'cluster = "c"\n') == {}


@pytest.mark.parametrize(
    "text",
    [
        '[roles]\nroot = ["dns:a"]\n',
        '[roles]\nreader = "dns:a"\n',
        '[roles]\nreader = ["a"]\n',
        '[roles]\nreader = ["dns:a"]\nadmin = ["dns:A"]\n',
        "[roles]\nreader = []\n",
        '[[roles]]\nreader = ["dns:a"]\n',
    ],
)
def test_roles_that_cannot_be_meant_are_invalid(text: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        roles_of(tmp_path, text)


def test_what_would_let_in_everybody_or_nobody_is_invalid(tmp_path: Path) -> None:
    log = logger(io.StringIO())
    pair = {"grpc_cert": tmp_path / "c", "grpc_key": tmp_path / "k"}
    some = {"dns:a": Role.READER}
    for given, roles in (
        (pair, {}),  # TLS, and nobody is asked who they are
        ({"grpc_ca": tmp_path / "ca"}, {}),
        ({}, some),  # no certificate will ever be seen
        (pair | {"tokens_file": write_tokens(tmp_path / "t", "x")}, {}),
        ({"audit_log": tmp_path / "missing" / "audit"}, {}),
    ):
        with pytest.raises(Invalid):
            open_api(shared(), flags(**given), roles, log)
    with pytest.raises(Denied):
        open_api(shared(), flags(tokens_file=tmp_path / "none"), {}, log)


def test_who_may_what_is_said_at_the_start(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    cert, key = ours.issue("api")
    tls = {"grpc_ca": ours.ca, "grpc_cert": cert, "grpc_key": key}
    tokens = write_tokens(tmp_path / "tokens", token_line("a", Role.ADMIN))

    def said(**given: Any) -> str:
        heard = io.StringIO()
        listen = open_api(shared(insecure=("api",)), flags(**given), {}, logger(heard))
        assert listen.allow_plaintext
        return heard.getvalue()

    assert "every process of this host is an admin" in said()
    assert "every certificate of the CA is an admin" in said(**tls)
    assert "by role" in said(**tls, tokens_file=tokens)
    assert "in the clear" in said(grpc="0.0.0.0:7400", tokens_file=tokens)


def test_secrets_cross_no_network_in_the_clear(tmp_path: Path) -> None:
    """Unless somebody says of which connection they may."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    clock = SystemClock()
    login = {"etcd_user": "agent", "etcd_password_file": secret}
    shared(**login).open_etcd(clock)
    far = {"etcd": "127.0.0.1:2379,etcd-1:2379", **login}
    with pytest.raises(Invalid, match="etcd in the clear"):
        shared(**far).open_etcd(clock)
    shared(**far, insecure=("etcd",)).open_etcd(clock)
    with pytest.raises(Invalid, match="come together"):
        shared(etcd_user="agent").open_etcd(clock)

    for url in ("http://127.0.0.1:6333", "http://localhost:6333", "https://qdrant-0:6333"):
        check_key_line(url)
    with pytest.raises(Invalid, match="qdrant-0"):
        shared(qdrant_api_key_file=secret).open_qdrant("http://qdrant-0:6333")
    shared(qdrant_api_key_file=secret, insecure=("qdrant",)).open_qdrant("http://qdrant-0:6333")
    shared().open_qdrant("http://qdrant-0:6333")
    with pytest.raises(Denied):
        shared(qdrant_api_key_file=tmp_path / "none").open_qdrant("http://127.0.0.1:6333")


def test_an_audit_file_is_appended_to_and_made_anew_once_it_was_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"before\n")
    audit = FileAudit(path)
    audit.write(b"one\n")
    path.rename(tmp_path / "audit.log.1")
    audit.write(b"two\n")
    assert (tmp_path / "audit.log.1").read_bytes() == b"before\none\n"
    assert path.read_bytes() == b"two\n"
    assert path.stat().st_mode & 0o777 == 0o600

    path.unlink()
    path.mkdir()
    audit.write(b'{"event":"audit"}\n')
    problem, line = capsys.readouterr().err.splitlines()
    assert json.loads(problem)["event"] == "audit_unwritten"
    assert line == '{"event":"audit"}', "it is not lost"
    audit.close()
    assert secret_of("a") not in problem


def test_what_may_be_insecure_is_named_one_by_one(tmp_path: Path) -> None:
    """By flags, by a list in the environment, or in the file; and nothing else is taken."""

    @click.command(context_settings={"auto_envvar_prefix": "CLEANCUT"})
    @config_option()
    @common_options
    def program(**given: Any) -> None:
        click.echo(",".join(shared_of(given).insecure))

    runner, needed = CliRunner(), ["--cluster", "c", "--etcd", "e:1", "--store", "file:///s"]
    file = tmp_path / "c.toml"
    file.write_text('insecure = ["etcd"]\n')
    for arguments, env, expected in (
        ([], {}, ""),
        (["--insecure", "api", "--insecure", "qdrant"], {}, "api,qdrant"),
        ([], {"CLEANCUT_INSECURE": "etcd qdrant"}, "etcd,qdrant"),
        (["--config", str(file)], {}, "etcd"),
    ):
        ran = runner.invoke(program, [*arguments, *needed], env=env)
        assert ran.output.strip() == expected, ran.output
    assert runner.invoke(program, ["--insecure", "all", *needed]).exit_code == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"store": "ftp://b"}, "of none of the schemes"),
        ({"cluster": "No Name"}, "not a valid name"),
        ({"etcd": "h"}, "the port is missing"),
        ({"http": "7401"}, "the port is missing"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_contacted(
    given: dict[str, str], words: str
) -> None:
    right = {"store": "file:///s", "http": "127.0.0.1:0"}
    shared(**right).check()
    with pytest.raises(Invalid, match=words):
        shared(**{**right, **given}).check()

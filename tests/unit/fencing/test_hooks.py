"""What a coordinator's file may say of fences; what a hook may be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import pytest

from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.fence import Fence, FenceRule, FenceSettings, Hook
from cleancut.daemon_settings import load_file, read_fences
from cleancut.fencing.hooks import call_hook, check_hook

BY_HOOK = 'collection = "wiki"\npause = "https://w/p"\nresume = "https://w/r"\n'


def settings(folder: Path, text: str) -> FenceSettings:
    """As the coordinator reads them from a file with this text."""
    file = folder / "coordinator.toml"
    file.write_text(text)
    context = click.Context(click.Command("coordinator"))
    load_file(context, click.Option(["--config"]), file)
    assert "fence" not in (context.default_map or {})
    return read_fences(context, 2.5)


def test_rules_are_read_from_tables(tmp_path: Path) -> None:
    by_alias = 'collection = "docs"\nalias = "docs-w"\n'
    by_hook = f'{BY_HOOK}token-file = "/run/token"\n'
    read = settings(tmp_path, f'store = "s"\n[[fence]]\n{by_alias}[[fence]]\n{by_hook}')
    assert read.budget_s == 2.5
    assert read.rules == (
        FenceRule(collection="docs", alias="docs-w"),
        FenceRule(
            collection="wiki",
            pause="https://w/p",
            resume="https://w/r",
            token_file="/run/token",
        ),
    )
    assert settings(tmp_path, 'store = "file:///s"\n').rules == ()


@pytest.mark.parametrize(
    "table",
    [
        'alias = "docs-w"',
        'collection = "docs"',
        'collection = "docs"\nalias = "a"\nseconds = 3',
        'collection = 3\nalias = "a"',
        'collection = "docs"\nalias = "a@fence-7"',
        'collection = "docs"\npause = "https://w/p"',
        'collection = "docs"\npause = "ftp://w/p"\nresume = "https://w/r"',
    ],
)
def test_what_means_nothing_is_refused_at_the_start(table: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        settings(tmp_path, f"[[fence]]\n{table}\n")


@pytest.mark.parametrize(
    ("url", "token", "allowed"),
    [
        ("https://writer/pause", "/t", True),
        ("http://writer/pause", "", True),
        ("http://writer/pause", "/t", False),
        ("http://127.0.0.1:9/pause", "/t", True),
        ("http://localhost/pause", "/t", True),
        ("https://user:secret@writer/pause", "", False),
        ("writer/pause", "", False),
        ("file:///etc/passwd", "", False),
        ("http://[::1/pause", "", False),
        ("https://writer:99999999/pause", "", False),
    ],
)
def test_a_token_goes_over_no_open_line(url: str, token: str, allowed: bool) -> None:
    if allowed:
        check_hook(url, url, token)
        return
    with pytest.raises(Invalid):
        check_hook(url, url, token)


@pytest.mark.parametrize("token", [b"\xff\xfe", b"a\nb", b"", b"\x00"])
def test_a_token_that_is_none_ends_no_coordinator(token: bytes, tmp_path: Path) -> None:
    """Each next leader would call the hook as well, to lift the fence, and end."""
    file = tmp_path / "token"
    file.write_bytes(token)
    url = "http://127.0.0.1:1/p"
    hook = Hook(collections=("docs",), pause=url, resume=url, token_file=str(file))
    fence = Fence(epoch=Epoch(7), budget_s=2.0, hooks=(hook,))
    for action in ("pause", "resume"):
        with pytest.raises(CleancutError, match="token"):
            asyncio.run(call_hook(hook, action, fence, 5.0))  # type: ignore[arg-type]

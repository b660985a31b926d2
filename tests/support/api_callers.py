"""Callers of a real API on loopback: tokens, certificates, and what the audit says of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from cleancut.core.auth.roles import Role
from cleancut.core.auth.tokens import BearerToken, digest_of, line_of
from cleancut.runtime.tls import Tls
from tests.support.certificates import Authority

LIMIT_S = 30


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """On a loop of its own, bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_S):
            await scenario

    asyncio.run(bounded())


class Lines:
    """An audit that keeps what it is told."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.raw.append(line)

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw]


def secret_of(name: str) -> str:
    return f"cct_secret-of-{name}"


def token_line(name: str, role: Role, expires_s: float | None = None) -> str:
    return line_of(BearerToken(name, role, digest_of(secret_of(name)), expires_s))


def write_tokens(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def token_file(folder: Path, name: str) -> Path:
    """A client's file with the token of that name."""
    path = folder / f"{name}.token"
    path.write_text(secret_of(name) + "\n")
    return path


def authority(folder: Path) -> Authority:
    folder.mkdir()
    return Authority(folder)


def tls_with(ours: Authority, files: tuple[Path, Path] | None = None) -> Tls:
    return Tls(ours.ca, *(files or ()))

"""Where the user keeps store keys: a file, a command, the environment."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

from cleancut.core.format.store_keys import StoreKey, parse_store_keys
from cleancut.core.primitives.errors import Invalid, Refused

ENVIRONMENT = "CLEANCUT_STORE_KEY"
COMMAND_LIMIT_S = 30.0
MAX_KEY_FILE_BYTES = 64 * 1024
_ONE = "give one of --store-key-file, --store-key-command and " + ENVIRONMENT


class KeySource(NamedTuple):
    """Where the user keeps the store keys. Nothing given: objects are not encrypted.
    `from_environment`: the environment may hold them; not for a second store."""

    file: Path | None = None
    command: str | None = None
    from_environment: bool = True

    def read(self) -> tuple[StoreKey, ...]:
        """The keys; the first is the one that new data keys are for. Blocking.

        Limits: a command has 30 s, and runs without a shell.
        Raises: Invalid (more than one source, or no key), Refused (cannot be read).
        """
        secret = os.environ.get(ENVIRONMENT, "") if self.from_environment else ""
        given = [source for source in (self.file, self.command, secret) if source]
        if len(given) > 1:
            raise Invalid("there is more than one source of store keys", _ONE)
        if self.file:
            return parse_store_keys(_read(self.file))
        if self.command:
            return parse_store_keys(_asked(self.command))
        return parse_store_keys(secret) if secret else ()

    def flags(self) -> list[str]:
        """Those that tell another process of it."""
        flags = ["--store-key-file", str(self.file)] if self.file else []
        return flags + (["--store-key-command", self.command] if self.command else [])


NO_KEYS = KeySource()


def _read(file: Path) -> str:
    try:
        with file.open("rb") as source:
            return source.read(MAX_KEY_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read the store key: {error}", "check the file") from error


def _asked(command: str) -> str:
    """What it prints. Nothing of that, nor of what it says on stderr, goes anywhere else."""
    try:
        words = shlex.split(command)
        done = subprocess.run(words, capture_output=True, timeout=COMMAND_LIMIT_S, check=True)
        return done.stdout.decode()
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        code = getattr(error, "returncode", "")
        why = f"it ended with {code}" if code else type(error).__name__
        raise Refused(
            f"the command that prints the store key failed: {why}", "run it by hand"
        ) from None

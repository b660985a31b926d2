"""Start of cleancut-agent: segments of the local peer's logs are held before the rest is loaded."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cleancut_agent.capture.handles import raise_file_limit
from cleancut_agent.wal.segment_hold import hold_segments

_STORAGE, _CONFIG = "qdrant-storage", "config"


def storage_of(arguments: Sequence[str], environment: Mapping[str, str]) -> Path | None:
    """The data directory that the command line, the environment or the settings file names; None:
    none that can be read. What is wrong with them is said once they are read whole."""
    found = _given(_STORAGE, arguments, environment)
    config = _given(_CONFIG, arguments, environment)
    if not found and config:
        try:
            found = tomllib.loads(Path(config).read_text()).get(_STORAGE, "")
        except (OSError, ValueError):
            return None
    return Path(found) if isinstance(found, str) and found else None


def _given(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    flag = f"--{name}"
    for at, word in enumerate(arguments):
        if word == flag:
            return next(iter(arguments[at + 1 : at + 2]), "")
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return environment.get(f"CLEANCUT_{name.upper().replace('-', '_')}", "")


def main() -> None:
    """Entry point of the program."""
    storage = storage_of(sys.argv[1:], os.environ)
    if storage is not None and not {"--help", "--version"} & {*sys.argv[1:]}:
        hold_segments(storage, raise_file_limit())
    from cleancut_agent.main import main as run

    run()


if __name__ == "__main__":
    main()

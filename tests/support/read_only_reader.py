"""A process without any rights, to which a directory is mounted read-only, as an agent's container
has it: it selects segment files, waits for a line, and checks them.

Usage, as root in a mount namespace of its own: python -m tests.support.read_only_reader DIRECTORY
It prints the mount's options and what it selected, then what is not proven, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cleancut_agent.capture.direct_files import DirectFile
from cleancut_agent.capture.handles import Handles
from cleancut_agent.capture.segment_files import SegmentFiles
from tests.support.segment_dirs import later_ns

_USER = 61234


def main() -> None:
    directory = Path(sys.argv[1])
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", directory, directory], check=True)
    os.chdir(directory)
    os.setgroups([])
    os.setresgid(_USER, _USER, _USER)
    os.setresuid(_USER, _USER, _USER)
    with SegmentFiles(Path(), Handles(100)) as files:
        warmed = files.warm()
        with files.select({}, later_ns()) as selection:
            say([warmed, sorted(selection.direct), "ro" in files.mount.options])
            sys.stdin.readline()
            read = {
                path: len(b"".join(DirectFile(one).pieces()))
                for path, one in selection.direct.items()
            }
            say([sorted(selection.check()), read])


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

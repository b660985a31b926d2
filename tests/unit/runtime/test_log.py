"""Lines of the log: JSON or text with the same fields, and a trouble that lasts is told once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import cast

from structlog.testing import CapturingLogger

from cleancut.runtime.log import Logger, Trouble

_PROGRAM = """
import sys
from cleancut.runtime.log import configure_logging
log = configure_logging("info", "agent", sys.argv[1])
log.debug("left out")
log.info("effect", epoch=7, cause="", path="a b", odd='1\\n2', shards=[1, 2])
try:
    raise ValueError("broken")
except ValueError:
    log.exception("a fault")
"""


def logged(form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, form], capture_output=True, text=True, check=True
    )
    assert not done.stdout
    return done.stderr.splitlines()


def test_text_has_the_fields_of_json_in_one_line_each() -> None:
    first, fault = (json.loads(line) for line in logged("json"))
    assert list(first) >= ["component", "epoch"]
    text, text_fault = logged("text")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"
    assert re.fullmatch(
        rf"{stamp} info agent effect epoch=7 cause='' path='a b' odd='1\\n2' shards='\[1, 2\]'",
        text,
    )
    names = set(first) - {"timestamp", "level", "component", "event"}
    assert all(f" {name}=" in text for name in names)
    assert "ValueError: broken" in fault["exception"]
    assert "ValueError: broken" in text_fault


def test_a_trouble_that_stays_the_same_is_told_once() -> None:
    log = CapturingLogger()
    trouble = Trouble(cast("Logger", log))
    for cause in ("disk full", "disk full", "no such host", "disk full"):
        trouble.tell("session ended", cause, reason="UNAVAILABLE")
    trouble.end()
    trouble.tell("session ended", "disk full")
    assert [(one.method_name, one.kwargs["cause"]) for one in log.calls] == [
        ("warning", "disk full"),
        ("debug", "disk full"),
        ("warning", "no such host"),
        ("warning", "disk full"),
        ("warning", "disk full"),
    ]

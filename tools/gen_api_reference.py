"""Generator of docs/reference/api.md, from the public proto files and the table of roles."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cleancut.core.auth.roles import NEEDS

PROTO = Path(__file__).resolve().parents[1] / "proto" / "cleancut" / "v1"
_HEAD = """# gRPC API

Written by `make docs` from the proto files and the table of roles; change it there.

The API is defined in [proto/cleancut/v1](../../proto/cleancut/v1), where each field has its
comment. A coordinator serves it with reflection and `grpc.health.v1`. Every coordinator answers
reads; a standby forwards what only the leader may do, and answers `UNAVAILABLE` with the leader's
address if it cannot.
Errors carry `google.rpc.ErrorInfo` with a stable reason and a hint. Examples are in
[Automation](../how-to/automation.md).
"""
_SERVICE = re.compile(r"^service (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_RPC = re.compile(r"((?:^  //.*\n)*)^  rpc (\w+)\(\w+\) returns \((stream )?", re.MULTILINE)


def reference() -> str:
    """The whole page."""
    parts = [_HEAD]
    for path in sorted(PROTO.glob("*.proto")):
        for service, body in _SERVICE.findall(path.read_text(encoding="utf-8")):
            rows = [_row(service, *found) for found in _RPC.findall(body)]
            table = ["| method | role | effect |", "|---|---|---|", *rows]
            parts.append("\n".join([f"## {service}", "", *table]) + "\n")
    return "\n".join(parts)


def _row(service: str, comment: str, method: str, stream: str) -> str:
    text = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
    name = f"`{method}`" + (" (stream)" if stream else "")
    need = NEEDS[f"{service}/{method}"]
    fields = ", ".join(f"`{field}`" for field in need.admin_if)
    role = str(need.role) + (f"; admin with {fields}" if fields else "")
    return f"| {name} | {role} | {text} |"


if __name__ == "__main__":
    sys.stdout.write(reference())

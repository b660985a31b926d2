"""Verifications, drills, copies and repairs by the leader: the command line's own, as a process.

So they take no memory of the leader's, and whatever a damaged shard does to the engine is not done
to the leader. They end with its term.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from cleancut.api.command_errors import read_command_error
from cleancut.api.repairs import Repair
from cleancut.api.values import ApiValue
from cleancut.core.maintenance.schedule import Do, ScheduleRule
from cleancut.core.maintenance.stories import GOOD, SCHEDULE_VARIABLE
from cleancut.core.primitives.errors import (
    CleancutError,
    Invalid,
    TimedOut,
    Unavailable,
    from_reason,
)
from cleancut.repository.catalog import LATEST
from cleancut.store.key_source import ENVIRONMENT as STORE_KEY
from cleancut.store.urls import CREDENTIALS_VARIABLES
from cleancut_coordinator.context import CoordinatorContext

V = TypeVar("V", bound=ApiValue)
LIMIT_S = 24 * 3600.0
_PREFIX = "CLEANCUT_"
NOTHING: Mapping[str, str] = MappingProxyType({})


class Outcome(NamedTuple):
    """`text`: `GOOD`, or what is wrong, for people. `recorded`: the command ended by itself,
    and so has left its story."""

    text: str
    recorded: bool


async def run_check(context: CoordinatorContext, name: str, schedule: ScheduleRule) -> Outcome:
    """What the command of that schedule found; the store's verification log has the rest. Limits: a
    day."""
    try:
        words = _words(context, schedule, await backup_of(context, schedule))
        variables = {SCHEDULE_VARIABLE: name}
        code, out, err = await run_command(context, schedule.do, *words, variables=variables)
    except CleancutError as error:
        return Outcome(error.message, recorded=False)
    return Outcome(GOOD if code == 0 else trouble(code, out, err), recorded=code >= 0)


async def run_repair(context: CoordinatorContext, backup: str, from_store: str) -> Repair:
    """Repairs a backup of the main store from the store of that name. Limits: a day.

    Raises: NotFound (no such store, or backup); TimedOut; what else the command ends with.
    """
    context.store_of(from_store)
    there = context.stores[from_store].rule if from_store else None
    if there is None:
        raise Invalid("the store to repair from is not named", "give --from NAME")
    words = ["--from", there.url]
    words += ["--from-key-file", there.key_file] if there.key_file else []
    words += ["--from-key-command", there.key_command] if there.key_command else []
    _, out, err = await run_command(context, "repair", *words, "--", backup)
    return result_of("repair", Repair, out, err)


def result_of(verb: str, kind: type[V], out: bytes, err: bytes) -> V:
    """What the command printed. Raises: the error that it ended with."""
    try:
        return msgspec.convert(msgspec.json.decode(out)[verb], kind)
    except (msgspec.MsgspecError, KeyError, TypeError) as broken:
        error = read_command_error(err)
        if error is None:
            raise from_reason("")(f"the {verb} ended without a result") from broken
        raise from_reason(error.reason)(error.message, error.hint) from broken


async def run_command(
    context: CoordinatorContext, verb: str, *words: str, variables: Mapping[str, str] = NOTHING
) -> tuple[int, bytes, bytes]:
    """Exit code and output of `cleancut backup VERB` on the main store. `words`: what a caller gave
    comes after `--`, or as `--flag=value`. `variables`: of its environment.

    Raises: TimedOut; Unavailable, if it cannot be started.
    """
    words = (
        *("--store", context.store_url, "--cluster", context.keys.cluster, "-o", "json"),
        *context.key_source.flags(),
        *("backup", verb, *words),
    )
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cleancut.cli.main", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**_environment(), **variables},
        )
    except OSError as error:  # no memory, or too many processes: the leader goes on
        raise Unavailable(f"no process could be started for it: {error}") from error
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise TimedOut(f"it took more than {LIMIT_S / 3600:.0f} h") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return await process.wait(), out, err


def _environment() -> dict[str, str]:
    """Without the settings of this process, which would be taken for the other's; what opens the
    stores stays."""
    kept = {STORE_KEY, *CREDENTIALS_VARIABLES.values()}
    mine = {name for name in os.environ if name.startswith(_PREFIX)} - kept
    return {name: value for name, value in os.environ.items() if name not in mine}


async def backup_of(context: CoordinatorContext, schedule: ScheduleRule) -> str:
    """The newest whole backup that holds what the schedule checks: the latest may be of others."""
    if not schedule.collections:
        return LATEST
    await context.catalog.read()
    held = [
        one
        for one in context.catalog.protecting()
        if not (one.damaged or one.imported)
        and set(schedule.collections) <= {*one.collections, *one.aliases}
    ]
    newest = max(held, key=lambda one: one.cut_at_s, default=None)
    return str(newest.epoch) if newest is not None else LATEST


def _words(context: CoordinatorContext, schedule: ScheduleRule, backup: str) -> list[str]:
    if schedule.do is not Do.COPY:
        return [backup, *_flags(schedule)]
    there = context.stores[schedule.to]
    rule, words = there.rule, ["--new", "--to", there.rule.url]
    if rule.upload_rate_bytes:
        words += ["--upload-rate", str(rule.upload_rate_bytes)]
    if rule.key_file:
        words += ["--to-key-file", rule.key_file]
    if rule.key_command:
        words += ["--to-key-command", rule.key_command]
    return words + (["--read-data", str(schedule.percent)] if schedule.percent else ["--quick"])


def _flags(schedule: ScheduleRule) -> list[str]:
    flags: list[str] = []
    if schedule.percent:
        flags += ["--read-data", str(schedule.percent)]
    elif schedule.do is Do.VERIFY:
        flags.append("--quick")
    if schedule.shards:
        flags += ["--shards", str(schedule.shards)]
    if schedule.do is Do.DRILL:
        flags += [word for name in schedule.collections for word in ("--collection", name)]
    return flags


def trouble(code: int, out: bytes, err: bytes) -> str:
    """The first problem found, or the first error printed."""
    try:
        (found,) = (one for key, one in msgspec.json.decode(out).items() if key != "schema")
        wrong: list[Any] = [*found.get("damaged", ()), *found.get("missing", ())]
        return str([*wrong, *found["problems"]][0])
    except (msgspec.DecodeError, ValueError, KeyError, IndexError, AttributeError):
        error = read_command_error(err)
        if error is not None:
            return error.message[:500]
        lines = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        return (lines[-1:] or [f"exit code {code}"])[0][:500]

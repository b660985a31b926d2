"""Watches of objects by kopf, the only module that knows it: what it sees goes to the mirror.

kopf lists and watches, and writes nothing into objects: no handler's progress, no finalizer.
"""

from __future__ import annotations

import asyncio
from typing import Any

import kopf

from cleancut.core.primitives.errors import Invalid
from cleancut.runtime.health import Health
from cleancut_operator.decisions import Told
from cleancut_operator.mirror import Mirror
from cleancut_operator.resources import GROUP, VERSION, Kind, Seen, seen_of

_IDENTITY: Any = "cleancut-operator"
"""Without one kopf asks for the user's name, and users of pods have none."""


def connection() -> kopf.ConnectionInfo:
    """The API server by the pod's service account, else by KUBECONFIG. Raises: Invalid."""
    settings = kopf.OperatorSettings()
    found = kopf.login_with_service_account(settings=settings)
    found = found or kopf.login_with_kubeconfig(settings=settings)
    if found is None:
        raise Invalid(
            "no API server of Kubernetes is known",
            "run it in a pod with the token of a service account, or set KUBECONFIG",
        )
    return found


async def watch(mirror: Mirror, namespace: str, health: Health, log_format: str) -> None:
    """Follows all objects of a namespace until SIGTERM or SIGINT."""
    forms = {"json": kopf.LogFormat.JSON, "text": kopf.LogFormat.FULL}
    kopf.configure(quiet=True, log_format=forms[log_format])
    async with asyncio.TaskGroup() as group:
        watching = asyncio.Event()
        waiting = group.create_task(_be_ready(health, watching))
        await kopf.operator(
            registry=handlers(mirror, group),
            settings=settings(),
            namespaces=[namespace],
            identity=_IDENTITY,
            standalone=True,
            ready_flag=watching,
        )
        waiting.cancel()
        mirror.close()


async def _be_ready(health: Health, watching: asyncio.Event) -> None:
    await watching.wait()
    health.ready = True


def settings() -> kopf.OperatorSettings:
    """Of kopf, for a namespace and least rights."""
    made = kopf.OperatorSettings()
    made.scanning.disabled = True  # CRDs are the whole cluster's: it may not read them
    made.posting.reporting_component = "cleancut-operator"
    made.posting.event_name_prefix = "cleancut-"
    return made


def handlers(mirror: Mirror, group: asyncio.TaskGroup) -> kopf.OperatorRegistry:
    """Of events only: others would keep their progress in the objects."""
    registry = kopf.OperatorRegistry()

    def log_in(**_: Any) -> kopf.ConnectionInfo:
        return connection()

    async def see(**told: Any) -> None:
        event = told["event"]
        seen = seen_of(told["param"], event["object"])
        if event["type"] == "DELETED":
            mirror.forget(seen.uid)
        else:
            mirror.see(seen, group)

    def close(**_: Any) -> None:
        mirror.close()

    kopf.on.login(registry=registry)(log_in)
    kopf.on.cleanup(registry=registry)(close)
    for kind in Kind:
        on_event = kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, param=kind)
        on_event(see)
    return registry


def tell(seen: Seen, told: Told) -> None:
    """Writes an event of Kubernetes. Order: from a task that an event's handler has started."""
    about: Any = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": seen.kind.value,
        "metadata": {"namespace": seen.namespace, "name": seen.name, "uid": seen.uid},
    }
    kopf.event(
        kopf.Body(about),
        type="Normal" if told.is_good else "Warning",
        reason=told.reason,
        message=told.message,
    )

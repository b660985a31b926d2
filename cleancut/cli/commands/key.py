"""`cleancut key`: what opens an encrypted store, changed without a coordinator."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from cleancut.cli.options import confirm, yes_option
from cleancut.cli.render.output import document, emit_facts
from cleancut.cli.settings import Noun, Settings, settings_of
from cleancut.cli.terminal import write_out
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.timestamps import to_second

if TYPE_CHECKING:
    from cleancut.core.format.paths import Paths
    from cleancut.core.format.store_keys import StoreKey
    from cleancut.ports.store import Store

    Change = Callable[[Store, Paths, tuple[StoreKey, ...]], Awaitable[object]]
    from cleancut.core.format.encryption import WrappedKey


@click.group(cls=Noun)
def key() -> None:
    """Create store keys, and manage which of them open an encrypted store."""


@key.command()
@click.pass_context
def new(context: click.Context, /) -> None:
    """Print a new store key. Keep it in two places: nothing can be restored without it."""
    import base64
    import secrets

    from cleancut.core.format.store_keys import KEY_BYTES, parse_store_keys

    text = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    (made,) = parse_store_keys(text)
    if settings_of(context).output in {"table", "name"}:
        write_out(f"# store key {made.id}\n{text}\n")
    else:
        document(settings_of(context).output, {"key": {"id": made.id, "secret": text}})


@key.command("list")
@click.pass_context
def list_(context: click.Context, /) -> None:
    """List the data keys of a store, and the ids of the store keys that open them."""
    from cleancut.cli.offline import with_store
    from cleancut.store import keyring

    settings = settings_of(context)
    _emit(settings, with_store(settings, keyring.read_wrapped, named=True))


@key.command()
@click.pass_context
def rotate(context: click.Context, /) -> None:
    """Encrypt with another data key from now on; all given store keys open it."""
    from cleancut.store import keyring

    _change(context, lambda store, paths, keys: keyring.rotate(store, paths, keys, time.time()))


@key.command()
@click.pass_context
def share(context: click.Context, /) -> None:
    """Let each of the given store keys open what any of them opens."""
    from cleancut.store import keyring

    _change(context, lambda store, paths, keys: keyring.share(store, paths, keys, time.time()))


@key.command()
@click.argument("key_id", metavar="ID")
@yes_option
@click.pass_context
def retire(context: click.Context, /, key_id: str, yes: bool) -> None:
    """Revoke the store key of that id; the given keys must open the store."""
    from cleancut.store import keyring

    confirm(f"revoke store key {key_id} for this store", yes=yes)
    _change(context, lambda store, paths, keys: keyring.retire(store, paths, keys, key_id))


def _change(context: click.Context, change: Change) -> None:
    """Makes the change with the given keys, and shows which keys open the store now."""
    from cleancut.cli.offline import with_store
    from cleancut.core.format.store_keys import KEY_WANTED
    from cleancut.store import keyring

    settings = settings_of(context)
    keys = settings.key_source.read()
    if not keys:
        raise Invalid("no store key is given", KEY_WANTED)

    async def act(store: Store, paths: Paths) -> list[WrappedKey]:
        await change(store, paths, keys)
        return await keyring.read_wrapped(store, paths)

    _emit(settings, with_store(settings, act, named=True))


def _emit(settings: Settings, wrapped: list[WrappedKey]) -> None:
    numbers = sorted({one.number for one in wrapped})
    found: list[dict[str, Any]] = [
        {
            "number": number,
            "created_at": to_second(min(one.created_at for one in wrapped if one.number == number)),
            "opened_by": sorted(one.id for one in wrapped if one.number == number),
        }
        for number in numbers
    ]
    if settings.output in {"json", "yaml"}:
        document(settings.output, {"keys": found})
        return
    emit_facts(
        settings.output,
        "keys",
        {
            f"data key {one['number']}": f"of {one['created_at']}, opened by "
            + ", ".join(one["opened_by"])
            for one in found
        }
        or {"data keys": "none: the store is not encrypted"},
    )

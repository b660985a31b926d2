"""The data keys in a store's `keys/`: made, opened, and handed on from store key to store key."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cleancut.core.format.encryption import NONCE_BYTES, WrappedKey, unwrap, wrap
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import check_format
from cleancut.core.format.store_keys import ENCRYPT_ANEW, KEY_BYTES, StoreKey
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, Denied, NotFound, Refused
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.primitives.timestamps import format_time
from cleancut.ports.store import Store


async def read_wrapped(store: Store, paths: Paths) -> list[WrappedKey]:
    """All that `keys/` holds. Raises: Corrupt, and what the store does."""
    found, damaged = await _read(store, paths)
    for error in damaged.values():
        raise error
    return found


async def _read(store: Store, paths: Paths) -> tuple[list[WrappedKey], dict[int, Corrupt]]:
    """Those that can be read; of others why not, by the number of the data key."""
    found, damaged = [], {}
    async for info in store.list(paths.data_keys):
        number = whole_number(paths.parse(info.path).name.partition("-")[0])
        if number is None:
            continue  # no data key, such as what a file manager leaves
        try:
            found.append(decode(WrappedKey, await store.get(info.path), info.path))
        except NotFound:
            continue  # retired meanwhile
        except Corrupt as error:
            damaged[number] = error
    return found, damaged


async def load_data_keys(
    store: Store, paths: Paths, keys: Sequence[StoreKey]
) -> Mapping[int, bytes]:
    """Those that `keys` open, by number. One that is damaged is not missed, if it is there for
    another of `keys` too.

    Raises: Refused, if the repository is not encrypted; Denied, if they open none; Corrupt, if
        there is none though it is encrypted, or one is damaged.
    """
    wrapped, damaged = await _read(store, paths)
    if damaged and not wrapped:
        raise next(iter(damaged.values()))
    found = await _opened(store, paths, keys, wrapped)
    for number, error in damaged.items():
        if number not in found:
            raise error
    return found


async def _opened(
    store: Store, paths: Paths, keys: Sequence[StoreKey], wrapped: Sequence[WrappedKey]
) -> Mapping[int, bytes]:
    """As `load_data_keys`, of what `keys/` is known to hold."""
    if not wrapped and await _is_encrypted(store, paths):
        raise Corrupt(
            f"the data keys of {paths.cluster} are gone",
            "restore keys/ from a copy of the store: without it nothing can be read",
        )
    if not wrapped:
        raise Refused(
            f"{paths.cluster} in this store is not encrypted, but a store key is given",
            ENCRYPT_ANEW,
        )
    found = {one.number: key for one in wrapped if (key := unwrap(keys, paths.cluster, one))}
    if not found:
        raise Denied(
            f"no store key given here opens {paths.cluster}: it takes one of "
            f"{', '.join(sorted({one.id for one in wrapped}))}, given: "
            f"{', '.join(key.id for key in keys)}",
            "give the key that it was made with; without it nothing can be read",
        )
    return found


async def _is_encrypted(store: Store, paths: Paths) -> bool:
    try:
        check_format(await store.get(paths.format))
    except Denied:
        return True
    except NotFound:
        return False
    return False


async def ensure_data_key(
    store: Store, paths: Paths, keys: Sequence[StoreKey], now_s: float
) -> None:
    """Makes the first data key of a repository that has none. Order: before anything is put."""
    if not await read_wrapped(store, paths):
        await _put(store, paths, keys[0], _New(1, secrets.token_bytes(KEY_BYTES), now_s))


class _New(NamedTuple):
    number: int
    data_key: bytes
    at_s: float


async def _put(store: Store, paths: Paths, key: StoreKey, new: _New) -> None:
    wrapped = WrappedKey(
        number=new.number,
        id=key.id,
        wrapped=wrap(
            key, paths.cluster, new.number, new.data_key, nonce=secrets.token_bytes(NONCE_BYTES)
        ),
        created_at=format_time(new.at_s),
    )
    await store.put(paths.data_key(new.number, key.id), encode(wrapped))


def check_same_data_keys(
    cluster: str,
    keys: Sequence[StoreKey],
    source: Sequence[WrappedKey],
    target: Sequence[WrappedKey],
) -> None:
    """Objects of `source` may be put into `target` as they are: no number stands for two data keys.

    Raises: Refused; Corrupt for a damaged one.
    """
    known = {one.number: key for one in source if (key := unwrap(keys, cluster, one))}
    theirs = {one.number: key for one in target if (key := unwrap(keys, cluster, one))}
    if target and (not theirs or any(known.get(number) != key for number, key in theirs.items())):
        raise Refused(
            "the copy has data keys of its own, so objects cannot go there as they are",
            "give the store key of the copy: --to-key-file or --to-key-command",
        )


async def rotate(store: Store, paths: Paths, keys: Sequence[StoreKey], now_s: float) -> int:
    """Makes a data key that all objects are encrypted with from now on; its number. What is there
    stays readable. All `keys` open it. Raises: as `load_data_keys`."""
    there = await read_wrapped(store, paths)
    await _opened(store, paths, keys, there)
    number = max(one.number for one in there) + 1
    data_key = secrets.token_bytes(KEY_BYTES)
    for key in keys:
        await _put(store, paths, key, _New(number, data_key, now_s))
    return number


async def share(
    store: Store, paths: Paths, keys: Sequence[StoreKey], now_s: float
) -> list[WrappedKey]:
    """Lets all of `keys` open every data key; what was written for it. Order: repeatable.

    Raises: as `load_data_keys`; Denied, if some data key cannot be opened by any of them.
    """
    there = await read_wrapped(store, paths)
    found = await _opened(store, paths, keys, there)
    shut = sorted({one.number for one in there} - found.keys())
    if shut:
        raise Denied(f"no store key given here opens data key {shut[0]}", "give one that does")
    known = {(one.number, one.id) for one in there}
    for number, data_key in found.items():
        for key in keys:
            if (number, key.id) not in known:
                await _put(store, paths, key, _New(number, data_key, now_s))
    return [one for one in await read_wrapped(store, paths) if (one.number, one.id) not in known]


async def retire(store: Store, paths: Paths, keys: Sequence[StoreKey], key_id: str) -> int:
    """Takes the store key of that id its data keys; how many.

    Raises: NotFound (no such key); Refused, unless `keys`, without it, open every data key.
    """
    there = await read_wrapped(store, paths)
    going = [one for one in there if one.id == key_id]
    if not going:
        raise NotFound(f"{key_id} opens nothing here", "`cleancut key list` shows what does")
    rest = [key for key in keys if key.id != key_id]
    opened = {one.number for one in there if unwrap(rest, paths.cluster, one)}
    if opened != {one.number for one in there}:
        raise Refused(
            f"without {key_id}, the store keys given here do not open all data keys",
            "give the new key too, and run `cleancut key share` first",
        )
    for one in going:
        await store.delete(paths.data_key(one.number, one.id))
    return len(going)

"""Encrypted stores and their keys: who may read, what is believed, and how keys change."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import check_format, encode_format
from cleancut.core.format.store_keys import StoreKey, parse_store_keys
from cleancut.core.primitives.errors import Corrupt, Denied, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import ClusterName
from cleancut.ports.store import Store
from cleancut.runtime.clock import SystemClock
from cleancut.store.key_source import ENVIRONMENT, KeySource
from cleancut.store.keyring import ensure_data_key, read_wrapped, retire, rotate, share
from cleancut.store.open import open_store

T = TypeVar("T")
PATHS = Paths(ClusterName("c"))
TEXTS = tuple(base64.b64encode(bytes([n] * 32)).decode() for n in range(3))
ONE, TWO, THREE = (parse_store_keys(text)[0] for text in TEXTS)


def opened(root: Path, *keys: StoreKey) -> Store:
    if not keys:
        return open_store(root.as_uri(), SystemClock())
    file = root.with_name("-".join(("key", *(key.id for key in keys))))
    file.write_text("\n".join(base64.b64encode(key.secret).decode() for key in keys))
    return open_store(root.as_uri(), SystemClock(), KeySource(file))


def run(body: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(body)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store that is encrypted with the key ONE, and holds one object."""
    where = tmp_path / "store"

    async def fill() -> None:
        store = opened(where, ONE)
        await ensure_data_key(store, PATHS, [ONE], 0.0)
        await store.put(PATHS.format, encode_format(encrypted=True))
        await store.put("c/groups/1.json", b"content")

    run(fill())
    return where


def test_only_the_key_opens_it(root: Path) -> None:
    """Another key is told which one is needed; without one, that one is needed."""
    assert run(opened(root, TWO, ONE).get("c/groups/1.json")) == b"content"
    with pytest.raises(Denied, match=f"takes one of {ONE.id}"):
        run(opened(root, TWO).get("c/groups/1.json"))
    with pytest.raises(Denied, match="is encrypted") as denied:
        run(opened(root).get("c/groups/1.json"))
    assert "--store-key-file" in denied.value.hint
    assert b"content" not in (root / "c" / "groups" / "1.json").read_bytes()


def test_what_nobody_encrypted_is_not_believed(root: Path) -> None:
    """Who may write to the store, but has no key, can make nothing that would be read."""
    (root / "c" / "groups" / "2.json").write_bytes(b"forged")
    with pytest.raises(Corrupt, match="is not encrypted"):
        run(opened(root, ONE).get("c/groups/2.json"))
    moved = (root / "c" / "groups" / "1.json").read_bytes()
    (root / "c" / "groups" / "3.json").write_bytes(moved)
    with pytest.raises(Corrupt, match="authentication"):
        run(opened(root, ONE).get("c/groups/3.json"))


def test_a_store_that_is_not_encrypted_stays_so(tmp_path: Path) -> None:
    """Half of a store cannot be encrypted: nobody could tell what may be believed."""
    root = tmp_path / "store"
    run(opened(root).put("c/x", b"1"))
    for call in (opened(root, ONE).get("c/x"), opened(root, ONE).put("c/y", b"1")):
        with pytest.raises(Refused, match="not encrypted"):
            run(call)


def test_data_keys_that_are_gone_are_missed(root: Path) -> None:
    """And nobody makes new ones, which would open nothing."""
    for file in (root / "c" / "keys").iterdir():
        file.unlink()
    with pytest.raises(Corrupt, match="are gone"):
        run(opened(root, ONE).get("c/groups/1.json"))


def test_what_format_json_says_of_it() -> None:
    plain, encrypted = encode_format(), encode_format(encrypted=True)
    check_format(plain)
    check_format(encrypted, encrypted=True)
    with pytest.raises(Denied):
        check_format(encrypted)
    with pytest.raises(Refused):
        check_format(plain, encrypted=True)
    with pytest.raises(Refused):
        check_format(encrypted.replace(b"aes-256-gcm", b"rot13"), encrypted=True)


def test_a_newer_data_key_leaves_the_old_objects_readable(root: Path) -> None:
    """Also to a process that knew only the old one, and a repeat of an old put is none."""

    async def body() -> None:
        early = opened(root, ONE)
        await early.get("c/groups/1.json")
        assert await rotate(opened(root, ONE), PATHS, [ONE], 1.0) == 2
        late = opened(root, ONE)
        await late.put("c/groups/2.json", b"newer")
        await late.put("c/groups/1.json", b"content")
        with pytest.raises(Refused, match="other bytes"):
            await late.put("c/groups/1.json", b"Content")
        for store in (early, late):
            assert await store.get("c/groups/1.json") == b"content"
            assert await store.get("c/groups/2.json") == b"newer"

    run(body())
    numbers = [(root / "c" / "groups" / f"{n}.json").read_bytes()[12] for n in (1, 2)]
    assert numbers == [1, 2]


def test_another_store_key_takes_over(root: Path) -> None:
    """First both open it, then only the new one; no object is written anew."""

    async def body() -> None:
        store = opened(root, TWO, ONE)
        with pytest.raises(Refused, match="do not open all"):
            await retire(store, PATHS, [TWO, ONE], ONE.id)
        await rotate(store, PATHS, [ONE], 1.0)
        assert [one.number for one in await share(store, PATHS, [TWO, ONE], 2.0)] == [1, 2]
        assert await share(store, PATHS, [TWO, ONE], 3.0) == []
        with pytest.raises(Refused, match="do not open all"):
            await retire(store, PATHS, [ONE], ONE.id)
        with pytest.raises(NotFound):
            await retire(store, PATHS, [TWO], THREE.id)
        assert await retire(store, PATHS, [TWO, ONE], ONE.id) == 2
        assert {one.id for one in await read_wrapped(store, PATHS)} == {TWO.id}

    run(body())
    assert run(opened(root, TWO).get("c/groups/1.json")) == b"content"
    with pytest.raises(Denied):
        run(opened(root, ONE).get("c/groups/1.json"))


def test_a_key_is_shared_only_by_who_opens_all(root: Path) -> None:
    """A data key that only THREE opens cannot be handed to TWO by ONE."""

    async def body() -> None:
        store = opened(root, ONE)
        await rotate(store, PATHS, [ONE], 1.0)
        await share(store, PATHS, [ONE, THREE], 2.0)
        (root / PATHS.data_key(2, ONE.id)).unlink()
        with pytest.raises(Denied, match="data key 2"):
            await share(store, PATHS, [ONE, TWO], 3.0)

    run(body())


def test_where_keys_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a command or the environment, and only one of them."""
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    file = tmp_path / "key"
    file.write_text(f"# ours\n{TEXTS[0]}\n{TEXTS[1]}\n")
    assert KeySource(file=file).read() == (ONE, TWO)
    printing = f"{sys.executable} -c \"print('{TEXTS[2]}')\""
    assert KeySource(command=printing).read() == (THREE,)
    assert KeySource().read() == ()
    with pytest.raises(Invalid, match="more than one"):
        KeySource(file=file, command=printing).read()
    monkeypatch.setenv(ENVIRONMENT, TEXTS[1])
    assert KeySource().read() == (TWO,)
    with pytest.raises(Invalid, match="more than one"):
        KeySource(file=file).read()


@pytest.mark.parametrize(
    "command",
    [
        "/no/such/program",
        f"{sys.executable} -c \"print('{TEXTS[0]}'); raise SystemExit(3)\"",
        f"{sys.executable} -c \"import sys; sys.exit('{TEXTS[0]}')\"",
        '"unbalanced',
    ],
)
def test_a_command_that_fails_tells_no_secret(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with pytest.raises(Refused, match="store key failed") as refused:
        KeySource(command=command).read()
    assert TEXTS[0] not in f"{refused.value} {refused.value.__cause__}"


def test_one_damaged_data_key_keeps_no_other_key_out(root: Path) -> None:
    """And a stray file is no data key. What only the damaged one could open is missed."""
    run(share(opened(root), PATHS, [ONE, TWO], 0.0))
    keys = root / "c" / "keys"
    (keys / ".DS_Store").write_bytes(b"x")
    of_one = next(file for file in keys.iterdir() if ONE.id in file.name)
    of_one.write_bytes(b"{")
    assert run(opened(root, TWO).get("c/groups/1.json")) == b"content"
    with pytest.raises(Corrupt, match="is not a valid WrappedKey"):
        run(rotate(opened(root), PATHS, [TWO], 0.0))
    for file in keys.iterdir():
        file.write_bytes(b"{")
    with pytest.raises(Corrupt, match="is not a valid WrappedKey"):
        run(opened(root, TWO).get("c/groups/1.json"))

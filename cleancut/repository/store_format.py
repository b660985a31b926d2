"""Format of a cluster in a store: format.json, and what the backups prove where it is lost."""

from __future__ import annotations

from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import (
    MAX_RECIPE_BYTES,
    check_format,
    encode_format,
    open_recipe,
)
from cleancut.core.format.store_keys import KEY_WANTED
from cleancut.core.primitives.errors import CleancutError, Corrupt, Denied, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.store import Store
from cleancut.repository.catalog import list_epochs, load_group

_TRIED = 20
"""Of the newest backups, those that are tried: one that is damaged proves nothing."""


async def prove_format(store: Store, paths: Paths, *, encrypted: bool) -> Epoch | None:
    """The newest backup that shows, read through `store` with its keys, that the cluster's objects
    are of the format that this program writes; None: the cluster has no backup.

    `encrypted`: a key is given. Raises: Refused (another format or cluster, or not encrypted);
        Denied (encrypted, and no key is given or opens it); Corrupt (no backup is whole enough).
    """
    if not encrypted:
        async for _ in store.list(paths.data_keys):
            raise Denied(f"{paths.cluster} in this store is encrypted", KEY_WANTED)
    epochs = (await list_epochs(store, paths))[::-1]
    why: CleancutError | None = None
    for epoch in epochs[:_TRIED]:
        try:
            await _check_group(store, paths, epoch)
        except (Corrupt, NotFound) as error:
            why = why or error
            continue
        return epoch
    if why is None:
        return None
    raise Corrupt(
        f"format.json of {paths.cluster} is lost, and no backup is whole enough to prove the"
        f" format: {why.message}",
        f"put {paths.format} back from a copy of the store",
    ) from why


async def _check_group(store: Store, paths: Paths, epoch: Epoch) -> None:
    manifest = await load_group(store, paths, epoch)
    if manifest.cluster != paths.cluster:
        raise Refused(
            f"backup #{epoch} under {paths.root} is of cluster {manifest.cluster!r}",
            "nothing was written: objects of another cluster were put here",
        )
    for shard in manifest.shards[:1]:  # its name is a digest, and its sizes are those of blocks
        stored = await store.get(paths.recipe(shard.recipe), 0, MAX_RECIPE_BYTES + 1)
        open_recipe(shard.recipe, stored)


async def rewrite_format(store: Store, paths: Paths, *, encrypted: bool) -> Epoch | None:
    """format.json is there, as a backup proves it, whose epoch is given; None: it was right.

    Raises: as `prove_format`; NotFound, if nothing proves it, since there is no backup; Refused, if
        format.json is of another format, or says otherwise of the encryption: then it is kept.
    """
    try:
        check_format(await store.get(paths.format), encrypted=encrypted)
    except (Corrupt, NotFound):
        proof = await prove_format(store, paths, encrypted=encrypted)
    else:
        return None
    if proof is None:
        raise NotFound(
            f"{paths.cluster} has no backup in this store that proves the format",
            f"nothing is lost with it: delete {paths.format}, and the next leader writes it",
        )
    await store.replace(paths.format, encode_format(encrypted=encrypted))
    return proof

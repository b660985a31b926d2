"""Clusters of a store: the one that is meant, or those that there are."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from cleancut.core.format.paths import CLUSTER_FOLDERS, Paths
from cleancut.core.primitives.errors import Invalid, NotFound
from cleancut.core.primitives.ids import ClusterName, is_cluster, parse_cluster
from cleancut.core.primitives.spelling import meant
from cleancut.ports.store import Store


async def list_clusters(store: Store) -> list[ClusterName]:
    """By name, without folders of others, such as the lost+found of a disk.

    Raises: NotFound, if the store does not exist.
    """
    return await _clusters_among(store, await store.folders())


async def _clusters_among(store: Store, folders: Collection[str]) -> list[ClusterName]:
    return [
        name
        for name in sorted(folders)
        if is_cluster(name) and await _is_one(store, Paths(ClusterName(name)))
    ]


async def _is_one(store: Store, paths: Paths) -> bool:
    if await store.stat(paths.format) is not None:
        return True
    async for _ in store.list(paths.groups):
        return True
    return False


async def find_cluster(store: Store, name: str, where: str) -> ClusterName:
    """The cluster of this name; the only one of the store for "". `where`: the store's URL.

    Raises: Invalid (several to choose from, or no name); NotFound, with those that there are.
    """
    if name:
        cluster = parse_cluster(name)
        async for _ in store.list(Paths(cluster).root):
            return cluster
    try:
        folders = await store.folders()
    except NotFound:
        raise NotFound(f"store {where} does not exist", "check --store") from None
    if len(CLUSTER_FOLDERS.intersection(folders)) > 1:
        raise _inside(where)
    names = await _clusters_among(store, folders)
    if not name and len(names) == 1:
        return names[0]
    return _not_found(name, names, where)


def _not_found(name: str, names: Collection[str], where: str) -> NoReturn:
    there = f"it holds: {', '.join(names)}" if names else "it is empty"
    if not name and names:
        raise Invalid(f"store {where} holds several clusters", f"give --cluster; {there}")
    what = f"no cluster {name!r}" if name else "no cluster"
    likely = meant(name, names) if name else ""
    hint = "give one of them as the cluster" if names else "check --store, its prefix or folder"
    hint = f"did you mean {likely!r}?" if likely else hint
    raise NotFound(f"store {where} holds {what}; {there}", hint)


def _inside(where: str) -> NotFound:
    """The URL names a cluster's own folder, one level too deep."""
    url, _, options = where.partition("?")
    parent, _, cluster = url.rstrip("/").rpartition("/")
    url = f"{parent}?{options}" if options else parent
    return NotFound(
        f"store {where} is the folder of one cluster, not a store",
        f"the store is one level up: give --store {url} --cluster {cluster}",
    )

"""What a look at a group found: its consistency from raw numbers, and if all of it is there.
Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cleancut.api.checks import Verdict
from cleancut.api.from_manifest import shown_evidence
from cleancut.core.format.manifest import AgentDocument, Manifest, ShardEntry
from cleancut.core.format.recipe import Recipe


def find_problems(
    manifest: Manifest,
    documents: Collection[AgentDocument],
    recipes: Mapping[str, Recipe],
    *,
    decided: bool,
) -> tuple[str, ...]:
    """What in the store contradicts `manifest`.

    `documents`: what the epoch's agents have stored. `recipes`: by digest, those that are there.
    `decided`: whether the very bytes of the manifest lie among the epoch's staged documents, where
    they had to be before the group was decided.
    """
    problems = (
        [] if decided else ["the manifest differs from the one that the coordinator committed"]
    )
    told = {_claim(entry) for document in documents for entry in document.shards}
    for shard in manifest.shards:
        name = f"{shard.collection}/{shard.shard_id}"
        if _claim(shard) not in told:
            problems.append(f"{name}: agent {shard.agent} has stored other numbers, or none")
        recipe = recipes.get(shard.recipe)
        if recipe and (recipe.tar_sha256, recipe.tar_bytes) != (shard.tar_sha256, shard.size_bytes):
            problems.append(f"{name}: its recipe makes another tar")
    return tuple(problems)


def _claim(entry: ShardEntry) -> tuple[object, ...]:
    """The facts of a shard that its agent reported and that are compared."""
    place = entry.collection, entry.shard_id, entry.peer_id, entry.agent
    return (*place, entry.recipe, entry.tar_sha256, entry.first, entry.second)


def shown_verdict(
    manifest: Manifest, problems: tuple[str, ...], missing: tuple[str, ...], objects: int
) -> Verdict:
    return Verdict(
        id=manifest.operation,
        epoch=manifest.epoch,
        evidence=shown_evidence(manifest, with_shards=True),
        shards=len(manifest.shards),
        objects=objects,
        problems=problems,
        missing=missing,
    )

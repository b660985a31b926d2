"""What must hold of the store, whatever gc runs and deletions there were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cleancut.core.format.manifest import Manifest
from cleancut.core.format.page import open_page
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import open_recipe
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch
from simulation.outcome import Checker, Outcome


def nothing_living_deleted(outcome: Outcome) -> Iterator[str]:
    """No object was deleted that a group needs which was in the catalog then and is not deleted."""
    paths, archive, trace = outcome.shared.paths, outcome.shared.archive, outcome.shared.trace
    buried, lost = _tombstones(paths, archive), {path for _, path in trace.lost}
    living = {path for path in archive if path.startswith(paths.groups) and path.endswith(".json")}
    for path in sorted(living):
        epoch = Epoch(int(path.removeprefix(paths.groups).removesuffix(".json")))
        if epoch in buried:
            continue
        manifest = decode(Manifest, archive[path], path)
        for name in sorted(named_by_group(paths, archive, manifest)):
            if name not in outcome.shared.store.objects and name not in lost:
                when = [f"{at_s:.3f} by {who}" for at_s, who, gone in trace.deleted if gone == name]
                yield f"group {epoch} needs {name}, deleted at {', '.join(when) or 'no time'}"


def _tombstones(paths: Paths, archive: Mapping[str, bytes]) -> set[Epoch]:
    return {
        Epoch(int(path.removeprefix(paths.groups).removesuffix(".deleted")))
        for path in archive
        if path.startswith(paths.groups) and path.endswith(".deleted")
    }


def named_by_group(paths: Paths, objects: Mapping[str, bytes], manifest: Manifest) -> set[str]:
    """All objects without which this group cannot be restored."""
    names: set[str] = {paths.group(manifest.epoch)}
    for shard in manifest.shards:
        path = paths.recipe(shard.recipe)
        names.add(path)
        if path not in objects:
            continue
        recipe = open_recipe(shard.recipe, objects[path])
        names |= {paths.pack(use.pack) for use in recipe.packs}
        for ref in recipe.pages:
            page_path = paths.page(ref.digest)
            names.add(page_path)
            if page_path in objects:
                page = open_page(ref.digest, objects[page_path])
                names |= {paths.pack(pack) for pack in page.packs}
    return names


def deleted_by_right(outcome: Outcome) -> Iterator[str]:
    """Owners, formats and tombstones stay; a group goes only after it got its tombstone."""
    paths, trace = outcome.shared.paths, outcome.shared.trace
    kept = (paths.owners, paths.format)
    for at_s, who, path in trace.deleted:
        tombstone = path.removesuffix(".json") + ".deleted"
        buried = path.startswith(paths.groups) and tombstone in outcome.shared.archive
        if path.startswith(kept) or (path.startswith(paths.groups) and not buried):
            yield f"{at_s:.3f}: {who} deleted {path}"


STORE_CHECKERS: tuple[Checker, ...] = (nothing_living_deleted, deleted_by_right)

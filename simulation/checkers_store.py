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


def held_stays(outcome: Outcome) -> Iterator[str]:
    """A group whose hold was answered is in the catalog, with all that it names, until its release
    is asked for."""
    shared = outcome.shared
    paths, objects, lost = (
        shared.paths,
        shared.store.objects,
        {path for _, path in shared.trace.lost},
    )
    for held in shared.trace.holds:
        epoch = Epoch(held.epoch)
        if held.released:
            continue
        if paths.tombstone(epoch) in objects:
            yield f"group {epoch} is deleted, and held for {held.reason} since {held.at_s:.3f}"
        manifest = decode(Manifest, shared.archive[paths.group(epoch)], "its manifest")
        gone = sorted(named_by_group(paths, shared.archive, manifest) - objects.keys() - lost)
        if gone:
            yield f"group {epoch} lacks {gone[0]}, and is held for {held.reason}"


def deleted_by_right(outcome: Outcome) -> Iterator[str]:
    """Owners, formats and tombstones stay, but for those of held groups; a group goes only after it
    got its tombstone."""
    paths, trace = outcome.shared.paths, outcome.shared.trace
    kept = (paths.owners, paths.format)
    for at_s, who, path in trace.deleted:
        tombstone = path.removesuffix(".json") + ".deleted"
        buried = path.startswith(paths.groups) and tombstone in outcome.shared.archive
        if path.endswith(".deleted") and _was_held(outcome, path):
            continue
        if path.startswith(kept) or (path.startswith(paths.groups) and not buried):
            yield f"{at_s:.3f}: {who} deleted {path}"


def _was_held(outcome: Outcome, tombstone: str) -> bool:
    paths = outcome.shared.paths
    number = tombstone.removeprefix(paths.groups).removesuffix(".deleted")
    holds = paths.holds_of(Epoch(int(number)))
    return any(path.startswith(holds) for path in outcome.shared.archive)


def copies_are_whole(outcome: Outcome) -> Iterator[str]:
    """A group that is published in the store of copies, and not deleted there, has all its objects
    there, as they were at the source."""
    paths, archive, there = (
        outcome.shared.paths,
        outcome.shared.archive,
        outcome.shared.copies.objects,
    )
    for path, data in sorted(there.items()):
        tombstone = path.removesuffix(".json") + ".deleted"
        if not path.startswith(paths.groups) or path.endswith(".deleted") or tombstone in there:
            continue
        for name in sorted(named_by_group(paths, there, decode(Manifest, data, path))):
            if there.get(name) != archive.get(name):
                yield f"{path} of the copy needs {name}, which is not there as at the source"


STORE_CHECKERS: tuple[Checker, ...] = (
    nothing_living_deleted,
    held_stays,
    copies_are_whole,
    deleted_by_right,
)

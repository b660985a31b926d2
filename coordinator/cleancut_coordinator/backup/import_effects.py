"""What an import's machine asks for: the manifest of what a command has stored."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut import __version__
from cleancut.core.backup.importing import Enter
from cleancut.core.backup.phases import Publish
from cleancut.core.format.manifest import (
    IMPORTED_FORMAT,
    AgentDocument,
    ClusterEntry,
    ImportDraft,
    Imported,
    Manifest,
    check_complete,
)
from cleancut.core.maintenance.garbage import IMPORT_ENTERED_S, BegunImport
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import AgentName
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.commands import Effect
from cleancut.repository.bounded import read_document
from cleancut.repository.catalog import get_checked, put_staged, put_votes_document
from cleancut.repository.shards.recipe_reader import missing_packs
from cleancut_coordinator.backup.effects import LeaderBackupEffects
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.cluster_id import check_store_owner
from cleancut_coordinator.leader.high_water import put_opened
from cleancut_coordinator.leader.state import format_now

_IMPORTER = AgentName("import")
_AGAIN = "run `cleancut backup import` again"


class LeaderImportEffects:
    """One term's effects of imports."""

    def __init__(self, context: CoordinatorContext, backups: LeaderBackupEffects) -> None:
        self._context, self._backups = context, backups

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Publish():
                return await self._backups.run(effect)
            case Enter():
                return await self._enter(effect)
            case _:
                raise AssertionError(f"not an import's effect: {effect}")

    async def _enter(self, effect: Enter) -> str:
        """Order: the age is looked at first, and then bounds how long this may take."""
        context = self._context
        owner = await check_store_owner(context)
        await self._check_age(effect.request.import_id)
        draft = await self._read_draft(effect)
        await put_opened(context, effect.epoch)
        recipes = sorted({shard.recipe for shard in draft.shards})
        lacks = await missing_packs(context.store, context.paths, recipes)
        if lacks:
            raise Refused(f"{lacks[0].path} of the import: {lacks[0].why}", _AGAIN)
        shards = tuple(replace(shard, agent=_IMPORTER) for shard in draft.shards)
        manifest = Manifest(
            format=IMPORTED_FORMAT,
            cluster=context.keys.cluster,
            cluster_id=owner.cluster_id,
            epoch=effect.epoch,
            operation=effect.operation,
            created_by=f"cleancut {__version__}",
            cut_at=format_now(context.clock),
            skew_ms=-1,
            collections=(draft.collection,),
            shards=shards,
            source=ClusterEntry(qdrant_version="", peers={}, metadata={}),
            view="",
            warnings=draft.warnings,
            selected=(draft.collection.name,),
            imported=Imported(id=effect.request.import_id, files=draft.files),
        )
        check_complete(manifest)
        document = AgentDocument(epoch=effect.epoch, agent=_IMPORTER, shards=shards)
        await put_votes_document(context.store, context.paths, document)
        return await put_staged(context.store, context.paths, effect.epoch, manifest)

    async def _check_age(self, import_id: str) -> None:
        """Raises: Refused, if what it has stored is garbage, or soon will be."""
        context = self._context
        path = context.paths.import_begun(import_id)
        try:
            begun = decode(BegunImport, await read_document(context.store, path), path)
        except NotFound as error:
            raise Refused(f"the store holds no import {import_id}", _AGAIN) from error
        if parse_time(begun.at) + IMPORT_ENTERED_S < context.clock.wall_s():
            raise Refused(f"import {import_id} began at {begun.at}, which is too long ago", _AGAIN)

    async def _read_draft(self, effect: Enter) -> ImportDraft:
        """Raises: Refused, Corrupt."""
        context, request = self._context, effect.request
        path = context.paths.import_draft(request.import_id, request.draft)
        try:
            data = await get_checked(context.store, path, request.draft)
        except NotFound as error:
            raise Refused(f"{path} is missing", _AGAIN) from error
        draft = decode(ImportDraft, data, path)
        if draft.collection.name != request.collection:
            raise Corrupt(f"{path} is of collection {draft.collection.name!r}", _AGAIN)
        return draft

"""Paths of objects in a store: `Paths` builds them, `kind_of` and `parse_path` read them.

Text only, no I/O. Source: proto/FORMAT.md restates the layout for readers of other programs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from cleancut.core.primitives.ids import (
    AgentName,
    ClusterName,
    Epoch,
    OperationId,
    encode_segment,
    format_epoch,
)

COORDINATOR_PROBE = "_coordinator"
"""Name of the coordinator's probe object: no agent can have it."""
_NUMBER = re.compile(r"[0-9]{1,18}")
_YEAR = re.compile(r"[0-9]{4}")
_CHUNK = re.compile(r"([^/]+)/([0-9]{1,18})-([0-9]{1,18})")
_JSON = ".json"


class ObjectKind(Enum):
    """The kind of an object of a cluster, by its path. `OTHER`: of no known kind."""

    FORMAT = "format"
    DATA_KEY = "data key"
    OWNER = "owner"
    PROBE = "probe"
    MARK = "mark"
    PACK = "pack"
    RECIPE = "recipe"
    PAGE = "page"
    VOTES_DOCUMENT = "votes document"
    STAGED = "staged document"
    GROUP = "group"
    TOMBSTONE = "tombstone"
    HOLD = "hold"
    SEED = "seed"
    SPARSE_LIST = "sparse list"
    VERIFICATION = "verification"
    GARBAGE_LIST = "garbage list"
    OPERATION_ID = "operation id"
    IMPORT = "import"
    STORY = "story"
    ARCHIVE_CHUNK = "archive chunk"
    ARCHIVE_CHAIN = "archive chain"
    ARCHIVE_END = "archive end"
    ARCHIVE_MARK = "archive mark"
    OTHER = "other"


class ParsedPath(NamedTuple):
    """The parts of an object's path. `number`: its epoch, the number of an owner, or the year of a
    story; None if it has none. `name`: of a pack `<epoch>/<session id>/<n>`, of a page or recipe
    its digest, of a chunk `<stream>/<number>-<ms>`, of an object of an import the import's id, of
    any other object its last segment without ".json"."""

    kind: ObjectKind
    number: int | None = None
    name: str = ""


_OTHER = ParsedPath(ObjectKind.OTHER)
_BY_EPOCH = {
    "probe": ObjectKind.PROBE,
    "marks": ObjectKind.MARK,
    "staged": ObjectKind.STAGED,
    "holds": ObjectKind.HOLD,
    "seeds": ObjectKind.SEED,
    "verifications": ObjectKind.VERIFICATION,
}
_BY_NAME = {
    "keys": ObjectKind.DATA_KEY,
    "sparse": ObjectKind.SPARSE_LIST,
    "gc": ObjectKind.GARBAGE_LIST,
}
_OF_ARCHIVE = {
    "chains": ObjectKind.ARCHIVE_CHAIN,
    "ends": ObjectKind.ARCHIVE_END,
    "marks": ObjectKind.ARCHIVE_MARK,
}
_OTHERS = ("archive", "groups", "history", "ids", "imports", "owner", "packs", "votes")
CLUSTER_FOLDERS = frozenset({*_BY_EPOCH, *_BY_NAME, *_OTHERS})
"""Folders of one cluster: a folder that holds several of these is not a store."""
_BY_DIGEST = {"recipes": ObjectKind.RECIPE, "pages": ObjectKind.PAGE}


def kind_of(path: str) -> ObjectKind:
    """The kind of the object at `path`, under the cluster's folder."""
    return parse_path(path).kind


def parse_path(path: str) -> ParsedPath:
    """The parts of `path`, under the cluster's folder; `OTHER` if `Paths` never builds it."""
    match path.split("/"):
        case ["format.json"]:
            return ParsedPath(ObjectKind.FORMAT)
        case ["packs", epoch, session, number] if _is_number(epoch):
            return ParsedPath(ObjectKind.PACK, int(epoch), f"{epoch}/{session}/{number}")
        case ["votes", epoch, _, name] if _is_number(epoch):
            return ParsedPath(ObjectKind.VOTES_DOCUMENT, int(epoch), name.removesuffix(_JSON))
        case ["groups" | "owner" as folder, name]:
            number, _, suffix = name.partition(".")
            return _numbered(folder, number, suffix) if _is_number(number) else _OTHER
        case [folder, _, digest] if folder in _BY_DIGEST:
            return ParsedPath(_BY_DIGEST[folder], name=digest)
        case ["ids", operation, epoch] if _is_number(epoch):
            return ParsedPath(ObjectKind.OPERATION_ID, int(epoch), operation)
        case ["imports", import_id, _]:
            return ParsedPath(ObjectKind.IMPORT, name=import_id)
        case ["history", year, name] if _YEAR.fullmatch(year) and name.endswith(_JSON):
            return ParsedPath(ObjectKind.STORY, int(year), name.removesuffix(_JSON))
        case ["archive", *rest]:
            return _of_archive(rest)
        case [folder, epoch, name] if folder in _BY_EPOCH and _is_number(epoch):
            return ParsedPath(_BY_EPOCH[folder], int(epoch), name.removesuffix(_JSON))
        case [folder, name] if folder in _BY_NAME:
            return ParsedPath(_BY_NAME[folder], name=name.removesuffix(_JSON))
        case _:
            return _OTHER


def _is_number(text: str) -> bool:
    """Whether it is a number as paths hold it: `2.deleted` is of no backup."""
    return bool(_NUMBER.fullmatch(text)) and text == format_epoch(int(text))


def _numbered(folder: str, number: str, suffix: str) -> ParsedPath:
    match folder, suffix:
        case "groups", "json":
            return ParsedPath(ObjectKind.GROUP, int(number))
        case "groups", "deleted":
            return ParsedPath(ObjectKind.TOMBSTONE, int(number))
        case "owner", "json":
            return ParsedPath(ObjectKind.OWNER, int(number))
        case _:
            return _OTHER


def _of_archive(parts: list[str]) -> ParsedPath:
    match parts:
        case ["chunks", stream, name]:
            return ParsedPath(ObjectKind.ARCHIVE_CHUNK, name=f"{stream}/{name}")
        case [folder, name] if folder in _OF_ARCHIVE:
            return ParsedPath(_OF_ARCHIVE[folder], name=name)
        case _:
            return _OTHER


class ChunkPath(NamedTuple):
    """The parts of a chunk's path."""

    stream: str
    number: int
    made_at_ms: int


def parse_chunk_name(name: str) -> ChunkPath | None:
    """The parts of a chunk's name, as in `ParsedPath`; None: it is not one."""
    found = _CHUNK.fullmatch(name)
    return ChunkPath(found[1], int(found[2]), int(found[3])) if found else None


def parse_mark_ms(name: str) -> int | None:
    """When the mark of this name was taken; None: it is not one."""
    at, dash, _ = name.partition("-")
    return int(at) if dash and _NUMBER.fullmatch(at) else None


@dataclass(frozen=True, slots=True)
class Paths:
    """The objects of one cluster in a store, all under `<cluster>/`."""

    cluster: ClusterName

    def relative(self, path: str) -> str:
        """`path` under the cluster's folder."""
        return path.removeprefix(self.root)

    def parse(self, path: str) -> ParsedPath:
        """As `parse_path`, of a whole path."""
        return parse_path(self.relative(path))

    def of(self, source: str) -> Paths:
        """Those of the cluster `source` in the same store; "" is this very one."""
        return Paths(ClusterName(source)) if source else self

    @property
    def root(self) -> str:
        return f"{self.cluster}/"

    @property
    def format(self) -> str:
        return f"{self.cluster}/format.json"

    @property
    def data_keys(self) -> str:
        return f"{self.cluster}/keys/"

    def data_key(self, number: int, key_id: str) -> str:
        return f"{self.data_keys}{number:012d}-{key_id}.json"

    @property
    def owners(self) -> str:
        return f"{self.cluster}/owner/"

    def owner(self, number: int) -> str:
        return f"{self.owners}{number:012d}.json"

    @property
    def probes(self) -> str:
        return f"{self.cluster}/probe/"

    def probe(self, epoch: Epoch, name: str) -> str:
        return f"{self.probes}{format_epoch(epoch)}/{name}"

    @property
    def marks(self) -> str:
        return f"{self.cluster}/marks/"

    def mark(self, epoch: Epoch, name: str) -> str:
        """`name`: opened, published or ended."""
        return f"{self.marks}{format_epoch(epoch)}/{name}.json"

    def session_packs(self, epoch: Epoch, session_id: str) -> str:
        return f"{self.cluster}/packs/{format_epoch(epoch)}/{session_id}/"

    def pack(self, pack: str) -> str:
        """`pack` is the name blocks carry: `<epoch>/<session id>/<n>`."""
        return f"{self.cluster}/packs/{pack}"

    def recipe(self, digest: str) -> str:
        return f"{self.cluster}/recipes/{digest[:2]}/{digest}"

    def page(self, digest: str) -> str:
        return f"{self.cluster}/pages/{digest[:2]}/{digest}"

    def votes_documents(self, epoch: Epoch) -> str:
        return f"{self.cluster}/votes/{format_epoch(epoch)}/"

    def votes_document(self, epoch: Epoch, agent: AgentName, sha256: str) -> str:
        return f"{self.votes_documents(epoch)}{agent}/{sha256}.json"

    def staged_documents(self, epoch: Epoch) -> str:
        return f"{self.cluster}/staged/{format_epoch(epoch)}/"

    def staged(self, epoch: Epoch, sha256: str) -> str:
        return f"{self.staged_documents(epoch)}{sha256}.json"

    @property
    def groups(self) -> str:
        return f"{self.cluster}/groups/"

    def group(self, epoch: Epoch) -> str:
        return f"{self.groups}{format_epoch(epoch)}.json"

    def tombstone(self, epoch: Epoch) -> str:
        return f"{self.groups}{format_epoch(epoch)}.deleted"

    def ids_of(self, operation: str) -> str:
        return f"{self.cluster}/ids/{encode_segment(operation)}/"

    def id_of(self, operation: OperationId, epoch: Epoch) -> str:
        """An empty object, so that one listing finds the backups of an operation."""
        return f"{self.ids_of(operation)}{format_epoch(epoch)}"

    @property
    def holds(self) -> str:
        return f"{self.cluster}/holds/"

    def holds_of(self, epoch: Epoch) -> str:
        return f"{self.holds}{format_epoch(epoch)}/"

    def hold(self, epoch: Epoch, operation: OperationId) -> str:
        return f"{self.holds_of(epoch)}{operation}.json"

    @property
    def seeds(self) -> str:
        return f"{self.cluster}/seeds/"

    def seeds_of(self, epoch: Epoch) -> str:
        return f"{self.seeds}{format_epoch(epoch)}/"

    def seed(self, epoch: Epoch, sha256: str) -> str:
        return f"{self.seeds_of(epoch)}{sha256}.json"

    @property
    def sparse_lists(self) -> str:
        return f"{self.cluster}/sparse/"

    def sparse_list(self, epoch: Epoch, sha256: str) -> str:
        return f"{self.sparse_lists}{format_epoch(epoch)}-{sha256[:16]}.json"

    @property
    def verifications(self) -> str:
        return f"{self.cluster}/verifications/"

    def verifications_of(self, epoch: Epoch) -> str:
        return f"{self.verifications}{format_epoch(epoch)}/"

    def verification(self, epoch: Epoch, name: str) -> str:
        return f"{self.verifications_of(epoch)}{name}.json"

    @property
    def imports(self) -> str:
        return f"{self.cluster}/imports/"

    def import_of(self, import_id: str) -> str:
        return f"{self.imports}{import_id}/"

    def import_begun(self, import_id: str) -> str:
        return f"{self.import_of(import_id)}begun.json"

    def import_draft(self, import_id: str, sha256: str) -> str:
        return f"{self.import_of(import_id)}{sha256}.json"

    @property
    def history(self) -> str:
        return f"{self.cluster}/history/"

    def stories_of(self, month: str) -> str:
        """What the paths of the stories of a month, such as 202603, begin with."""
        return f"{self.history}{month[:4]}/{month}"

    def story(self, year: str, name: str) -> str:
        return f"{self.history}{year}/{name}.json"

    @property
    def garbage_lists(self) -> str:
        return f"{self.cluster}/gc/"

    def garbage_list(self, name: str) -> str:
        return f"{self.garbage_lists}{name}.json"

    @property
    def archive(self) -> str:
        return f"{self.cluster}/archive/"

    @property
    def archive_chunks(self) -> str:
        return f"{self.archive}chunks/"

    def archive_stream(self, stream: str) -> str:
        return f"{self.archive_chunks}{stream}/"

    def archive_chunk(self, stream: str, number: int, made_at_ms: int) -> str:
        return f"{self.archive_stream(stream)}{number:012d}-{made_at_ms:013d}"

    @property
    def archive_chains(self) -> str:
        return f"{self.archive}chains/"

    def archive_chain(self, chain: str) -> str:
        return f"{self.archive_chains}{chain}"

    @property
    def archive_ends(self) -> str:
        return f"{self.archive}ends/"

    def archive_end(self, chain: str) -> str:
        return f"{self.archive_ends}{chain}"

    @property
    def archive_marks(self) -> str:
        return f"{self.archive}marks/"

    def archive_mark(self, at_ms: int, name: str) -> str:
        """`name`: of the mark as a segment, or a random one."""
        return f"{self.archive_marks}{at_ms:013d}-{encode_segment(name)}"

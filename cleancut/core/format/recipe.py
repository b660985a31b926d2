"""Recipe of one shard's tar: the records to rebuild it, their checks, and completeness of a tar.

Pure: bytes in, records out. `cleancut.repository` reads and writes the objects.
Shape: a recipe names its members in order, and pages whose block entries run over all members
without a gap.
Source: proto/FORMAT.md restates this for other programs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Self

import msgspec

from cleancut.core.format.pack_uses import PackUse, check_uses
from cleancut.core.format.page import BLOCK_BYTES, PAGE_BLOCKS, blocks_of, open_document
from cleancut.core.format.store_keys import ENCRYPT_ANEW, KEY_WANTED
from cleancut.core.primitives.errors import Corrupt, Denied, Refused
from cleancut.core.primitives.ids import Digest, Sha256

OWN_PAGE_BLOCKS = 256
"""A member of this many blocks starts a page and ends one, so that nearby changes spare it."""
FORMAT = {"format": 1, "digest": "blake3-256", "block_size_bytes": BLOCK_BYTES}
ENCRYPTION = "aes-256-gcm"
MAX_RECIPE_BYTES = 64 * 1024 * 1024
END_BYTES = 1024
_MUST_HAVE = ("replica_state.json", "shard_config.json")
_AFTER_SEGMENTS = (*_MUST_HAVE, "newest_clocks.json", "oldest_clocks.json", "wal")


class TarMember(msgspec.Struct, frozen=True, array_like=True):
    """One member of the tar: all header bytes (long names and sparse extensions too) verbatim,
    then `stored_bytes` of blocks, then padding (empty: zeros up to a multiple of 512).

    What ends the archive and whatever trails is a last member without path, header and padding.
    """

    path: str
    header: bytes
    stored_bytes: int
    padding: bytes = b""

    def tar_bytes(self) -> int:
        return len(self.header) + self.stored_bytes + self.padding_bytes()

    def padding_bytes(self) -> int:
        return -self.stored_bytes % 512 if self.path else 0


class PageRef(msgspec.Struct, frozen=True, array_like=True):
    """A page. `uses`: what its blocks need of the recipe's packs, as `pack_uses` has it; None in
    what was written before there were any, and in a partial recipe."""

    digest: Digest
    blocks: int
    uses: bytes | None = None


class Recipe(msgspec.Struct, frozen=True, array_like=True):
    """The complete description of one tar, byte by byte. `origin`: `<epoch>/<session
    id>/<random>`, so that a digest does not reveal its content. `packs`: the sum of the pages'
    uses. `tar_sha256`: "", if not all of the tar was read when it was captured."""

    origin: str
    members: tuple[TarMember, ...]
    pages: tuple[PageRef, ...]
    packs: tuple[PackUse, ...]
    tar_sha256: Sha256
    tar_bytes: int

    def sizes(self) -> dict[str, int]:
        """How many bytes of the tar each member is, by its path."""
        return {member.path: member.tar_bytes() for member in self.members}


class RecipeIndex:
    """Finds the page entry of a member's block: by path, for the next capture of the shard.

    `members`: paths and their numbers of blocks, in the order of the entries in `pages`.
    """

    def __init__(self, members: Sequence[tuple[str, int]], pages: Sequence[PageRef]) -> None:
        firsts = accumulate((count for _, count in members), initial=0)
        self._members = {
            path: (first, count)
            for (path, count), first in zip(members, firsts, strict=False)
            if path
        }
        self._starts = list(accumulate((p.blocks for p in pages), initial=0))[:-1]
        self._pages = pages

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        return cls([(m.path, blocks_of(m.stored_bytes)) for m in recipe.members], recipe.pages)

    def find(self, path: str, index: int) -> tuple[PageRef, int] | None:
        """The page and the slot in it, or None when the parent has no such block."""
        first, count = self._members.get(path, (0, 0))
        if index >= count:
            return None
        at = bisect_right(self._starts, first + index) - 1
        return self._pages[at], first + index - self._starts[at]


def named_by(recipe: Recipe) -> Iterator[str]:
    """The pages, by digest, and the packs, by name, without which it is worth nothing."""
    yield from (ref.digest for ref in recipe.pages)
    yield from (use.pack for use in recipe.packs)


def block_labels(recipe: Recipe) -> Iterator[str]:
    """The name of each block in messages, in the order of the page entries."""
    for member in recipe.members:
        name = member.path or "the end of the archive"
        yield from (f"block {i} of {name}" for i in range(blocks_of(member.stored_bytes)))


def block_sizes(recipe: Recipe) -> Iterator[int]:
    """How many bytes of the tar each block is, in the order of the page entries."""
    for member in recipe.members:
        for index in range(blocks_of(member.stored_bytes)):
            yield min(BLOCK_BYTES, member.stored_bytes - index * BLOCK_BYTES)


def open_recipe(digest: str, stored: bytes) -> Recipe:
    """Raises: Corrupt, unless `stored` holds exactly what `digest` names and it adds up."""
    recipe = open_document(digest, stored, Recipe, MAX_RECIPE_BYTES)
    if any(not 0 < ref.blocks <= PAGE_BLOCKS for ref in recipe.pages):
        raise Corrupt(f"recipe {digest} has a page of more than {PAGE_BLOCKS} blocks, or of none")
    if any(member.stored_bytes < 0 for member in recipe.members):
        raise Corrupt(f"recipe {digest} has a member of negative size")
    blocks = sum(blocks_of(m.stored_bytes) for m in recipe.members)
    if blocks != sum(p.blocks for p in recipe.pages):
        raise Corrupt(
            f"recipe {digest} has members of {blocks} blocks, but another number of entries"
        )
    if recipe.tar_bytes != sum(m.tar_bytes() for m in recipe.members):
        raise Corrupt(f"recipe {digest} does not add up to {recipe.tar_bytes} bytes")
    check_uses(f"recipe {digest}", (ref.uses for ref in recipe.pages), recipe.packs)
    return recipe


def encode_format(*, encrypted: bool = False) -> bytes:
    """The bytes of format.json."""
    return msgspec.json.encode({**FORMAT, **({"encryption": ENCRYPTION} if encrypted else {})})


def check_format(data: bytes, *, encrypted: bool = False) -> None:
    """Checks format.json. `encrypted`: a key is given.

    Raises: Corrupt, if `data` is invalid; Refused, if the store has another format, or is not
        encrypted although a key is given; Denied, if it is encrypted and no key is given.
    """
    try:
        found = msgspec.json.decode(data, type=dict[str, str | int])
    except msgspec.MsgspecError as error:
        raise damaged_format(f"it cannot be read: {error}") from error
    if "format" not in found:
        raise damaged_format("it names no format")
    if {key: found.get(key) for key in FORMAT} != FORMAT:
        raise Refused(
            f"the store has format {found.get('format')} ({found.get('digest')}, blocks of "
            f"{found.get('block_size_bytes')} bytes), this program reads {FORMAT['format']}",
            "use the release of cleancut that wrote it, or another store",
        )
    sealed = found.get("encryption", "")
    if sealed not in {"", ENCRYPTION}:
        raise Refused(f"the store is encrypted by {sealed}", "use the release that wrote it")
    if sealed and not encrypted:
        raise Denied("the store is encrypted, and no store key is given", KEY_WANTED)
    if encrypted and not sealed:
        raise Refused("a store key is given, but the store is not encrypted", ENCRYPT_ANEW)


def damaged_format(why: str) -> Corrupt:
    """The error for a format.json that is damaged or lost while there are backups."""
    return Corrupt(
        f"format.json of the store is damaged: {why}",
        "`cleancut --store URL --cluster NAME cluster rewrite-format` writes it again, if the"
        " backups prove what it has to say",
    )


def marks_cut(path: str) -> bool:
    """True if the first byte of this member proves that the shard's state is frozen.

    A member of a segment does, since writes go to a new segment by then; so does any that Qdrant
    writes after all segments, for a shard without one. Anything else may precede the freezing.
    Source: lib/collection/src/shards/local_shard/snapshot.rs of Qdrant 1.18.3 and 1.19.0
    """
    first = path.split("/", 1)[0]
    return path.startswith("segments/") or first in _AFTER_SEGMENTS


class Completeness:
    """Completeness of a shard's tar; a stream that Qdrant cuts short ends as a clean 200."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._segments: dict[str, bool] = {}
        self._wal = False

    def see(self, path: str) -> None:
        """Raises: Corrupt for a path seen before: unpacking would refuse it."""
        if path in self._paths:
            raise Corrupt(f"shard stream holds {path} twice", "run the backup again")
        parts = path.rstrip("/").split("/")
        if parts[0] == "segments" and len(parts) > 1:
            complete = parts[2:] == ["files", "version.info"]
            self._segments[parts[1]] = self._segments.get(parts[1], False) or complete
        self._wal = self._wal or parts[0] == "wal"
        self._paths.add(path)

    def check(self, end: bytes) -> None:
        """`end`: the first bytes after the last member, 1024 of them if there are as many.

        Raises: Corrupt, naming what is missing. Qdrant restores many an incomplete tar to an
            empty shard or one that misses a segment, and answers 200.
        """
        lacks = [name for name in _MUST_HAVE if name not in self._paths]
        lacks += [] if self._wal else ["wal/"]
        lacks += [f"version.info of segment {s}" for s, done in self._segments.items() if not done]
        lacks += [] if end == bytes(END_BYTES) else ["the two zero blocks at its end"]
        if lacks:
            raise Corrupt(
                f"shard stream ended early: no {', no '.join(lacks[:5])}",
                "was the shard moved, dropped or recovered meanwhile? run the backup again",
            )

"""Backups as the API shows them, from their manifests."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.api.from_manifest import shown_evidence
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.fence import FencedAlias, FenceFacts, FenceSeen
from tests.support.groups import manifest, shard

SEEN = (FenceSeen(agent=AgentName("a1"), before=True, after=True),)


def test_what_a_hook_pauses_is_never_seen_on_peers() -> None:
    """A hook changes nothing that a peer could show: an agent's yes says nothing of it."""
    group = manifest(1, (shard("docs", 0),))
    hook = replace(group, fence=FenceFacts(aliases=(), hooked=("docs",), seen=SEEN))
    shown = shown_evidence(hook, with_shards=False).fence
    assert shown is not None
    assert (shown.hooked, shown.seen_by) == (("docs",), ())
    aliases = (FencedAlias(alias="live", collection="docs"),)
    alias = replace(group, fence=FenceFacts(aliases=aliases, hooked=(), seen=SEEN))
    shown = shown_evidence(alias, with_shards=False).fence
    assert shown is not None
    assert shown.seen_by == ("a1",)

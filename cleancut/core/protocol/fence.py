"""Fences hold writes off while all shards are cut: how they are requested, raised, seen and lifted.

An alias is fenced by renaming it to `<alias>@fence-<installation>-<epoch>`: writes by the old name
are refused until it is renamed back. A hook asks the writer itself to pause. The name carries the
installation and its epoch, so that a leftover fence can be recognised and lifted, with or without
etcd, and only by the installation that raised it. No I/O, no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from cleancut.core.cluster.view import View
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId
from cleancut.core.protocol.requests import BackupRequest

BUDGET_S, BUDGET_LIMIT_S = 2.0, 30.0
"""Longest time that writes are held off: by default, and at most."""
ALIAS, HOOK, NONE = "alias=", "hook", "none"
CREATE_ALIAS = "POST /collections/aliases "
"""What a hint names, with the body of the request."""
_FENCED = re.compile(
    r"(?P<alias>.+)@fence-(?:(?P<installation>[0-9a-f]{8})-)?(?P<epoch>[0-9]{1,18})", re.DOTALL
)
_TAG = 8


class FenceRule(Record, frozen=True, forbid_unknown_fields=True):
    """The fence of a collection unless a backup asks otherwise: its write alias, or a hook.

    `pause` and `resume` are URLs; `token_file` holds a bearer token for both.
    """

    collection: str
    alias: str = ""
    pause: str = ""
    resume: str = ""
    token_file: str = ""


class FenceSettings(Record, frozen=True):
    """The coordinator's configuration of fences."""

    rules: tuple[FenceRule, ...] = ()
    budget_s: float = BUDGET_S


NO_SETTINGS = FenceSettings()


class FencedAlias(Record, frozen=True):
    """A write alias and the collection that it points to."""

    alias: str
    collection: str


class Hook(Record, frozen=True):
    """One writer that can be asked to pause; it holds off writes to all these collections."""

    collections: tuple[str, ...]
    pause: str
    resume: str
    token_file: str = ""


class Fence(Record, frozen=True):
    """`fence/<epoch>`: written before the fence is raised, removed once it is seen lifted.
    `raised_at`: RFC 3339, when it was written; checked by what reads it, since a fence is to be
    lifted in any case. `installation`: see `tag_of`."""

    epoch: Epoch
    budget_s: float
    aliases: tuple[FencedAlias, ...] = ()
    hooks: tuple[Hook, ...] = ()
    raised_at: str = ""
    nonce: str = ""
    installation: str = ""

    def name_of(self, alias: str) -> str:
        """The name of `alias` while it is fenced."""
        return fenced_name(alias, self.epoch, self.installation)

    @property
    def collections(self) -> frozenset[str]:
        """Those whose writes are held off."""
        hooked = (name for hook in self.hooks for name in hook.collections)
        return frozenset({entry.collection for entry in self.aliases} | set(hooked))


class FenceSeen(Record, frozen=True):
    """An agent's observations of the fence on its local peer: before all first readings (`before`)
    and after its second one (`after`). In rounds: before all logs were read, and after its own."""

    agent: AgentName
    before: bool
    after: bool


class FenceFacts(Record, frozen=True):
    """The fence in a manifest. `hooked`: collections whose writer was paused. `held_ms`:
    from its raising to the last reading, on the coordinator's clock."""

    aliases: tuple[FencedAlias, ...]
    hooked: tuple[str, ...]
    seen: tuple[FenceSeen, ...]
    held_ms: int = -1

    def holds(self, collections: Collection[str], agents: Collection[str]) -> bool:
        """True if it held off writes to all `collections`, as seen by all `agents` throughout."""
        fenced = {entry.collection for entry in self.aliases} | set(self.hooked)
        saw = {one.agent for one in self.seen if one.before and one.after}
        return set(collections) <= fenced and set(agents) <= saw and len(saw) == len(self.seen)


def facts_of(fence: Fence | None, seen: tuple[FenceSeen, ...], held_ms: int) -> FenceFacts | None:
    """The fence as a manifest records it; None for none."""
    if fence is None:
        return None
    hooked = sorted(name for hook in fence.hooks for name in hook.collections)
    return FenceFacts(aliases=fence.aliases, hooked=tuple(hooked), seen=seen, held_ms=held_ms)


class LeftoverFence(NamedTuple):
    """A fenced alias as a peer shows it. `installation`: whose it is, "" if that is unknown."""

    name: str
    alias: str
    epoch: Epoch
    installation: str


def tag_of(cluster_id: str) -> str:
    """By what the names of fences say whose they are: the begin of the cluster's id."""
    return cluster_id[:_TAG]


def fenced_name(alias: str, epoch: Epoch, installation: str = "") -> str:
    """The name of `alias` while it is fenced."""
    whose = f"{installation}-" if installation else ""
    return f"{alias}@fence-{whose}{epoch}"


def leftover_fences(aliases: Collection[str]) -> list[LeftoverFence]:
    """The fenced ones among a peer's aliases, sorted."""
    found = ((name, _FENCED.fullmatch(name)) for name in sorted(aliases))
    return [
        LeftoverFence(name, m["alias"], Epoch(int(m["epoch"])), m["installation"] or "")
        for name, m in found
        if m is not None
    ]


def aliases_in_use(aliases: Mapping[str, str], collections: Collection[str]) -> dict[str, str]:
    """What each alias points to, by the name that it has without a fence; none that has the name
    of a collection, which is what this name means then."""
    named = {**{each.alias: aliases[each.name] for each in leftover_fences(aliases)}, **aliases}
    return {alias: of for alias, of in named.items() if alias not in collections}


def aliases_of(view: View) -> dict[str, str]:
    """The aliases in use by a view: of its collections, and those that its selection names."""
    described = {entry.name for entry in view.collections}
    return aliases_in_use(dict(view.aliases), {*described, *view.hidden})


def is_raised(fence: Fence, aliases: Mapping[str, str]) -> bool:
    """True if a peer with these aliases takes no writes by any of the fence's."""
    return all(
        aliases.get(fence.name_of(entry.alias)) == entry.collection and entry.alias not in aliases
        for entry in fence.aliases
    )


def without_fence(view: View, fence: Fence | None) -> View:
    """`view` as it is when the fence's aliases have their names back."""
    if fence is None:
        return view
    back = {fence.name_of(entry.alias): entry.alias for entry in fence.aliases}
    mapped = sorted((back.get(alias, alias), of) for alias, of in view.aliases)
    return replace(view, aliases=tuple(mapped))


def check_fence(request: BackupRequest) -> None:
    """Checks `fence` and its budget. Raises: Invalid."""
    for word in request.fence:
        alias = word.removeprefix(ALIAS)
        if word not in (HOOK, NONE) and (alias == word or not alias):
            raise Invalid(f"invalid fence {word!r}", "use alias=NAME, hook or none")
        if alias != word and _FENCED.fullmatch(alias):
            raise Invalid(
                f"alias {alias!r} has the name of a fence", "use the alias without @fence-"
            )
    if NONE in request.fence and len(request.fence) > 1:
        raise Invalid("`none` cannot be combined with another fence")
    if not 0 <= request.fence_budget_s <= BUDGET_LIMIT_S:
        raise Invalid(f"a fence's budget is from 0 to {BUDGET_LIMIT_S:.0f} s; 0 is the default")


def check_rule(rule: FenceRule) -> None:
    """Raises: Invalid, unless it is for one collection, by an alias or by a hook."""
    if not rule.collection:
        raise Invalid("a [[fence]] needs a `collection`")
    if bool(rule.alias) == bool(rule.pause):
        raise Invalid(f"the [[fence]] of {rule.collection!r} needs either `alias` or `pause`")
    if bool(rule.pause) != bool(rule.resume):
        raise Invalid(f"the [[fence]] of {rule.collection!r} needs both `pause` and `resume`")
    if _FENCED.fullmatch(rule.alias):
        raise Invalid(f"alias {rule.alias!r} has the name of a fence")


def choose_fence(
    epoch: Epoch,
    request: BackupRequest,
    settings: FenceSettings,
    *,
    view: View,
    chosen: Sequence[str],
) -> Fence | None:
    """The fence for this backup of the `chosen` collections; None for none.

    What is asked for replaces what is configured. Raises: Refused, if it cannot be raised.
    """
    rules = [rule for rule in _of_collections(settings.rules, view) if rule.collection in chosen]
    if request.fence:
        rules = [rule for rule in rules if rule.pause and HOOK in request.fence]
        if HOOK in request.fence and not rules:
            raise Refused(
                "no hook is configured for these collections",
                "add a [[fence]] with `pause` and `resume` to the coordinator's file",
            )
    asked = [word.removeprefix(ALIAS) for word in request.fence if word.startswith(ALIAS)]
    configured = {rule.alias: rule.collection for rule in rules if rule.alias}
    aliases = tuple(
        _target(alias, view, chosen, rule_of=configured.get(alias, ""))
        for alias in sorted({*asked, *configured})
    )
    hooks = _hooks([rule for rule in rules if rule.pause])
    if not aliases and not hooks:
        return None
    budget_s = request.fence_budget_s or settings.budget_s
    return Fence(epoch=epoch, budget_s=budget_s, aliases=aliases, hooks=hooks)


def _of_collections(rules: Sequence[FenceRule], view: View) -> Iterator[FenceRule]:
    """The rules, those of an alias as of the collection behind it."""
    behind = aliases_of(view)
    for rule in rules:
        yield replace(rule, collection=behind.get(rule.collection, rule.collection))


def check_seen_everywhere(view: View, peers: Collection[PeerId | None]) -> None:
    """Raises: Refused, if some peer has no agent among `peers` to see the fence there."""
    missing = sorted(set(view.peers) - set(peers))
    if missing:
        raise Refused(
            f"peer {missing[0]} has no agent that could see the fence there",
            "start its agent and its Qdrant, or back up with --fence none",
        )


def _target(alias: str, view: View, chosen: Sequence[str], *, rule_of: str) -> FencedAlias:
    """`rule_of`: the collection whose rule names the alias; "": it was asked for."""
    of = dict(view.aliases).get(alias)
    if of is None and rule_of:
        made = {"create_alias": {"collection_name": rule_of, "alias_name": alias}}
        raise Refused(
            f"cannot fence {rule_of!r}: alias {alias!r} of its [[fence]] rule does not exist",
            f"if clients are to write to it again: {CREATE_ALIAS}"
            f"{json.dumps({'actions': [made]})}; or back up with --fence none",
        )
    if of is None:
        raise Refused(
            f"cannot fence {alias!r}: the alias does not exist",
            "a fence renames the alias that clients write by: create one, and write by it",
        )
    if of not in chosen:
        raise Refused(f"cannot fence {alias!r}: it points to {of!r}, which is not backed up")
    return FencedAlias(alias=alias, collection=of)


def _hooks(rules: Sequence[FenceRule]) -> tuple[Hook, ...]:
    """One hook for each writer, for all collections that it writes to."""
    by_writer: dict[tuple[str, str, str], list[str]] = {}
    for rule in rules:
        key = rule.pause, rule.resume, rule.token_file
        by_writer.setdefault(key, []).append(rule.collection)
    return tuple(
        Hook(collections=tuple(names), pause=pause, resume=resume, token_file=token_file)
        for (pause, resume, token_file), names in sorted(by_writer.items())
    )

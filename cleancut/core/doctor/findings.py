"""Findings of a doctor: what is wrong with a cluster, and the exact fix. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from cleancut.core.cluster.restored_names import restore_of
from cleancut.core.doctor import fixes
from cleancut.core.doctor.archive import find_archive_problems
from cleancut.core.doctor.backup_health import find_backup_problems, find_failed
from cleancut.core.doctor.facts import Facts, Finding, Fix, Severity
from cleancut.core.doctor.peers import find_agents, find_peers
from cleancut.core.doctor.programs import find_programs
from cleancut.core.doctor.shards import find_shards
from cleancut.core.protocol.fence import leftover_fences, tag_of
from cleancut.core.protocol.high_water import NO_OWNER
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, State

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """All problems of a cluster; empty for a healthy one.

    Order: errors, warnings, infos; the newest backup's failure first of all, then within each
        problems that block other fixes. The fixes of each: those that lose nothing first.
    """
    found = [
        *find_failed(facts),
        *find_peers(facts),
        *find_agents(facts),
        *find_shards(facts),
        *_hidden(facts),
        *_aliases(facts),
        *_fences(facts),
        *_pending_fences(facts),
        *_stuck(facts),
        *_restores(facts),
        *_leftovers(facts),
        *_backups(facts),
        *_identity(facts),
        *_gc(facts),
        *find_programs(facts),
        *find_backup_problems(facts),
        *find_archive_problems(facts),
    ]
    found = [replace(one, fixes=tuple(sorted(one.fixes, key=_is_lossy))) for one in found]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def _is_lossy(fix: Fix) -> bool:
    return fix.effect == "loses-data"


def _hidden(facts: Facts) -> Iterator[Finding]:
    """Qdrant lets an alias be renamed to the name of a collection, which nothing can read then.

    Source: lib/storage/src/content_manager/toc/collection_meta_ops.rs (RenameAlias), Qdrant 1.18.3
    """
    aliases = facts.aliases
    for name in sorted({one for told in facts.peers for one in told.collections} & set(aliases)):
        rename = {"old_alias_name": name, "new_alias_name": f"{name}-alias"}
        yield Finding(
            kind="hidden_collection",
            severity="error",
            what=f"an alias to {aliases[name]!r} has taken the name of the collection {name!r},"
            " which can be neither read nor backed up: rename the alias, and in what uses it",
            fixes=(Fix(fixes.change_aliases(facts.url, {"rename_alias": rename})),),
        )


def _aliases(facts: Facts) -> Iterator[Finding]:
    expected = facts.aliases
    for peer in facts.peers:
        if peer.ids != facts.members or dict(peer.aliases) == expected:
            continue
        differing = sorted(
            alias
            for alias in {*expected, *dict(peer.aliases)}
            if expected.get(alias) != dict(peer.aliases).get(alias)
        )
        yield Finding(
            kind="unequal_aliases",
            severity="warning",
            what=f"aliases of {facts.named(peer.peer_id)} at {peer.url} differ from those at"
            f" {facts.url}: {', '.join(map(repr, differing))}; it may lag: check again, then"
            " restart it",
        )


def _fences(facts: Facts) -> Iterator[Finding]:
    aliases, names = facts.aliases, {entry.name for entry in facts.collections}
    for alias, base, epoch, installation in leftover_fences(aliases):
        ours = installation in {"", tag_of(facts.cluster_id)}
        if epoch == facts.open_fence and ours:
            continue
        fix: tuple[Fix, ...] = ()
        what = f"alias {base!r} is still fenced as {alias!r}, so writes by it fail"
        if not ours:
            what += f"; another installation ({installation}) raised it, agents lift it after 30 s"
        elif base in names:
            what += "; a collection has taken the name: rename the alias by hand"
        elif base in aliases:
            what += f"; it exists again and points to {aliases[base]!r}: delete the fence"
            delete = {"delete_alias": {"alias_name": alias}}
            fix = (Fix(fixes.change_aliases(facts.url, delete)),)
        else:
            rename = {"old_alias_name": alias, "new_alias_name": base}
            fix = (Fix(fixes.change_aliases(facts.url, {"rename_alias": rename})),)
        yield Finding(kind="stray_fence", severity="error", what=what, fixes=fix)


def _pending_fences(facts: Facts) -> Iterator[Finding]:
    """Seen in etcd: of a fence by hook, no peer shows anything."""
    for one in facts.fences:
        if one.epoch == facts.open_fence:
            continue
        what = f"the fence of epoch {one.epoch} is not lifted since {one.raised_at or 'long'}"
        if one.hooked:
            what += (
                f"; the hook of {', '.join(map(repr, one.hooked))} does not resume its writer,"
                f" which resumes by itself after {one.budget_s:g} s: see the writer's log"
            )
        yield Finding(
            kind="fence_not_lifted",
            severity="warning",
            what=f"{what}; it is given up after an hour, and blocks no backup meanwhile",
            fixes=(),
        )


def _stuck(facts: Facts) -> Iterator[Finding]:
    shows = {
        OperationKind.BACKUP: "cleancut backup show",
        OperationKind.IMPORT: "cleancut backup show",
        OperationKind.REBALANCE: "cleancut rebalance show",
        OperationKind.RESHARD: "cleancut reshard show",
        OperationKind.UNDELETE: "cleancut undelete show",
    }
    for one in facts.stuck:
        hint = f"; {one.hint}" if one.hint else ""
        show = shows.get(one.kind)
        yield Finding(
            kind="needs_operator",
            severity="warning",
            what=f"{one.kind} {one.id} needs an operator: {one.message}{hint}",
            fixes=(Fix(f"{show} {one.id}"),) if show else (),
        )


def _restores(facts: Facts) -> Iterator[Finding]:
    for one in facts.restores:
        if one.state is State.NEEDS_OPERATOR:
            hint = f"; {one.hint}" if one.hint else ""
            yield Finding(
                kind="needs_operator",
                severity="warning",
                what=f"restore {one.id} needs an operator: {one.message}{hint}",
                fixes=(Fix(f"cleancut restore show {one.id}"),),
            )


def _leftovers(facts: Facts) -> Iterator[Finding]:
    kept = {
        name: one.id
        for one in facts.restores
        if one.state is State.DONE
        for name, uuid in one.kept
        if any((entry.name, entry.uuid) == (name, uuid) for entry in facts.collections)
    }
    states = {str(one.id): one.state for one in facts.restores}
    used = set(facts.aliases.values())
    for name in sorted(entry.name for entry in facts.collections if entry.name not in used):
        restore = restore_of(name)
        if name in kept:
            yield Finding(
                kind="kept",
                severity="info",
                what=f"{name!r} is the old data that restore {kept[name]} replaced",
                fixes=(
                    Fix(f"cleancut restore show {kept[name]}", what="see what it kept"),
                    Fix(
                        fixes.clean(kept[name]),
                        "loses-data",
                        f"once nothing reads {name!r} by its name: the old data is dropped",
                    ),
                ),
            )
        elif restore and states.get(restore, State.DONE) in FINAL_STATES:
            known = restore in states
            yield Finding(
                kind="leftover",
                severity="warning",
                what=f"{name!r} was made by restore {restore}"
                f" ({states[restore] if known else 'long over'}), and no alias points"
                " to it",
                fixes=(
                    Fix(fixes.count(facts.url, name), what="see what it holds"),
                    Fix(
                        fixes.delete_collection(facts.url, name),
                        "loses-data",
                        "delete it, unless a client uses it by that name",
                    ),
                ),
            )


def _backups(facts: Facts) -> Iterator[Finding]:
    """An error only while no newer backup is intact."""
    newest = facts.newest_intact
    rest = (
        "no backup is known to be intact" if newest is None else f"#{newest} is the newest intact"
    )
    for one in facts.damaged:
        newer = newest is not None and newest > one.epoch
        heal = () if newer else (Fix("cleancut backup create"),)
        look = f"cleancut backup {'show' if one.corrupt else 'verify'} {one.epoch}"
        verify = (Fix(look),)
        delete = Fix(
            fixes.delete_backup(one.epoch), "loses-data", "if nothing of it is needed: delete it"
        )
        yield Finding(
            kind="corrupt_backup" if one.corrupt else "damaged_backup",
            severity="warning" if newer else "error",
            what=f"backup #{one.epoch} is {'corrupt' if one.corrupt else 'damaged'}: {one.why};"
            f" {rest}. A new backup stores again what is damaged; if the store was repaired, a"
            " verification of all data shows that",
            fixes=(*heal, *verify, delete),
        )


def _gc(facts: Facts) -> Iterator[Finding]:
    if facts.gc_stopped:
        yield Finding(
            kind="gc_stopped",
            severity="warning",
            what=f"the last gc run stopped, and no backup expires: {facts.gc_stopped}",
            fixes=(Fix("cleancut backup gc --dry-run", what="see what would expire, and why"),),
        )


def _identity(facts: Facts) -> Iterator[Finding]:
    if facts.other:
        yield Finding(
            kind="other_installation",
            severity="error",
            what=f"another installation of cleancut uses this Qdrant cluster: {facts.other};"
            " backups, restores and rebalances are refused",
            fixes=(
                Fix("cleancut status", what="see which cluster this is"),
                Fix(
                    "cleancut adopt",
                    "loses-data",
                    "only once the other one is removed, since each could drop what the other one"
                    " restores: make the Qdrant cluster this one's",
                ),
            ),
        )
    if facts.behind:
        yield Finding(
            kind="etcd_behind",
            severity="error",
            what=f"etcd has gone back: {facts.behind}; backups and restores are refused",
            fixes=(
                Fix("cleancut restore list", what="see what was open when it went back"),
                Fix(
                    "cleancut adopt",
                    "loses-data",
                    "once what is live was looked at, since what etcd forgot stays unknown: take it"
                    " for the present again",
                ),
            ),
        )
    yield from _store(facts)


def _store(facts: Facts) -> Iterator[Finding]:
    if facts.owner_id is None:
        yield Finding(
            kind="store_away",
            severity="error",
            what="the coordinator cannot use the store:"
            f" {facts.store_problem or 'it does not answer'}",
            fixes=(Fix("cleancut status", what="look at --store and its credentials"),),
        )
    elif facts.cluster_id and not facts.owner_id:
        yield Finding(
            kind="empty_store",
            severity="error",
            what=f"{NO_OWNER}; backups are refused",
            fixes=(
                Fix("cleancut status", what="see which store it is, and that its disk is mounted"),
                Fix(
                    "cleancut adopt",
                    "loses-data",
                    "only if a new store is meant: schedules, retention and restores know nothing"
                    " of the backups elsewhere: begin with this one",
                ),
            ),
        )
    elif facts.cluster_id and facts.owner_id != facts.cluster_id:
        yield Finding(
            kind="foreign_store",
            severity="error",
            what=f"the store belongs to another cluster ({facts.owner_id[:8] or 'unknown'}), this"
            f" one is {facts.cluster_id[:8]}: backups are refused",
            fixes=(
                Fix("cleancut status", what="see which store and cluster these are"),
                Fix(
                    "cleancut adopt",
                    "loses-data",
                    "only if no other cluster uses the store, since its backups would be refused"
                    " and come under the retention of this cluster: take it over",
                ),
            ),
        )

"""Cluster as the API sees it: status, diagnosis, peers that are given up, settings of agents."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec.structs import asdict, replace

from cleancut.api.archive import Archive, ArchiveMark
from cleancut.api.cluster import (
    AgentSettings,
    ClusterStatus,
    Diagnosis,
    DoctorFinding,
    DoctorFix,
    ForgottenPeer,
    Identity,
    PeerLoss,
)
from cleancut.api.protection import Protection, shown_protection
from cleancut.api.values import to_value
from cleancut.core.cluster.agent_settings import UploadSettings as Stored
from cleancut.core.cluster.agent_settings import check_settings, check_spill_limit
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.doctor.facts import Facts
from cleancut.core.doctor.facts import Finding as Found
from cleancut.core.doctor.findings import diagnose
from cleancut.core.doctor.shards import shards_named
from cleancut.core.doctor.silence import RECENT_S, silent_s
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import (
    CleancutError,
    Fenced,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.primitives.ids import PeerId
from cleancut.core.protocol.states import CLOSED
from cleancut.ports.coordination import Modified, Put
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.api.archive import (
    check_mark,
    read_archive,
    read_archive_health,
    shown_mark,
)
from cleancut_coordinator.api.backup_health import read_backup_health
from cleancut_coordinator.api.cluster_status import read_status
from cleancut_coordinator.api.doctor_facts import ASK_S, gather_facts
from cleancut_coordinator.archive.mark_taker import NAMED_S
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import decode_or_skip, read_ctl, read_sessions
from cleancut_coordinator.leader.cluster_id import read_identities, write_owner
from cleancut_coordinator.leader.high_water import accept_etcd
from cleancut_coordinator.leader.installation import take_over
from cleancut_coordinator.leader.state import LeaderState
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.maintenance.protection import read_protection

REMOVE_S = 15.0
_ASKED = 2
"""Members, since the first may pass the change to a leader that has just died."""
_FORGOTTEN_S = 15.0
_POLL_S = 0.25
_AT_ONCE = 8
_FOLLOWS = {"lost_shard", "few_replicas", "no_active_replica"}
"""Findings that giving a peer up may bring."""


class ClusterService:
    """Implements `ClusterApi`. `leading` raises Unavailable on a standby."""

    def __init__(self, context: CoordinatorContext, leading: Callable[[], Leadership]) -> None:
        self._context, self._leading = context, leading

    async def cluster_status(self) -> ClusterStatus:
        return await read_status(self._context)

    async def adopt(self, request_id: str) -> Identity:
        leading = self._leading()
        now = await write_owner(self._context, await read_identities(self._context))
        await accept_etcd(self._context, leading.token, leading.term.reread)
        await take_over(self._context)
        return Identity(cluster_id=now.cluster_id, store_cluster_id=now.owner_id, equal=now.equal)

    async def diagnose(self) -> Diagnosis:
        facts = await gather_facts(self._context)
        health = await read_backup_health(self._context)
        archive = await read_archive_health(self._context)
        return Diagnosis(findings=_shown(diagnose(replace(facts, backups=health, archive=archive))))

    async def protection(self) -> Protection:
        found = await read_protection(self._context)
        return shown_protection(found, self._context.clock.wall_s())

    async def archive(self) -> Archive:
        return await read_archive(self._context)

    async def take_mark(self, name: str, timeout_s: float) -> ArchiveMark:
        check_mark(name, timeout_s)
        return shown_mark(await self._leading().marks.take(name, timeout_s or NAMED_S))

    async def forget_peer(
        self, peer_id: int, *, force: bool, confirmed: bool, typed_peer_id: int
    ) -> ForgottenPeer:
        self._leading()
        peer = PeerId(peer_id)
        facts = await gather_facts(self._context)
        check_gone(facts, peer)
        if force:
            check_silent(facts, peer, PeerId(typed_peer_id))
        losses = losses_of(facts, peer)
        if losses and not force:
            raise Refused(
                f"replicas are on {facts.named(peer)}: {'; '.join(_told(loss) for loss in losses)}",
                "start it again if that is possible; `--force` gives up what is on it",
            )
        ctl = await read_ctl(self._context)
        if ctl.phase not in CLOSED:
            raise Refused(
                f"{ctl.kind} {ctl.operation} is under way ({ctl.phase})",
                "wait for its end, or cancel it",
            )
        shown = ForgottenPeer(
            peer_id=peer,
            uri=facts.addresses.get(peer, ""),
            losses=tuple(losses),
            named=facts.named(peer),
        )
        if not confirmed:
            return shown
        await self._remove(facts, peer, force=force)
        after = diagnose(await self._wait_forgotten(peer))
        following = tuple(finding for finding in after if finding.kind in _FOLLOWS)
        return replace(shown, forgotten=True, findings=_shown(following))

    async def _remove(self, facts: Facts, peer: PeerId, *, force: bool) -> None:
        """Every member that answers has forgotten the peer. Raises: TimedOut, Unavailable, and
        Qdrant's refusals."""
        urls = {told.url for told in facts.peers if told.ids == facts.members}
        members = [qdrant for qdrant in self._context.peers if qdrant.url in urls]
        if not members:
            raise Unavailable(
                "no member of the cluster answers the coordinator",
                "start one, and name it in the coordinator's --qdrant-url",
            )
        failure: CleancutError | None = None
        for member in members[:_ASKED]:
            try:
                await member.remove_peer(peer, force=force, timeout_s=REMOVE_S)
                break
            except (TimedOut, Unavailable) as error:  # it may have happened: look
                failure = error
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + _FORGOTTEN_S
        while any(await run_all([partial(_lists, one, peer) for one in members], _AT_ONCE)):
            if clock.monotonic_s() >= deadline_s:
                raise failure or TimedOut(
                    f"not every peer has forgotten {facts.named(peer)}",
                    "more than half of the peers must answer: look at `cleancut doctor`",
                )
            await clock.sleep(_POLL_S)

    async def _wait_forgotten(self, peer: PeerId) -> Facts:
        """The cluster once the agents report the peer gone as well, or after a bound."""
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + _FORGOTTEN_S
        while True:
            facts = await gather_facts(self._context)
            if peer not in facts.members or clock.monotonic_s() >= deadline_s:
                return facts
            await clock.sleep(_POLL_S)

    # Settings of agents

    async def agent_settings(self) -> AgentSettings:
        stored, _ = await self._stored()
        return to_value(AgentSettings, stored)

    async def update_agent_settings(self, change: AgentSettings) -> AgentSettings:
        token = self._leading().token
        stored, revision = await self._stored()
        given = {name: value for name, value in asdict(change).items() if value is not None}
        if (spill_bytes := given.get("spill_bytes")) is not None:
            sessions = await read_sessions(self._context)
            bounds = {str(name): one.spill_max_bytes for name, one in sessions.items()}
            known = {name: bound for name, bound in bounds.items() if bound is not None}
            check_spill_limit(spill_bytes, known)
        new = check_settings(replace(stored, **given, nonce=self._context.token_hex(8)))
        keys = self._context.keys
        put = Put(keys.settings, encode(new))
        written = await LeaderState(self._context, token).txn(
            [put], Modified(keys.settings, revision)
        )
        if not written.applied:
            raise Fenced("the settings or the leader changed meanwhile", "repeat the request")
        return to_value(AgentSettings, new)

    async def _stored(self) -> tuple[Stored, int]:
        """The settings, and the revision that guards a change."""
        key = self._context.keys.settings
        found = await self._context.etcd.get(key)
        if found is None:
            return Stored(), 0
        stored = decode_or_skip(self._context, Stored, found)
        return stored or Stored(), found.mod_revision


async def _lists(qdrant: Qdrant, peer: PeerId) -> bool:
    try:
        return peer in (await qdrant.cluster(ASK_S)).peers
    except CleancutError:
        return False  # one that is down learns it when it comes back


def check_gone(facts: Facts, peer: PeerId) -> None:
    """Raises: NotFound, if the cluster does not list the peer; Refused, while it lives."""
    if peer not in facts.members:
        known = ", ".join(facts.named(one) for one in facts.members) or "none"
        raise NotFound(f"there is no peer {peer}", f"the cluster's peers are {known}")
    if peer in facts.heard:
        raise Refused(
            f"{facts.named(peer)} lives: its Qdrant answers",
            "stop it first; shards of which it holds the only replica are lost with it",
        )


def check_silent(facts: Facts, peer: PeerId, typed: PeerId) -> None:
    """Raises: Refused, if the peer may be alive and its id was not typed again."""
    if typed == peer:
        return
    if typed:
        raise Refused(f"--confirm names peer {typed}, not {peer}", "name the same peer twice")
    name = facts.named(peer)
    hint = f"look at it and start it; if its disk is gone for good, add --confirm {peer}"
    if peer in facts.accepting:
        at = facts.addresses[peer]
        raise Refused(f"{name} accepts connections at {at}: its process exists", hint)
    silence_s = silent_s(facts.seen, peer, facts.now_s)
    if not silence_s:
        raise Refused(f"since when {name} is silent is not known", hint)
    if silence_s < RECENT_S:
        raise Refused(
            f"{name} was heard {silence_s:.0f} s ago; --force alone waits for"
            f" {RECENT_S / 60:.0f} min of silence",
            hint,
        )


def losses_of(facts: Facts, peer: PeerId) -> list[PeerLoss]:
    """What each collection loses with the peer, by name."""
    found = []
    for entry in facts.collections:
        here = [r for r in entry.replicas if r.peer_id == peer]
        elsewhere = {r.shard_id for r in entry.replicas if r.peer_id != peer and r.state == ACTIVE}
        lost = tuple(sorted({r.shard_id for r in here} - elsewhere))
        thinner = tuple(sorted({r.shard_id for r in here} & elsewhere))
        if here:
            found.append(PeerLoss(collection=entry.name, lost_shards=lost, thinner_shards=thinner))
    return found


def _told(loss: PeerLoss) -> str:
    parts = []
    if loss.lost_shards:
        parts.append(f"loses {shards_named(loss.lost_shards)} for good")
    if loss.thinner_shards:
        parts.append(f"keeps {shards_named(loss.thinner_shards)} elsewhere")
    return f"{loss.collection!r} {' and '.join(parts)}"


def _shown(findings: tuple[Found, ...]) -> tuple[DoctorFinding, ...]:
    return tuple(
        to_value(DoctorFinding, one, fixes=tuple(to_value(DoctorFix, step) for step in one.fixes))
        for one in findings
    )

"""What giving a peer up costs, and what the command line makes of findings."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.api.cluster import DoctorFinding, DoctorFix, ForgottenPeer, PeerLoss
from cleancut.cli.commands.doctor import lines_of, losses_of
from cleancut.core.doctor.facts import Facts
from cleancut.core.doctor.silence import SeenPeers
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import PeerId
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.cluster import check_gone, check_silent
from cleancut_coordinator.api.cluster import losses_of as losses
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run
from tests.support.health import HEALTHY, agent, docs, replica, told, url

ILL = (
    DoctorFinding(
        kind="lost_shard",
        severity="error",
        what="shard 1 is lost",
        fixes=(
            DoctorFix(command="cleancut repair"),
            DoctorFix(command="drop it", effect="loses-data", what="only if unused"),
        ),
    ),
    DoctorFinding(kind="transfer", severity="info", what="it moves"),
)
LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)
AWAY = replace(HEALTHY, peers=(told(22), told(33)), agents=(agent(22), agent(33)), url=url(22))


def test_a_living_peer_is_not_forgotten() -> None:
    """Not while an agent or the coordinator hears it, nor one that nobody lists."""
    with pytest.raises(Refused, match=r"agent-11 \(peer 11\) lives"):
        check_gone(HEALTHY, PeerId(11))
    with pytest.raises(Refused, match="peer 11 lives"):
        check_gone(replace(HEALTHY, agents=AWAY.agents), PeerId(11))
    with pytest.raises(NotFound, match="there is no peer 99"):
        check_gone(HEALTHY, PeerId(99))
    check_gone(AWAY, PeerId(11))


def test_force_needs_ten_minutes_of_silence_or_the_id() -> None:
    """What is unknown counts as heard just now; a process that takes connections lives."""
    eleven, now_s = PeerId(11), 10_000.0

    def silent(for_s: float) -> Facts:
        seen = SeenPeers(at_s=now_s - 5, silent=((eleven, now_s - for_s),))
        return replace(AWAY, now_s=now_s, seen=seen)

    check_silent(silent(601), eleven, PeerId(0))
    for facts in (AWAY, silent(20), silent(599), replace(silent(900), accepting=(eleven,))):
        with pytest.raises(Refused, match="--confirm 11"):
            check_silent(facts, eleven, PeerId(0))
        check_silent(facts, eleven, eleven)
        with pytest.raises(Refused, match="names peer 22"):
            check_silent(facts, eleven, PeerId(22))


def test_losses_tell_what_is_gone_from_what_gets_thinner() -> None:
    """Only an Active replica elsewhere keeps a shard."""
    placed = (
        *(replica(0, 11), replica(1, 11), replica(1, 22), replica(2, 11), replica(2, 33, "Dead")),
        replica(3, 22),
    )
    facts = replace(AWAY, collections=(docs(*placed, shards=4),))
    assert losses(facts, PeerId(11)) == [
        PeerLoss(collection="docs", lost_shards=(0, 2), thinner_shards=(1,))
    ]
    assert losses(facts, PeerId(33)) == [PeerLoss(collection="docs", thinner_shards=(2,))]
    assert losses(replace(facts, collections=()), PeerId(11)) == []


def test_findings_are_grouped_with_the_fix_on_its_own_line() -> None:
    assert list(lines_of(ILL)) == [
        "\x1b[1merrors\x1b[0m",
        "  \x1b[31mlost_shard\x1b[0m: shard 1 is lost",
        "    \x1b[32msafe\x1b[0m:",
        "      cleancut repair",
        "    \x1b[31mloses-data\x1b[0m: only if unused",
        "      drop it",
        "\x1b[1minfo\x1b[0m",
        "  \x1b[34mtransfer\x1b[0m: it moves",
    ]
    gone = ForgottenPeer(peer_id=7, losses=(PeerLoss(collection="c", lost_shards=(2,)),))
    assert list(losses_of(gone)) == ["shard 2 of 'c' is lost for good, unless a backup holds it"]


@pytest.mark.slow
def test_the_doctor_tells_findings_and_fails_for_errors() -> None:
    """JSON for scripts, a table for people; exit 1 only for an error."""

    async def scenario() -> None:
        operations = MemoryApi(findings=ILL)
        async with serve_api(operations.api, LOOPBACK) as address:
            there = ("--coordinator", address)
            ran = await cleancut(*there, "-o", "json", "doctor")
            assert ran.code == 1
            assert ran.json() == {
                "schema": 1,
                "findings": [
                    {
                        "kind": "lost_shard",
                        "severity": "error",
                        "what": "shard 1 is lost",
                        "fixes": [
                            {"command": "cleancut repair", "effect": "safe", "what": ""},
                            {
                                "command": "drop it",
                                "effect": "loses-data",
                                "what": "only if unused",
                            },
                        ],
                    },
                    {"kind": "transfer", "severity": "info", "what": "it moves", "fixes": []},
                ],
            }
            ran = await cleancut(*there, "doctor")
            assert "\n      cleancut repair\n" in ran.out
            operations.findings = ILL[1:]
            ran = await cleancut(*there, "-o", "name", "doctor")
            assert (ran.code, ran.out) == (0, "transfer\n")
            operations.findings = ()
            ran = await cleancut(*there, "doctor")
            assert (ran.code, ran.out) == (0, "no problems found\n")

    run(scenario())


@pytest.mark.slow
def test_a_peer_is_forgotten_only_by_somebody_who_means_it() -> None:
    """A yes, and force for what holds replicas; what is to be done then is told."""

    async def scenario() -> None:
        operations = MemoryApi(findings=ILL[:1])
        async with serve_api(operations.api, LOOPBACK) as address:
            forget = ("--coordinator", address, "cluster", "forget-peer")
            assert (await cleancut(*forget, "7", "--force")).code == 2
            ran = await cleancut(*forget, "7", "--yes")
            assert (ran.code, ran.out) == (4, "")
            assert "--force" in ran.err
            assert (await cleancut(*forget, "8", "--yes")).code == 3
            ran = await cleancut(*forget, "7", "--yes", "--force", "--confirm", "7", "-o", "json")
            assert (ran.code, operations.typed_peer_id) == (0, 7)
            assert ran.json()["peer"]["forgotten"] is True
            ran = await cleancut(*forget, "7", "--yes", "--force")
            assert ran.out.splitlines()[:3] == [
                "shard 0 of 'books' is lost for good, unless a backup holds it",
                "shard 1 of 'books' stays, with fewer replicas",
                "peer 7 is forgotten",
            ]
            assert "cleancut repair" in ran.out

    run(scenario())

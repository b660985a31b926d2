"""Names that certificates of coordinators must hold, where an address is a number."""

from __future__ import annotations

from cleancut.client.connection import _names_on_loopback, _with_cause
from cleancut.core.primitives.errors import Denied, TimedOut, Unavailable


def test_a_coordinator_on_loopback_has_the_certificate_of_the_others() -> None:
    """In a pod, its own coordinator is at 127.0.0.1, and its certificate names the Service."""
    own, service = "127.0.0.1:7400", "cleancut.backup.svc:7400"
    assert _names_on_loopback([own, service]) == {own: "cleancut.backup.svc"}
    assert _names_on_loopback([own]) == {}
    assert _names_on_loopback(["10.0.0.7:7400", service]) == {}
    assert _names_on_loopback(["localhost:7400", service]) == {}


def test_a_call_without_an_answer_says_what_another_coordinator_answered() -> None:
    """The Service has no endpoints; the coordinator in this pod knows why."""
    first = Unavailable("etcd does not answer", "look at etcd")
    said = _with_cause(TimedOut("Deadline Exceeded"), first)
    assert isinstance(said, TimedOut)
    assert (said.message, said.hint) == ("Deadline Exceeded; etcd does not answer", "look at etcd")
    refused = Denied("no role")
    assert _with_cause(refused, first) is refused

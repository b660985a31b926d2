"""Operations as the API shows them."""

from __future__ import annotations

from cleancut.api.from_story import reshard_of
from cleancut.cli.render.attempts import attempt_facts
from cleancut.core.format.story import Story, StoryKind
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.protocol.trace import Step, Trace

STEPS = (Step(phase="PREPARE", at_ms=0), Step(phase="MOVE", at_ms=400))
TRACES = (
    Trace(
        epoch=Epoch(3),
        began_at="2026-11-30T01:00:00.250Z",
        steps=STEPS,
        ended_ms=1600,
        reason="TIMED_OUT",
        message="a peer did not answer",
    ),
    Trace(epoch=Epoch(4), began_at="2026-11-30T01:00:02.000Z", steps=STEPS, ended_ms=61_400),
)
ENDED = Operation(
    id=OperationId("s-1"),
    kind=OperationKind.RESHARD,
    state=State.DONE,
    request=encode(ReshardRequest(collection="books", shards=4)).decode(),
    traces=TRACES,
)


def story() -> Story:
    return Story(
        kind=StoryKind.RESHARD,
        id="s-1",
        at="2026-11-30T01:00:00.000Z",
        ended_at="2026-11-30T01:01:04.000Z",
        state="DONE",
        operation=ENDED,
    )


def test_an_ended_operation_says_how_long_each_phase_took() -> None:
    """From the store alone too; lists leave it out."""
    shown = reshard_of(story())
    assert shown is not None
    assert list(attempt_facts(shown.attempt_history)) == [
        ("took", "1 min 01 s"),
        ("phases", "prepare 400 ms, move 1 min 01 s"),
        ("attempt before", "#3 ended after 1.6 s in MOVE: a peer did not answer"),
    ]
    assert shown.attempt_history[0].began_at == "2026-11-30T01:00:00Z"
    listed = reshard_of(story().without_traces())
    assert listed is not None
    assert listed.attempt_history == ()

"""The timeline's SVG: byte for byte for a small attempt, and what a large one leaves out."""

from __future__ import annotations

from cleancut.core.format.timeline import Band, Lane, Timeline, TimelineAttempt, TimelineMark
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.trace import CUT, DRAINED, FENCE_LIFTED, FENCE_RAISED
from cleancut.page.timeline import attempt_svg, barrier, phases

BEGAN = "2026-01-01T00:00:00.000Z"


def attempt(*lanes: Lane, end_ms: int = 1000) -> TimelineAttempt:
    return TimelineAttempt(epoch=Epoch(3), began_at=BEGAN, start_ms=0, end_ms=end_ms, lanes=lanes)


OWN = Lane(
    name="coordinator",
    bands=(
        Band(phase="CUT", start_ms=0, end_ms=500),
        Band(phase="SEAL", start_ms=500, end_ms=1000),
    ),
    marks=(
        TimelineMark(what=FENCE_RAISED, at_ms=100),
        TimelineMark(what=DRAINED, at_ms=250),
        TimelineMark(what=FENCE_LIFTED, at_ms=600),
    ),
)
AGENT = Lane(
    name="a<b\u202e",
    bands=(Band(phase="CUT", start_ms=0, end_ms=1, ok=False),),
    marks=(TimelineMark(what=CUT, at_ms=500),),
)


def test_the_picture_of_one_attempt() -> None:
    assert attempt_svg(attempt(OWN, AGENT)) == (
        '<svg class="timeline" viewBox="0 0 1000 78" role="img" aria-label="Attempt of 1.0 s: cut'
        ' 500 ms, seal 500 ms">'
        '<line class="axis" x1="132" x2="132" y1="0" y2="56"/>'
        '<text class="faint" x="132" y="71" text-anchor="middle">0</text>'
        '<line class="axis" x1="303.2" x2="303.2" y1="0" y2="56"/>'
        '<text class="faint" x="303.2" y="71" text-anchor="middle">200 ms</text>'
        '<line class="axis" x1="474.4" x2="474.4" y1="0" y2="56"/>'
        '<text class="faint" x="474.4" y="71" text-anchor="middle">400 ms</text>'
        '<line class="axis" x1="645.6" x2="645.6" y1="0" y2="56"/>'
        '<text class="faint" x="645.6" y="71" text-anchor="middle">600 ms</text>'
        '<line class="axis" x1="816.8" x2="816.8" y1="0" y2="56"/>'
        '<text class="faint" x="816.8" y="71" text-anchor="middle">800 ms</text>'
        '<line class="axis" x1="988" x2="988" y1="0" y2="56"/>'
        '<text class="faint" x="988" y="71" text-anchor="middle">1 s</text>'
        '<rect class="fence" x="217.6" y="0" width="428" height="56">'
        "<title>writes held off for 500 ms</title></rect>"
        '<text x="0" y="18" class="name"><title>coordinator</title>'
        "<tspan>coordinator</tspan></text>"
        '<g class="band ph-CUT"><title>coordinator: CUT 500 ms</title>'
        '<rect x="132" y="4" width="428" height="18" rx="2"/>'
        '<text x="137" y="17">CUT 500 ms</text></g>'
        '<g class="band ph-SEAL"><title>coordinator: SEAL 500 ms</title>'
        '<rect x="560" y="4" width="428" height="18" rx="2"/>'
        '<text x="565" y="17">SEAL 500 ms</text></g>'
        '<text x="0" y="44" class="name"><title>a&lt;b\\u202e</title>'
        "<tspan>a&lt;b\\u202e</tspan></text>"
        '<g class="band ph-CUT no"><title>a&lt;b\\u202e: CUT 1 ms, failed</title>'
        '<rect x="132" y="30" width="1.5" height="18" rx="2"/></g>'
        '<polygon class="cut" points="556,29 564,29 560,36">'
        "<title>a&lt;b\\u202e: all shards cut</title></polygon>"
        '<line class="drain" x1="346" x2="346" y1="0" y2="56">'
        "<title>drained after 250 ms</title></line></svg>"
    )


def test_a_short_barrier_of_a_long_backup_is_drawn_alone() -> None:
    upload = Band(phase="UPLOAD", start_ms=1000, end_ms=600_000)
    long = attempt(Lane(name="coordinator", bands=(*OWN.bands, upload)), end_ms=600_000)
    window = barrier(long)
    assert window is not None
    assert (window.start_ms, window.end_ms) == (0, 1000)
    assert barrier(attempt(OWN)) is None
    assert barrier(attempt()) is None


def test_the_key_names_each_phase_once_in_order() -> None:
    both = Timeline(began_at=BEGAN, attempts=(attempt(OWN, AGENT), attempt(OWN)))
    assert phases(both) == ("CUT", "SEAL")


def test_a_thousand_agents_do_not_make_an_endless_picture() -> None:
    lanes = [Lane(name=f"agent-{number}", bands=AGENT.bands) for number in range(1000)]
    assert attempt_svg(attempt(OWN, *lanes)).count("<g class=") <= 66

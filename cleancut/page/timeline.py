"""Timeline of an operation as SVG: a lane for the coordinator and for each agent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from markupsafe import Markup

from cleancut.core.format.timeline import Band, Lane, Timeline, TimelineAttempt
from cleancut.core.protocol.states import Phase
from cleancut.core.protocol.trace import CUT, DRAINED, FENCE_LIFTED, FENCE_RAISED
from cleancut.page.svg import element, number, titled
from cleancut.page.words import span

_WIDTH, _NAMES, _RIGHT, _ROW, _BAR, _TOP, _AXIS = 1000, 132, 12, 26, 18, 4, 22
_LETTER = 7.6
"""Width of a letter, at most: a name that does not fit into its band is left to the tooltip."""
_BARRIER = {Phase.FENCE, Phase.CUT, Phase.SEAL, Phase.STANDSTILL}
_SMALL = 0.35
_MOST_LANES = 64
_STEPS = (1, 2, 5)


class Window(NamedTuple):
    """The part of an attempt that is drawn, in milliseconds as in its timeline."""

    start_ms: float
    end_ms: float

    def x(self, at_ms: float) -> float:
        """Where a time lies; times outside lie at the edge."""
        share = (at_ms - self.start_ms) / max(self.end_ms - self.start_ms, 1.0)
        return _NAMES + min(max(share, 0.0), 1.0) * (_WIDTH - _NAMES - _RIGHT)


def whole(attempt: TimelineAttempt) -> Window:
    return Window(attempt.start_ms, max(attempt.end_ms, *_ends(attempt), attempt.start_ms + 1))


def barrier(attempt: TimelineAttempt) -> Window | None:
    """From the fence, or the cut, to the last seal, if that is too short to be seen in the whole;
    None: it is not, or there is none."""
    bands = (
        [band for band in attempt.lanes[0].bands if band.phase in _BARRIER] if attempt.lanes else []
    )
    if not any(band.phase == Phase.CUT for band in bands):
        return None
    start, end = bands[0].start_ms, max(band.end_ms for band in bands)
    all_of_it = whole(attempt)
    if end <= start or (end - start) > _SMALL * (all_of_it.end_ms - all_of_it.start_ms):
        return None
    return Window(start, end)


def phases(timeline: Timeline) -> tuple[str, ...]:
    """The phases that occur, in the order in which they begin: what the key explains."""
    bands = (band for one in timeline.attempts for lane in one.lanes for band in lane.bands)
    return tuple(dict.fromkeys(band.phase for band in sorted(bands, key=lambda b: b.start_ms)))


def attempt_svg(attempt: TimelineAttempt, window: Window | None = None) -> Markup:
    """Bands of phases, fences, drains and cuts. Limits: 64 lanes."""
    seen = window or whole(attempt)
    lanes = attempt.lanes[:_MOST_LANES]
    height = _TOP + _ROW * len(lanes) + _AXIS
    bottom = height - _AXIS
    parts: list[Markup] = []
    parts += _axis(attempt, seen, bottom)
    parts += _fences(attempt, seen, bottom)
    for row, lane in enumerate(lanes):
        parts += _lane(lane, seen, _TOP + row * _ROW)
    parts += _drains(attempt, seen, bottom)
    return element(
        "svg",
        parts,
        class_="timeline",
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_label=_label(attempt),
    )


def _label(attempt: TimelineAttempt) -> str:
    bands = attempt.lanes[0].bands if attempt.lanes else ()
    told = ", ".join(f"{one.phase.lower()} {span(one.duration_ms / 1000)}" for one in bands)
    return f"Attempt of {span(attempt.duration_ms / 1000)}: {told or 'no phase is known'}"


def _lane(lane: Lane, seen: Window, y: float) -> Iterator[Markup]:
    name = lane.name if len(lane.name) <= 18 else f"{lane.name[:17]}\u2026"
    yield element("text", [titled(lane.name), element("tspan", name)], x=0, y=y + 14, class_="name")
    for band in lane.bands:
        if band.end_ms >= seen.start_ms and band.start_ms <= seen.end_ms:
            yield _band(band, lane.name, seen, y)
    for mark in lane.marks:
        if mark.what == CUT and seen.start_ms <= mark.at_ms <= seen.end_ms:
            x = seen.x(mark.at_ms)
            title = titled(f"{lane.name}: all shards cut")
            corners = ((x - 4, y - 1), (x + 4, y - 1), (x, y + 6))
            points = " ".join(f"{number(left)},{number(top)}" for left, top in corners)
            yield element("polygon", [title], class_="cut", points=points)


def _band(band: Band, owner: str, seen: Window, y: float) -> Markup:
    left, right = seen.x(band.start_ms), seen.x(band.end_ms)
    width = max(right - left, 1.5)
    took = span(band.duration_ms / 1000)
    verdict = "" if band.ok else ", failed"
    parts = [
        titled(f"{owner}: {band.phase} {took}{verdict}"),
        element("rect", x=left, y=y, width=width, height=_BAR, rx=2),
    ]
    words = next(
        (t for t in (f"{band.phase} {took}", band.phase) if len(t) * _LETTER + 8 < width), ""
    )
    if words:
        parts.append(element("text", words, x=left + 5, y=y + 13))
    return element("g", parts, class_=f"band ph-{band.phase}{'' if band.ok else ' no'}")


def _fences(attempt: TimelineAttempt, seen: Window, bottom: float) -> Iterator[Markup]:
    """From each raising to the next lifting, or to the end."""
    raised: float | None = None
    marks = attempt.lanes[0].marks if attempt.lanes else ()
    for mark in (*marks, None):
        if raised is not None and (mark is None or mark.what == FENCE_LIFTED):
            end_ms = attempt.end_ms if mark is None else mark.at_ms
            left, right = seen.x(raised), seen.x(end_ms)
            title = titled(f"writes held off for {span((end_ms - raised) / 1000)}")
            box = {"x": left, "y": 0, "width": max(right - left, 1.5), "height": bottom}
            yield element("rect", [title], class_="fence", **box)
            raised = None
        if mark is not None and mark.what == FENCE_RAISED:
            raised = mark.at_ms


def _drains(attempt: TimelineAttempt, seen: Window, bottom: float) -> Iterator[Markup]:
    for mark in attempt.lanes[0].marks if attempt.lanes else ():
        if mark.what == DRAINED and seen.start_ms <= mark.at_ms <= seen.end_ms:
            x = seen.x(mark.at_ms)
            title = titled(f"drained after {span((mark.at_ms - attempt.start_ms) / 1000)}")
            yield element("line", [title], class_="drain", x1=x, x2=x, y1=0, y2=bottom)


def _axis(attempt: TimelineAttempt, seen: Window, bottom: float) -> Iterator[Markup]:
    """Times since the beginning of the attempt."""
    for at_ms in _ticks(seen.start_ms - attempt.start_ms, seen.end_ms - attempt.start_ms):
        x = seen.x(at_ms + attempt.start_ms)
        yield element("line", class_="axis", x1=x, x2=x, y1=0, y2=bottom)
        yield element("text", _at(at_ms), class_="faint", x=x, y=bottom + 15, text_anchor="middle")


def _ticks(start_ms: float, end_ms: float) -> Iterator[float]:
    """Round times, about six of them."""
    least, step = max(end_ms - start_ms, 1.0) / 6, 1.0
    for step in (base * 10**power for power in range(9) for base in _STEPS):
        if step >= least:
            break
    at_ms = -(-start_ms // step) * step
    while at_ms <= end_ms:
        yield at_ms
        at_ms += step


def _at(at_ms: float) -> str:
    return "0" if not at_ms else f"{at_ms:.0f} ms" if at_ms < 1000 else f"{at_ms / 1000:g} s"


def _ends(attempt: TimelineAttempt) -> Iterable[float]:
    return [band.end_ms for lane in attempt.lanes for band in lane.bands]

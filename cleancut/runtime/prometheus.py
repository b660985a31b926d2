"""Metrics of one process: gauges that can be unknown, counters that are there before they count.

Which metrics there are, and their names, is said in each process' own metrics.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from cleancut import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]
disable_created_metrics()  # type: ignore[no-untyped-call]


class Gauges:
    """One gauge with all its label values. What is not known has no series: never 0."""

    def __init__(self, gauge: Gauge, fixed: Labels, names: Sequence[str]) -> None:
        self._gauge, self._fixed, self._names = gauge, tuple(fixed.values()), names
        self._series: dict[tuple[str, ...], Gauge] = {}

    def set(self, value: float, **labels: str) -> None:
        self._set(self._key(labels), value)

    def _set(self, key: tuple[str, ...], value: float) -> None:
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._gauge.labels(*self._fixed, *key)
        series.set(value)

    def _key(self, labels: Labels) -> tuple[str, ...]:
        assert len(labels) == len(self._names), f"{sorted(labels)} for {self._names}"
        return tuple(labels[name] for name in self._names)

    def show(self, rows: Iterable[tuple[Labels, float | None]]) -> None:
        """These are all there are; None is unknown."""
        known = {self._key(labels): value for labels, value in rows if value is not None}
        for key in self._series.keys() - known.keys():
            del self._series[key]
            self._gauge.remove(*self._fixed, *key)
        for key, value in known.items():
            self._set(key, value)

    def show_one(self, value: float | None) -> None:
        """The only one, of a gauge without labels of its own."""
        self.show([({}, value)])


class Counters:
    """One counter with all its label values, which are there from the start."""

    def __init__(
        self, counter: Counter, fixed: Labels, values: Mapping[str, Sequence[str]]
    ) -> None:
        self._counter, self._fixed = counter, fixed
        for combined in product(*values.values()):
            counter.labels(**fixed, **dict(zip(values, combined, strict=True)))

    def count(self, amount: float = 1, **labels: str) -> None:
        self._counter.labels(**self._fixed, **labels).inc(amount)


class Histograms:
    """One histogram; those label values that are named are there from the start."""

    def __init__(self, made: Histogram, fixed: Labels, values: Mapping[str, Sequence[str]]) -> None:
        self._histogram, self._fixed = made, fixed
        for combined in product(*values.values()):
            made.labels(**fixed, **dict(zip(values, combined, strict=True)))

    def observe(self, value: float, **labels: str) -> None:
        self._histogram.labels(**self._fixed, **labels).observe(value)


class Meter:
    """A process' registry. All its metrics carry the labels in `fixed`."""

    def __init__(self, component: str, **fixed: str) -> None:
        self.registry, self._fixed = CollectorRegistry(), fixed
        text = "1, of the running version and program."
        info = self.gauge("cleancut_build_info", text, "version", "component")
        info.set(1, version=__version__, component=component)

    def gauge(self, name: str, text: str, *labels: str) -> Gauges:
        made = Gauge(name, text, [*self._fixed, *labels], registry=self.registry)
        return Gauges(made, self._fixed, labels)

    def counter(self, name: str, text: str, **values: Sequence[str]) -> Counters:
        made = Counter(name, text, [*self._fixed, *values], registry=self.registry)
        return Counters(made, self._fixed, values)

    def histogram(
        self, name: str, text: str, buckets: Sequence[float], **values: Sequence[str]
    ) -> Histograms:
        labels = [*self._fixed, *values]
        made = Histogram(name, text, labels, registry=self.registry, buckets=buckets)
        return Histograms(made, self._fixed, values)

    def render(self) -> tuple[bytes, str]:
        """The body and its content type, as Prometheus reads it."""
        return generate_latest(self.registry), CONTENT_TYPE


def merged(*pages: bytes) -> bytes:
    """The metrics of several registries as one page: each name is described once, with the series
    of all. Order: as first named."""
    families: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
    for page in pages:
        for family in re.split(rb"(?m)^(?=# HELP )", page):
            lines = family.splitlines(keepends=True)
            if not lines:
                continue
            described = [line for line in lines if line.startswith(b"#")]
            known = families.setdefault(lines[0].split(b" ", 3)[2], (described, []))
            known[1].extend(line for line in lines if not line.startswith(b"#"))
    return b"".join(b"".join((*described, *series)) for described, series in families.values())

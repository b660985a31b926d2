// The chart of growth as one that can be looked into: the SVG of the page stays without it.
"use strict";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function size(value) {
  if (value === null) return "\u2013";
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${UNITS[unit]}`;
}

async function draw(place) {
  const answer = await fetch(place.dataset.chart, { credentials: "same-origin" });
  if (!answer.ok) return;
  const points = (await answer.json()).growth.points;
  if (points.length < 2) return;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const time = (at) => new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");
  const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const line = (label, name) => ({ label, stroke: colour(name), width: 2, value: (_, v) => size(v), points: { show: points.length < 60 } });
  const options = {
    width: place.clientWidth,
    height: 280,
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    series: [{ value: (_, at) => (at === null ? "\u2013" : `${time(at)} UTC`) }, line("protected", "--p5"), line("stored", "--p6")],
    axes: [
      { ...axis, space: 130, values: (_, ticks) => ticks.map(time) },
      { ...axis, size: 76, incrs: Array.from({ length: 56 }, (_, power) => 2 ** power), values: (_, ticks) => ticks.map(size) },
    ],
    scales: { y: { range: (_, least, most) => [0, most * 1.05 || 1] } },
  };
  const data = [
    points.map((point) => Date.parse(point.at) / 1000),
    points.map((point) => point.protected),
    points.map((point) => point.stored),
  ];
  const chart = document.createElement("div");
  const plot = new uPlot(options, data, chart);
  place.replaceChildren(chart);
  place.nextElementSibling.hidden = true; // the chart has a key of its own
  addEventListener("resize", () => plot.setSize({ width: place.clientWidth, height: 280 }));
}

for (const place of document.querySelectorAll("[data-chart]")) draw(place).catch(() => {});

"use strict";
// Plotly draws; what is here is what to draw and how a click leads back to the players.
const SETTINGS = {responsive: true, displaylogo: false, displayModeBar: false};
const MOST_CURVES = 8, MARK_EVERY = 100;  // milliseconds between two moves of the mark while playing

function tone(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Dark classes on a dark page, light ones on a light page, could not be seen.
function readable([red, green, blue]) {
  const dark = getComputedStyle(document.body).backgroundColor.match(/\d+/g)[0] < 128;
  const light = (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
  const towards = dark ? 255 : 0, share = dark ? Math.max(0, 0.55 - light) : Math.max(0, light - 0.5);
  return `rgb(${[red, green, blue].map((value) => Math.round(value + (towards - value) * share))})`;
}

function layout(title) {
  const axis = {gridcolor: tone("--line"), zerolinecolor: tone("--line")};
  return {
    margin: {l: 55, r: 10, t: 10, b: 40}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {color: tone("--soft"), size: 12, family: "system-ui, sans-serif"}, hovermode: "x unified", hoverdistance: -1,
    hoverlabel: {bgcolor: tone("--card"), bordercolor: tone("--line"), font: {color: tone("--ink")}},
    legend: {orientation: "h", y: 1.02, yanchor: "bottom", x: 0}, shapes: marks(),
    dragmode: false, xaxis: {...axis, title: {text: "frame"}, range: [-0.5, Math.max(last, 1) + 0.5], zeroline: false},
    yaxis: {...axis, title: {text: title}, rangemode: "tozero"},
  };
}

function upright(x, colour, dash) {
  return {type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: {color: colour, width: 1, dash}};
}

function marks() {
  const cuts = clip.shots.length > 200 ? [] : clip.shots.slice(1).map(([start]) => upright(start - 0.5, tone("--soft"), "dot"));
  return [upright(shown, tone("--ink"), "solid"), ...cuts];
}

function flicker() {
  const curve = (system, name) => ({
    x: clip.flicker[system].frame, y: clip.flicker[system].value, name: system,
    mode: "lines+markers", marker: {size: 4}, line: {color: tone(name), width: 1.5},
  });
  Plotly.react("flicker", [curve("before", "--one"), curve("after", "--two")], layout("E_cons"), SETTINGS);
}

function areas() {
  const largest = [...clip.classes].sort((a, b) => b.before.mean - a.before.mean).slice(0, MOST_CURVES);
  const curves = largest.flatMap((one) => ["before", "after"].map((system) => ({
    x: one[system].area.map((_, k) => k * clip.every), y: one[system].area, name: `${one.name ?? one.label} ${system}`, mode: "lines",
    line: {color: readable(one.colour), width: system === "after" ? 2 : 1, dash: system === "after" ? "solid" : "dot"},
  })));
  Plotly.react("areas", curves, layout("pixels"), SETTINGS);
}

const plots = [["flicker", flicker], ["areas", areas]].filter(([id]) => at(id));
function plot() {
  for (const [, make] of plots) make();
}
plot();
for (const [id] of plots) at(id).on("plotly_click", (event) => go(event.points[0].x));
document.addEventListener("themechange", plot);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", plot);

let waiting = 0;
document.addEventListener("frame", () => {
  waiting ||= setTimeout(() => {
    waiting = 0;
    for (const [id] of plots) Plotly.relayout(id, {"shapes[0].x0": shown, "shapes[0].x1": shown});
  }, film.paused ? 0 : MARK_EVERY);
});

"use strict";
// One film holds the picture, the masks before and the masks after, one pane below the other: both
// players are drawn from the same moment, so they cannot fall out of step.
const clip = JSON.parse(document.getElementById("clip").textContent);
const at = (id) => document.getElementById(id);
const film = at("film"), slider = at("frame"), opacity = at("opacity");
const [width, height] = clip.pane;
let shown = 0;

for (const id of ["before", "after"]) Object.assign(at(id), {width, height});

function draw() {
  ["before", "after"].forEach((id, k) => {
    const pen = at(id).getContext("2d");
    pen.globalCompositeOperation = "source-over";
    pen.globalAlpha = 1;
    pen.drawImage(film, 0, 0, width, height, 0, 0, width, height);
    pen.globalCompositeOperation = "lighter";
    pen.globalAlpha = Number(opacity.value);
    pen.drawImage(film, 0, (k + 1) * height, width, height, 0, 0, width, height);
  });
}

function tell(frame) {
  shown = frame;
  slider.value = frame;
  at("number").textContent = `${frame} / ${clip.frames - 1}`;
}

function go(frame) {
  tell(Math.max(0, Math.min(clip.frames - 1, Math.round(frame))));
  film.currentTime = (shown + 0.5) / clip.rate;
}

function step(frames) {
  film.pause();
  go(shown + frames);
}

function follow() {
  if (film.paused) return;
  tell(Math.min(clip.frames - 1, Math.floor(film.currentTime * clip.rate)));
  draw();
  requestAnimationFrame(follow);
}

film.addEventListener("seeked", draw);
const start = () => { go(Number(location.hash.slice(1)) || 0); draw(); };
if (film.readyState >= 2) start(); else film.addEventListener("loadeddata", start);
film.addEventListener("play", () => { at("play").textContent = "❚❚"; follow(); });
film.addEventListener("pause", () => { at("play").textContent = "▶"; draw(); });
slider.addEventListener("input", () => { film.pause(); go(Number(slider.value)); });
opacity.addEventListener("input", draw);
at("back").addEventListener("click", () => step(-1));
at("forward").addEventListener("click", () => step(1));
at("play").addEventListener("click", toggle);
window.addEventListener("hashchange", () => { film.pause(); go(Number(location.hash.slice(1)) || 0); scrollTo({top: 0}); });

function toggle() {
  if (!film.paused) film.pause();
  else { if (shown === clip.frames - 1) go(0); film.play(); }
}

document.addEventListener("keydown", (event) => {
  const own = event.target.matches("input, select, button, a");
  const steps = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (steps && !event.target.matches("#opacity, #row, select")) step(steps * (event.shiftKey ? 10 : 1));
  else if (event.key === " " && !own) toggle();
  else if (event.key === "Home" && !event.target.matches("#opacity, #row, select")) step(-clip.frames);
  else if (event.key === "End" && !event.target.matches("#opacity, #row, select")) step(clip.frames);
  else return;
  event.preventDefault();
});

const slices = clip.slices, row = at("row");
function slice() {
  for (const system of ["before", "after"]) at(`slice-${system}`).src = clip.folder + slices[system][row.value];
}
row.addEventListener("input", slice);
slice();

const pair = at("pair");
function flow() {
  const chosen = clip.flows[pair.value];
  at("flow").src = clip.folder + chosen.file;
  at("flow-note").textContent = `Left: flow; red goes right, cyan left, green down, violet up; full colour is ${chosen.strongest} pixels or more (of the flow's grid). Right: white is what the next frame shows too.`;
}
if (pair) { pair.addEventListener("change", flow); flow(); }

function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(name).trim();
}

function layout(title) {
  const colour = colours();
  const axis = {gridcolor: colour("--line"), zerolinecolor: colour("--line")};
  return {
    margin: {l: 55, r: 10, t: 10, b: 40}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {color: colour("--soft"), size: 12}, hovermode: "x unified", hoverdistance: -1, legend: {orientation: "h", y: 1.15},
    xaxis: {...axis, title: {text: "frame"}}, yaxis: {...axis, title: {text: title}, rangemode: "tozero"},
  };
}

function plots() {
  const colour = colours();
  const places = clip.flicker.after.map((_, k) => k * clip.every);
  const line = (y, name, tone) => ({x: places, y, name, mode: "lines", line: {color: colour(tone), width: 1.5}});
  const settings = {responsive: true, displaylogo: false, displayModeBar: false};
  const traces = [line(clip.flicker.before, "before", "--one"), line(clip.flicker.after, "after", "--two")];
  Plotly.react("flicker", traces, layout("E to the next frame"), settings);
  const curves = clip.classes.slice(0, 8).flatMap((one) => ["before", "after"].map((system) => ({
    x: one[system].area.map((_, k) => k * clip.every), y: one[system].area, name: `${one.label} ${system}`, mode: "lines",
    line: {color: `rgb(${one.colour})`, width: system === "after" ? 2 : 1, dash: system === "after" ? "solid" : "dot"},
  })));
  if (at("areas")) Plotly.react("areas", curves, layout("pixels"), settings);
}
plots();
at("flicker").on("plotly_click", (event) => { film.pause(); go(event.points[0].x); });
document.addEventListener("themechange", plots);

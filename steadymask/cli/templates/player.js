"use strict";
// One film holds the picture, the masks before and the masks after, one pane below the other: both
// players are drawn from the same moment, so they cannot fall out of step.
const clip = JSON.parse(document.getElementById("clip").textContent);
const at = (id) => document.getElementById(id);
const film = at("film"), slider = at("frame"), opacity = at("opacity"), row = at("row");
const [width, height] = clip.pane, last = clip.frames - 1;
let shown = 0;

for (const id of ["before", "after"]) Object.assign(at(id), {width, height});

function draw() {
  if (film.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
  ["before", "after"].forEach((id, k) => {
    const pen = at(id).getContext("2d");
    pen.globalCompositeOperation = "source-over";
    pen.globalAlpha = 1;
    pen.drawImage(film, 0, 0, width, height, 0, 0, width, height);
    pen.globalCompositeOperation = "lighter";
    pen.globalAlpha = Number(opacity.value);
    pen.drawImage(film, 0, (k + 1) * height, width, height, 0, 0, width, height);
    if (document.activeElement === row) mark(pen, clip.slices.rows[row.value]);
  });
}

function mark(pen, y) {
  pen.globalCompositeOperation = "difference";
  pen.globalAlpha = 1;
  pen.fillStyle = "#fff";
  pen.fillRect(0, y, width, 1);
}

function tell(frame) {
  shown = frame;
  slider.value = frame;
  slider.setAttribute("aria-valuetext", `frame ${frame} of ${last}`);
  at("number").textContent = `${frame} / ${last}`;
  document.dispatchEvent(new CustomEvent("frame", {detail: frame}));
}

// The middle of the time that a frame is shown: no rounding can lead to its neighbour.
function go(frame) {
  film.pause();
  tell(Math.max(0, Math.min(last, Math.round(frame) || 0)));
  film.currentTime = (shown + 0.5) / clip.rate;
}

function visit(frame) {
  go(frame);
  at("players").scrollIntoView({block: "nearest"});
}

function follow() {
  if (film.paused) return;
  if (film.requestVideoFrameCallback) film.requestVideoFrameCallback((now, about) => present(about.mediaTime + 0.5 / clip.rate));
  else requestAnimationFrame(() => present(film.currentTime));
}

function present(time) {
  if (film.paused) return;
  tell(Math.min(last, Math.floor(time * clip.rate)));
  draw();
  follow();
}

function toggle() {
  if (!film.paused) { film.pause(); return; }
  if (shown === last) go(0);
  film.play();
}

function rest() {
  at("play").textContent = "▶";
  at("play").setAttribute("aria-label", "play");
  go(film.ended ? last : shown);
}

function begin() {
  go(Number(location.hash.slice(1)));
  draw();
}

film.addEventListener("seeked", draw);
film.addEventListener("error", () => { at("trouble").hidden = false; });
film.addEventListener("play", () => { at("play").textContent = "❚❚"; at("play").setAttribute("aria-label", "pause"); follow(); });
film.addEventListener("pause", rest);
film.addEventListener("loadeddata", begin, {once: true});
if (film.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) begin();
if (film.error) at("trouble").hidden = false;

slider.addEventListener("input", () => go(Number(slider.value)));
opacity.addEventListener("input", draw);
at("back").addEventListener("click", () => go(shown - 1));
at("forward").addEventListener("click", () => go(shown + 1));
at("play").addEventListener("click", toggle);
window.addEventListener("hashchange", () => visit(Number(location.hash.slice(1))));
for (const link of document.querySelectorAll("a.jump")) {
  link.addEventListener("click", () => visit(Number(link.hash.slice(1))));  // also the same one again
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("#opacity, #row, select, .wide")) return;
  const stride = event.shiftKey ? 10 : 1;
  if (event.key === "ArrowLeft") go(shown - stride);
  else if (event.key === "ArrowRight") go(shown + stride);
  else if (event.key === "Home") go(0);
  else if (event.key === "End") go(last);
  else if (event.key === " " && !event.target.matches("button, a")) toggle();
  else return;
  event.preventDefault();
});

function slice() {
  for (const system of ["before", "after"]) at(`slice-${system}`).src = clip.folder + clip.slices[system][row.value];
  row.setAttribute("aria-valuetext", `row ${clip.slices.rows[row.value]} of ${height}`);
  draw();
}
for (const name of ["input", "focus", "blur"]) row.addEventListener(name, slice);
for (const picture of document.querySelectorAll(".slice")) {
  picture.addEventListener("click", (event) => visit(Math.min(last, Math.floor(event.offsetY / picture.clientHeight * picture.naturalHeight) * clip.slices.every)));
}
slice();

const pair = at("pair");
function flow() {
  const chosen = clip.flows[pair.value];
  for (const what of ["flow", "seen"]) at(what).src = clip.folder + chosen[what];
  at("flow-note").textContent = `the hue says where to, as on the wheel; full colour: ${chosen.strongest} pixels of the flow’s grid or more`;
}
if (pair) {
  pair.addEventListener("change", () => { flow(); go(clip.flows[pair.value].frame); });
  flow();
}

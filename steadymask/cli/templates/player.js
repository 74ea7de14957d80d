"use strict";
// One film holds the picture and the layers of the masks before and after, one pane below the other:
// both players are drawn from the same moment, so they cannot fall out of step.
const clip = JSON.parse(document.getElementById("clip").textContent);
const at = (id) => document.getElementById(id);
const film = at("film"), slider = at("frame"), opacity = at("opacity"), row = at("row"), wipe = at("wipe");
const [width, height] = clip.pane, last = clip.frames - 1, MOST_ZOOM = 16;
const view = {zoom: 1, x: width / 2, y: height / 2, wiped: false};  // the centre, in pixels of a pane
let shown = 0;

for (const id of ["before", "after"]) Object.assign(at(id), {width, height});
at("players").style.setProperty("--ratio", width / height);

function draw() {
  if (film.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
  const pen = at("before").getContext("2d");
  pane(pen, 1);
  if (!view.wiped) { pane(at("after").getContext("2d"), 2); return; }
  const line = Number(wipe.value) * width;
  pen.save();
  pen.beginPath();
  pen.rect(line, 0, width - line, height);
  pen.clip();
  pane(pen, 2);
  pen.restore();
  for (const [colour, thick] of [["#000", 4], ["#fff", 2]]) {
    pen.fillStyle = colour;
    pen.fillRect(line - thick / 2, 0, thick, height);
  }
}

// The layers are grey where they change nothing, white and black in the outlines: "hard light".
function pane(pen, which) {
  const w = width / view.zoom, h = height / view.zoom, x = view.x - w / 2, y = view.y - h / 2;
  pen.imageSmoothingEnabled = view.zoom < 3;
  pen.globalCompositeOperation = "source-over";
  pen.globalAlpha = 1;
  pen.drawImage(film, x, y, w, h, 0, 0, width, height);
  pen.globalCompositeOperation = "hard-light";
  pen.globalAlpha = Number(opacity.value);
  pen.drawImage(film, x, which * height + y, w, h, 0, 0, width, height);
  pen.globalCompositeOperation = "source-over";
  pen.globalAlpha = 1;
  if (document.activeElement === row) mark(pen, (clip.slices.rows[row.value] - y) * view.zoom);
}

function mark(pen, y) {
  pen.globalCompositeOperation = "difference";
  pen.fillStyle = "#fff";
  pen.fillRect(0, y, width, 1);
  pen.globalCompositeOperation = "source-over";
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
  go(location.hash ? Number(location.hash.slice(1)) : clip.opens);
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
for (const one of [opacity, wipe]) one.addEventListener("input", draw);
at("back").addEventListener("click", () => go(shown - 1));
at("forward").addEventListener("click", () => go(shown + 1));
at("play").addEventListener("click", toggle);
window.addEventListener("hashchange", () => visit(Number(location.hash.slice(1))));
for (const link of document.querySelectorAll("a.jump")) {
  link.addEventListener("click", () => visit(Number(link.hash.slice(1))));  // also the same one again
}

// Before and after side by side, or one picture with a line that wipes between them.
function show(wiped) {
  view.wiped = wiped;
  at("second").hidden = wiped;
  at("wiper").hidden = !wiped;
  at("players").classList.toggle("single", wiped);
  at("before").nextElementSibling.textContent = wiped ? "left of the line: before; right of it: after" : "before";
  at("side").setAttribute("aria-pressed", !wiped);
  at("wiped").setAttribute("aria-pressed", wiped);
  draw();
}
at("side").addEventListener("click", () => show(false));
at("wiped").addEventListener("click", () => show(true));
show(matchMedia("(max-width: 40rem)").matches);

// Zoom keeps the point under the pointer where it is; (u, v) is that point as shares of the picture.
function zoom(factor, u = 0.5, v = 0.5) {
  const before = view.zoom;
  view.zoom = Math.max(1, Math.min(MOST_ZOOM, view.zoom * factor));
  shift((u - 0.5) * width * (1 / before - 1 / view.zoom), (v - 0.5) * height * (1 / before - 1 / view.zoom));
  at("zoom").textContent = `${Math.round(10 * view.zoom) / 10}×`;
  for (const id of ["before", "after"]) at(id).classList.toggle("near", view.zoom > 1);
}

function shift(dx, dy) {
  const w = width / view.zoom / 2, h = height / view.zoom / 2;
  view.x = Math.max(w, Math.min(width - w, view.x + dx));
  view.y = Math.max(h, Math.min(height - h, view.y + dy));
  draw();
}
at("smaller").addEventListener("click", () => zoom(1 / 1.5));
at("larger").addEventListener("click", () => zoom(1.5));
at("fit").addEventListener("click", () => zoom(1 / view.zoom));

for (const canvas of [at("before"), at("after")]) {
  const fingers = new Map();
  const share = (event) => [event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight];
  const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  let wiping = false;
  canvas.addEventListener("pointerdown", (event) => {
    wiping = view.wiped && (view.zoom === 1 || Math.abs(share(event)[0] - wipe.value) < 0.05);
    fingers.set(event.pointerId, share(event));
    canvas.setPointerCapture(event.pointerId);
    if (wiping) { wipe.value = share(event)[0]; draw(); }
  });
  canvas.addEventListener("pointermove", (event) => {
    const from = fingers.get(event.pointerId);
    if (!from) return;
    const apart = fingers.size === 2 ? spread() : 0, to = share(event);
    fingers.set(event.pointerId, to);
    if (apart) zoom(spread() / apart, ...to);
    else if (wiping) { wipe.value = to[0]; draw(); }
    else shift((from[0] - to[0]) * width / view.zoom, (from[1] - to[1]) * height / view.zoom);
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("dblclick", (event) => zoom(view.zoom > 1 ? 1 / view.zoom : 4, ...share(event)));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && view.zoom === 1) return;  // the page scrolls; ctrl, or a pinch, zooms
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), ...share(event));
  }, {passive: false});
}

// The next frame that a person should check, round and round.
function check() {
  if (!clip.checks.length) return;
  const next = clip.checks.find((one) => one.frame > shown) || clip.checks[0];
  visit(next.frame);
  at("reason").textContent = `frame ${next.frame}: ${next.words}`;
}
at("next").addEventListener("click", check);
at("next").hidden = !clip.checks.length;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("#opacity, #row, #wipe, select, .wide")) return;
  const stride = event.shiftKey ? 10 : 1;
  if (event.key === "ArrowLeft") go(shown - stride);
  else if (event.key === "ArrowRight") go(shown + stride);
  else if (event.key === "Home") go(0);
  else if (event.key === "End") go(last);
  else if (event.key === "n") check();
  else if (event.key === "w") show(!view.wiped);
  else if (event.key === "+") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "0") zoom(1 / view.zoom);
  else if (event.key === " " && !event.target.matches("button, a")) toggle();
  else return;
  event.preventDefault();
});

// Lanes above the slider: what happens when, drawn once; a click goes there.
function lanes() {
  const made = [
    ["risk", [[clip.risk, "--bad"]], 1],
    ["trust", [[clip.trust && clip.trust.untrusted, "--soft"], [clip.trust && clip.trust.wrong, "--bad"]], 1],
    ["changed", [[clip.changed, "--soft"]], 1],
    ["flicker", [[clip.flicker.after, "--two"]], 0],
  ];
  at("lanes").replaceChildren(...made.filter(([, curves]) => curves[0][0]).map(([name, curves, top]) => {
    const most = top || Math.max(1e-9, ...curves[0][0].value.map((value) => value || 0));
    const lane = document.createElement("canvas"), label = document.createElement("span");
    Object.assign(lane, {width: Math.max(curves[0][0].value.length, 1), height: 24, title: `${name}: a click goes there`});
    const pen = lane.getContext("2d");
    for (const [curve, colour] of curves) {  // the later ones over the earlier
      pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(colour).trim();
      curve.value.forEach((value, k) => { const h = Math.min(1, (value || 0) / most) * 24; pen.fillRect(k, 24 - h, 1, h); });
    }
    lane.addEventListener("click", (event) => go(event.offsetX / lane.clientWidth * clip.frames - 0.5));
    label.textContent = name;
    const line = document.createElement("div");
    line.append(label, lane);
    return line;
  }), Object.assign(document.createElement("i"), {id: "now"}));
}
lanes();
document.addEventListener("themechange", lanes);
document.addEventListener("frame", () => at("lanes").style.setProperty("--now", (shown + 0.5) / clip.frames));

const aligned = at("aligned");  // reports of earlier versions have none
function slice() {
  const shown = aligned?.checked ? clip.slices.aligned : clip.slices;
  for (const system of ["before", "after"]) at(`slice-${system}`).src = clip.folder + shown[system][row.value];
  at("aligned-note").hidden = !aligned?.checked;
  row.setAttribute("aria-valuetext", `row ${clip.slices.rows[row.value]} of ${height}`);
  draw();
}
for (const name of ["input", "focus", "blur"]) row.addEventListener(name, slice);
aligned?.addEventListener("change", slice);
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

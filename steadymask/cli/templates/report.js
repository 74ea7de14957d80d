"use strict";
// Light or dark as the reader last chose; else as the system says.
const root = document.documentElement;
const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("theme").addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* pages from the disk may have none */ }
    document.dispatchEvent(new Event("themechange"));
  });
  for (const table of document.querySelectorAll("table.sortable")) sortable(table);
  for (const box of document.querySelectorAll(".explained")) box.addEventListener("beforetoggle", anchor);
  hints();
  addEventListener("resize", hints);
});

// An explanation opens below its question mark, inside the window.
let asked = null;
document.addEventListener("click", (event) => { asked = event.target.closest(".word") || asked; }, true);
function anchor(event) {
  if (event.newState !== "open" || !asked) return;
  const box = event.target, mark = asked.getBoundingClientRect(), wide = Math.min(352, innerWidth - 24);
  box.style.width = `${wide}px`;
  box.style.left = `${Math.max(12, Math.min(mark.left - 16, innerWidth - wide - 12))}px`;
  const low = mark.bottom + 6, fits = low + 150 < innerHeight;
  box.style.top = fits ? `${low}px` : "auto";
  box.style.bottom = fits ? "auto" : `${innerHeight - mark.top + 6}px`;
}

// Tables that go on beyond the right edge say so.
function hints() {
  for (const box of document.querySelectorAll(".wide")) box.classList.toggle("more", box.scrollWidth > box.clientWidth + 1);
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button"), numbers = head.matches(".n, .count");
    if (button) button.addEventListener("click", () => {
      const sorted = head.getAttribute("aria-sort");
      const falling = sorted ? sorted === "ascending" : numbers;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      sortRows(table.tBodies[0], column, falling, numbers);
    });
  });
}

// What has no value stays at the end, whichever way.
function sortRows(body, column, falling, numbers) {
  const words = new Intl.Collator(undefined, {numeric: true});
  const order = numbers ? (a, b) => a - b : words.compare;
  const rows = [...body.rows].map((row) => [row.cells[column].dataset.v, row]);
  const known = rows.filter(([value]) => value !== "").sort(([a], [b]) => (falling ? order(b, a) : order(a, b)));
  body.append(...[...known, ...rows.filter(([value]) => value === "")].map(([, row]) => row));
}

"use strict";
// Light or dark as the reader last chose; else as the system says.
const root = document.documentElement;
const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
if (remembered()) root.dataset.theme = remembered();

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("theme").addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* pages from the disk may have none */ }
    document.dispatchEvent(new Event("themechange"));
  });
  for (const table of document.querySelectorAll("table.sortable")) sortable(table);
});

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (button) button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : head.classList.contains("n");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      sortRows(table.tBodies[0], column, falling, head.classList.contains("n"));
    });
  });
}

function sortRows(body, column, falling, numbers) {
  const value = (row) => row.cells[column].dataset.v;
  const order = numbers ? (a, b) => value(a) - value(b) : (a, b) => value(a).localeCompare(value(b), undefined, {numeric: true});
  const rows = [...body.rows].sort((a, b) => (falling ? order(b, a) : order(a, b)));
  body.append(...rows);
}

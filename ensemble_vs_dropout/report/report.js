"use strict";
// Without this script the tables are plain tables. With it a heading is a button: up, down, and as it was.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { null: "ascending", ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      body.append(...(next ? sorted(rows, column, next === "ascending" ? 1 : -1) : rows));
    });
  });
}

for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;

// Stable in both directions; what has no number stands last in both.
function sorted(rows, column, sign) {
  const cell = (row) => row.cells[column];
  const numeric = rows.some((row) => cell(row).hasAttribute("data-sort"));
  const compare = (a, b) => {
    if (!numeric) return sign * cell(a).textContent.localeCompare(cell(b).textContent, "en", { numeric: true });
    const [x, y] = [a, b].map((row) => parseFloat(cell(row).dataset.sort));
    return Number.isNaN(x) - Number.isNaN(y) || (Number.isNaN(x) ? 0 : sign * (x - y));
  };
  return rows.slice().sort(compare);
}

// A part that is folded opens when it is gone to.
function unfold() {
  const part = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = part; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  const own = part && part.querySelector(":scope > details");
  if (own) own.open = true;
}
window.addEventListener("hashchange", unfold);
unfold();

window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details[data-print]").forEach((details) => (details.open = true));
});

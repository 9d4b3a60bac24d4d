"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);

// Tables: a click on a heading sorts by its column, numbers from the greatest at first; unknown values stay last.
for (const heading of all(".sortable thead th")) {
  one("button", heading).addEventListener("click", () => {
    const table = heading.closest("table"), column = heading.cellIndex;
    const numbers = heading.classList.contains("number");
    const rising = heading.ariaSort ? heading.ariaSort === "descending" : !numbers;
    all("th", table).forEach(other => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const known = row => value(row) !== "";
    const compare = (a, b) => numbers ? value(a) - value(b) : value(a).localeCompare(value(b));
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => known(b) - known(a) || (known(a) && (rising ? compare(a, b) : compare(b, a))));
    table.tBodies[0].append(...rows);
  });
}

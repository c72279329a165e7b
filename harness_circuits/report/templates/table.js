"use strict";
// Tabs, sorting, filtering and opening of rows. Without it, the page shows all tables.
const tabs = [...document.querySelectorAll("[role=tab]")];
const panels = [...document.querySelectorAll("[role=tabpanel]")];
const filter = document.getElementById("filter");
const runRows = (panel) => [...panel.querySelectorAll("table.runs > tbody > tr[data-run]")];
const opened = (row) => row.nextElementSibling?.matches(".details") ? row.nextElementSibling : null;

function choose(tab) {
  tabs.forEach((other) => other.setAttribute("aria-selected", String(other === tab)));
  panels.forEach((panel) => { panel.hidden = panel.id !== tab.getAttribute("aria-controls"); });
  const header = document.getElementById(tab.getAttribute("aria-controls")).querySelector("table.runs th.value");
  sortBy(header, header.dataset.first);
  panels.forEach((panel) => runRows(panel).forEach((row) => toggle(row, false)));
  applyFilter();
}

function applyFilter() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  panels.forEach((panel) => {
    const rows = runRows(panel);
    rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (row.hidden) toggle(row, false);
    });
    if (!panel.hidden) {
      const shown = rows.filter((row) => !row.hidden).length;
      document.getElementById("count").textContent = `${shown} of ${rows.length} runs`;
    }
  });
}

function sortBy(header, wanted) {
  const panel = header.closest("[role=tabpanel]");
  const column = [...header.parentElement.children].indexOf(header);
  const now = header.getAttribute("aria-sort");
  const first = header.dataset.first ?? "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = wanted ?? (now === first ? other : first);
  [...header.parentElement.children].forEach((th) => th.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const compare = (a, b) => {
    const [x, y] = [a, b].map((row) => row.children[column]);
    if (x.dataset.sort === undefined) {
      return sign * x.textContent.localeCompare(y.textContent, "en", { numeric: true });
    }
    const missing = (x.dataset.sort === "") - (y.dataset.sort === "");
    return missing || sign * (Number(x.dataset.sort) - Number(y.dataset.sort));
  };
  const body = panel.querySelector("table.runs > tbody");
  runRows(panel).sort(compare).forEach((row) => {
    const details = opened(row);
    body.append(row);
    if (details) body.append(details);
  });
}

function toggle(row, open = !opened(row)) {
  row.querySelector("button.open").setAttribute("aria-expanded", String(open));
  if (!open) {
    opened(row)?.remove();
  } else if (!opened(row)) {
    const details = document.createElement("tr");
    details.className = "details";
    const cell = details.insertCell();
    cell.colSpan = row.children.length;
    const circuit = make("div", { className: "circuit" });
    circuit.dataset.view = row.dataset.run;
    cell.append(circuit);
    row.after(details);
    showCircuit(circuit);
  }
}

tabs.forEach((tab) => tab.addEventListener("click", () => choose(tab)));
filter.addEventListener("input", applyFilter);
document.addEventListener("click", (event) => {
  const header = event.target.closest("table.runs > thead th");
  if (header) return sortBy(header);
  const cell = event.target.closest("[data-open]");
  if (cell) {
    const own = cell.closest("[role=tabpanel]").querySelector(`tr[data-run="${cell.dataset.open}"]`);
    filter.value = "";
    applyFilter();
    toggle(own, true);
    own.scrollIntoView({ block: "start" });
    return own.querySelector("button.open").focus();
  }
  const row = event.target.closest("table.runs > tbody > tr[data-run]");
  if (row && getSelection().isCollapsed) toggle(row);
});
document.body.classList.add("live");
choose(tabs[0]);

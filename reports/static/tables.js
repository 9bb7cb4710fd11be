"use strict";

/* The address contains all choices. Each choice is a history entry that the Back button undoes; typing a filter is a
   single entry. */
const body = document.body;
const standard = { ...body.dataset };
const words = (element) => element.textContent.replace(/[↕↑↓]/g, "").replace(/\s+/g, " ").trim();
const asked = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

function remember(name, value, step = true) {
  const chosen = asked();
  if (value) chosen.set(name, value);
  else chosen.delete(name);
  history[step ? "pushState" : "replaceState"](null, "", `#${chosen}`);
}

/* Switches: attributes of the body select the displayed values, columns and images. */
const switches = [...document.querySelectorAll("fieldset input")];
for (const input of switches) {
  input.addEventListener("change", () => { body.dataset[input.name] = input.value; remember(input.name, input.value); });
}

function setSwitches(chosen) {
  for (const name of new Set(switches.map((input) => input.name))) {
    const own = switches.filter((input) => input.name === name);
    const input = own.find(({ value }) => value === chosen.get(name)) ?? own.find(({ value }) => value === standard[name]);
    if (!input) continue;
    input.checked = true;
    body.dataset[name] = input.value;
  }
}

/* Sorting: by the displayed values of a column, empty values last; baselines are sorted like all other rows. */
const shown = (cell) => cell.dataset[body.dataset.metric] ?? cell.dataset.value ?? (cell.querySelector("span") ?? cell).textContent.trim();
const numeric = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));
const OPPOSITE = { ascending: "descending", descending: "ascending" };

function order(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [numeric(a), numeric(b)];
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en") : x - y);
}

/* The column headings in the order of the cells of a body row, although some headings span two rows. */
function headsInOrder(table) {
  const [first, second] = table.tHead.rows;
  const tall = [...first.cells].filter((head) => !second || head.rowSpan > 1);
  return [...tall, ...(second ? second.cells : [])];
}

const tables = [...document.querySelectorAll("table.sortable")].map((table) => ({
  table, heads: headsInOrder(table), rows: [...table.tBodies[0].rows],
}));
const nameOf = (head) => head.dataset.col ?? words(head);

/* Sort a table by the column of this name; a table without such a column keeps its original order. */
function sort({ table, heads, rows }, name, direction) {
  const index = heads.findIndex((head) => nameOf(head) === name);
  heads.forEach((head, other) => head.setAttribute("aria-sort", other === index ? direction : "none"));
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = index < 0 ? rows.map((row) => ["", row]) : rows.map((row) => [shown(row.cells[index]), row]);
  keyed.sort(([a], [b]) => order(a, b, sign));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

for (const one of tables) {
  for (const head of one.heads) {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const direction = OPPOSITE[head.getAttribute("aria-sort")] ?? button.dataset.first;
      remember("sort", `${nameOf(head)}.${direction}`);
      setSort(asked());
    });
  }
}

function setSort(chosen) {
  const text = chosen.get("sort") ?? "";
  const name = text.slice(0, text.lastIndexOf("."));
  const direction = text.slice(text.lastIndexOf(".") + 1);
  for (const one of tables) sort(one, direction in OPPOSITE ? name : "", direction in OPPOSITE ? direction : "none");
}

/* Rows: with a filter, show all matching rows; otherwise, show only one row for each method that is not unfolded. */
const filter = document.getElementById("filter");
const none = document.getElementById("none");
const folds = [...document.querySelectorAll("tr[data-fold]")].map((row) => {
  const { fold } = row.dataset;
  const further = [...row.parentNode.rows].filter(({ dataset }) => dataset.of === fold).length;
  const text = `${further} further configuration${further > 1 ? "s" : ""}`;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "fold", textContent: text });
  button.dataset.method = fold;
  row.cells[0].append(button);
  return button;
});
const labelOf = (row) => (row.cells[0].querySelector("span") ?? row.cells[0]).textContent;
const opened = (chosen) => new Set((chosen.get("open") ?? "").split(" ").filter(Boolean));

function setRows(chosen) {
  const text = chosen.get("filter") ?? "";
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  const open = opened(chosen);
  const rows = [...document.querySelectorAll("table.results tbody tr, table.costs tbody tr")];
  for (const row of rows) {
    const label = labelOf(row).toLowerCase();
    const folded = row.dataset.of !== undefined && !wanted.length && !open.has(row.dataset.of);
    row.hidden = folded || !wanted.every((word) => label.includes(word));
  }
  for (const button of folds) {
    button.hidden = wanted.length > 0;
    button.setAttribute("aria-expanded", open.has(button.dataset.method));
  }
  if (filter && document.activeElement !== filter) filter.value = text;
  if (none) {
    none.hidden = rows.some((row) => !row.hidden && row.closest("#results"));
    none.querySelector("span").textContent = none.hidden ? "" : `No method matches “${text}”.`;
  }
}

for (const button of folds) {
  button.addEventListener("click", () => {
    const open = opened(asked());
    if (!open.delete(button.dataset.method)) open.add(button.dataset.method);
    remember("open", [...open].join(" "));
    setRows(asked());
  });
}
if (filter) filter.addEventListener("input", () => { remember("filter", filter.value, !asked().has("filter")); setRows(asked()); });
if (none) {
  none.querySelector("button").addEventListener("click", () => {
    filter.value = "";
    remember("filter", "");
    setRows(asked());
    filter.focus();
  });
}

/* In a narrow window, a table shows one task: the chosen task, or the first task if the table lacks the chosen one. */
const task = document.getElementById("task");

function setTask(chosen) {
  if (!task) return;
  const wanted = chosen.get("task") ?? task.options[0].value;
  task.value = [...task.options].some(({ value }) => value === wanted) ? wanted : task.options[0].value;
  for (const { table, heads, rows } of tables.filter(({ table: one }) => one.matches(".results"))) {
    const names = [...table.tHead.rows[0].querySelectorAll(".task")];
    const mine = names.some((head) => head.dataset.task === task.value) ? task.value : names[0]?.dataset.task;
    const first = heads.length - names.length;
    names.forEach((head, place) => {
      const aside = head.dataset.task !== mine;
      for (const cell of [head, heads[first + place], ...rows.map((row) => row.cells[first + place])]) cell.classList.toggle("aside", aside);
    });
  }
}
if (task) task.addEventListener("change", () => { remember("task", task.value); setTask(asked()); });

/* An address that only names a section of the page contains no choices and leaves the current choices unchanged. */
function recallTables() {
  if (location.hash.length > 1 && !location.hash.includes("=")) return;
  const chosen = asked();
  for (const set of [setSwitches, setSort, setRows, setTask]) set(chosen);
}
window.addEventListener("popstate", recallTables);
recallTables();

/* Plots: show the plot that matches all choices of its figure. */
for (const figure of document.querySelectorAll("figure[data-plots]")) {
  const choices = [...figure.querySelectorAll("select[data-axis]")];
  const draw = () => {
    const plots = [...figure.querySelectorAll(".plot")];
    for (const plot of plots) plot.hidden = !choices.every((select) => plot.dataset[select.dataset.axis] === select.value);
    const missing = figure.querySelector("[data-none]");
    if (missing) missing.hidden = plots.some((plot) => !plot.hidden);
  };
  for (const select of choices) select.addEventListener("change", draw);
}

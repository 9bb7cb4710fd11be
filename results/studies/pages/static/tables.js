"use strict";

/* Switches: values, columns and images are chosen by attributes of the body; the address remembers them. */
const chosen = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
for (const input of document.querySelectorAll("fieldset input")) {
  if (chosen.get(input.name) === input.value) {
    input.checked = true;
    document.body.dataset[input.name] = input.value;
  }
  input.addEventListener("change", () => {
    document.body.dataset[input.name] = input.value;
    remember(input.name, input.value);
  });
}

function remember(name, value) {
  if (value) chosen.set(name, value);
  else chosen.delete(name);
  history.replaceState(null, "", `#${chosen}`);
}

/* Sorting: by what a column shows, empty values last, baselines along with the rest. */
const shown = (cell) => cell.dataset[document.body.dataset.metric] ?? cell.dataset.value ?? cell.textContent.trim();
const numeric = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));

function order(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [numeric(a), numeric(b)];
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en") : x - y);
}

/* Column numbers of the sort buttons in the order of the body's cells, whatever the head's rows span. */
function headsInOrder(table) {
  const [first, second] = table.tHead.rows;
  const tall = [...first.cells].filter((head) => !second || head.rowSpan > 1);
  return [...tall, ...(second ? second.cells : [])];
}

function sort(table, index, direction) {
  headsInOrder(table).forEach((head, other) => head.setAttribute("aria-sort", other === index ? direction : "none"));
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = [...table.tBodies[0].rows].map((row) => [shown(row.cells[index]), row]);
  keyed.sort(([a], [b]) => order(a, b, sign));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

[...document.querySelectorAll("table.sortable")].forEach((table, number) => {
  const heads = headsInOrder(table);
  heads.forEach((head, index) => {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const opposite = { ascending: "descending", descending: "ascending" };
      const direction = opposite[head.getAttribute("aria-sort")] ?? button.dataset.first;
      sort(table, index, direction);
      remember("sort", `${number}.${index}.${direction}`);
    });
  });
  const [which, index, direction] = (chosen.get("sort") ?? "").split(".");
  if (which === String(number) && heads[index] && ["ascending", "descending"].includes(direction)) sort(table, Number(index), direction);
});

/* Filter: every table that has methods for rows. */
const filter = document.getElementById("filter");
function narrow() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of document.querySelectorAll("table.results tbody tr, table.costs tbody tr")) {
    const label = row.cells[0].textContent.toLowerCase();
    row.hidden = !words.every((word) => label.includes(word));
  }
}

if (filter) {
  filter.addEventListener("input", () => { narrow(); remember("filter", filter.value); });
  filter.value = chosen.get("filter") ?? "";
  narrow();
}

/* Plots: the one that all choices of its figure name. */
for (const figure of document.querySelectorAll("figure[data-plots]")) {
  const choices = [...figure.querySelectorAll("select[data-axis]")];
  const draw = () => {
    const plots = [...figure.querySelectorAll(".plot")];
    for (const plot of plots) plot.hidden = !choices.every((select) => plot.dataset[select.dataset.axis] === select.value);
    const none = figure.querySelector("[data-none]");
    if (none) none.hidden = plots.some((plot) => !plot.hidden);
  };
  for (const select of choices) select.addEventListener("change", draw);
}

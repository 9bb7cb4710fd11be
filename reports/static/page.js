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

filter.addEventListener("input", () => { narrow(); remember("filter", filter.value); });
filter.value = chosen.get("filter") ?? "";
narrow();

for (const select of document.querySelectorAll("select[data-plots]")) {
  select.addEventListener("change", () => {
    const plots = document.getElementById(select.dataset.plots).children;
    [...plots].forEach((plot, index) => { plot.hidden = index !== Number(select.value); });
  });
}

/* Pictures. */
function pictures(gallery) {
  const part = (name) => document.getElementById(`picture-${name}`);
  const [group, task, image, left, right] = ["group", "task", "image", "left", "right"].map(part);
  const slider = document.querySelector("img-comparison-slider");
  const [first, second] = slider.querySelectorAll("img");
  const strip = document.querySelector(".strip");

  const fill = (select, names) => {
    const before = select.value;
    select.replaceChildren(...names.map((name, index) => new Option(name, index)));
    return before;
  };
  const tasks = () => gallery.filter((entry) => entry.group === group.selectedOptions[0].text);
  const current = () => tasks()[task.value].images[image.value];
  const named = (label) => current().pictures.findIndex((picture) => picture.label === label);

  function show(picture, img, caption) {
    img.src = picture.src;
    img.alt = `${current().name}, ${picture.label}`;
    img.width = current().width;
    img.height = current().height;
    document.getElementById(caption).textContent = `${picture.label}  ${picture.score}`;
  }

  function compare() {
    const all = current().pictures;
    show(all[left.value], first, "caption-left");
    show(all[right.value], second, "caption-right");
    [...strip.children].forEach((button, index) => button.setAttribute("aria-pressed", index === Number(right.value)));
  }

  function thumbnail(picture, index) {
    const button = document.createElement("button");
    button.type = "button";
    const img = Object.assign(new Image(), { loading: "lazy", src: picture.src, alt: "" });
    const label = Object.assign(document.createElement("b"), { textContent: picture.label });
    button.append(img, label, picture.score);
    button.addEventListener("click", () => { right.value = index; compare(); });
    return button;
  }

  function chooseImage() {
    const labels = [left, right].map((select) => select.selectedOptions[0]?.text);
    const all = current().pictures;
    for (const select of [left, right]) fill(select, all.map((picture) => picture.label));
    strip.style.setProperty("--ratio", `${current().width} / ${current().height}`);
    slider.style.aspectRatio = `${current().width} / ${current().height}`;
    strip.replaceChildren(...all.map(thumbnail));
    left.value = Math.max(0, named(labels[0]));
    const again = named(labels[1]);
    right.value = again < 0 ? all.length - 1 : again;
    compare();
  }

  function chooseTask() {
    const before = image.selectedOptions[0]?.text;
    const images = tasks()[task.value].images;
    fill(image, images.map((entry) => `${entry.set}: ${entry.name} (${entry.protocol})`));
    image.value = Math.max(0, [...image.options].findIndex((option) => option.text === before));
    chooseImage();
  }

  function chooseGroup() {
    fill(task, tasks().map((entry) => entry.title));
    task.value = 0;
    chooseTask();
  }

  fill(group, [...new Set(gallery.map((entry) => entry.group))]);
  group.addEventListener("change", chooseGroup);
  task.addEventListener("change", chooseTask);
  image.addEventListener("change", chooseImage);
  for (const select of [left, right]) select.addEventListener("change", compare);
  chooseGroup();
}

const gallery = JSON.parse(document.getElementById("gallery").textContent);
if (gallery.length) pictures(gallery);

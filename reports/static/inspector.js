"use strict";

/* The inspector: two versions of a photograph under a slider, and a loupe that shows the same crop of every version. */
const gallery = JSON.parse(document.getElementById("gallery").textContent);
const inspector = document.getElementById("inspector");
const part = (name) => inspector.querySelector(`[data-part="${name}"]`);
const [group, task, image, left, right, map, crops] = ["group", "task", "image", "left", "right", "map", "crops"].map(part);
const stage = inspector.querySelector(".stage");
const loupe = inspector.querySelector(".loupe");
const strip = inspector.querySelector(".strip");
const SIDE = Number(inspector.dataset.side);
const place = { x: 0, y: 0 };

const tasks = () => gallery.filter((entry) => entry.group === group.value);
const images = () => tasks().find((entry) => entry.task === task.value).images;
const nameOf = (photograph) => `${photograph.set}/${photograph.name}`;
const current = () => images().find((photograph) => nameOf(photograph) === image.value);
const clean = () => current().pictures.at(-1).src;

/* Fill a select element with options; keep the selected value if it is still among the options. */
function fill(select, options, otherwise) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  const values = options.map(([value]) => value);
  select.value = values.includes(before) ? before : values.includes(otherwise) ? otherwise : values[0];
}

function choose() {
  fill(group, [...new Set(gallery.map((entry) => entry.group))].map((name) => [name, name]));
  fill(task, tasks().map((entry) => [entry.task, entry.title]));
  fill(image, images().map((one) => [nameOf(one), `${one.set}: ${one.name}${one.part && `, ${one.part}`} (${one.protocol})`]));
  const labels = current().pictures.map(({ label }) => [label, label]);
  fill(left, labels, labels[0][0]);
  fill(right, labels, "clean");
  draw();
}

function draw() {
  const { width, height } = current();
  stage.style.setProperty("--ratio", `${width} / ${height}`);
  stage.parentElement.style.setProperty("--fit", width / height);
  for (const [side, select] of [["first", left], ["second", right]]) showVersion(stage.querySelector(`[slot=${side}]`), select.value);
  part("left-caption").textContent = caption(left.value);
  part("right-caption").textContent = caption(right.value);
  crops.replaceChildren(...current().crops.map(cropButton));
  strip.replaceChildren(...current().pictures.map(tile));
  inspector.classList.toggle("errors", map.checked);
  move(place.x, place.y);
}

const picture = (label) => current().pictures.find((one) => one.label === label);
const caption = (label) => `${label}  ${picture(label).score}`;

function showVersion(element, label) {
  const [own, reference] = element.querySelectorAll("img");
  own.src = picture(label).src;
  own.alt = `${current().name}, ${label}`;
  if (map.checked) reference.src = clean();
  else reference.removeAttribute("src");
}

function cropButton(crop, index) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: index + 1, title: "crop in which methods differ most" });
  button.addEventListener("click", () => { move(crop.x, crop.y); remember(); });
  return button;
}

function tile({ label, src }) {
  const button = Object.assign(document.createElement("button"), { type: "button" });
  const lens = Object.assign(document.createElement("span"), { className: "lens version" });
  const own = Object.assign(new Image(), { src, alt: "", loading: "lazy" });
  const reference = Object.assign(new Image(), { alt: "", className: "clean" });
  if (map.checked) reference.src = clean();
  lens.append(own, reference);
  button.append(lens, Object.assign(document.createElement("b"), { textContent: label }), document.createElement("span"));
  button.setAttribute("aria-pressed", label === right.value);
  button.addEventListener("click", () => { right.value = label; draw(); remember(); });
  return button;
}

/* Move the loupe: the box on the image, and the crop shown by every tile. */
function move(x, y) {
  const { width, height, pictures } = current();
  const side = Math.min(SIDE, width, height);
  place.x = Math.round(Math.max(0, Math.min(x, width - side)));
  place.y = Math.round(Math.max(0, Math.min(y, height - side)));
  Object.assign(loupe.style, {
    left: `${(100 * place.x) / width}%`, top: `${(100 * place.y) / height}%`,
    width: `${(100 * side) / width}%`, height: `${(100 * side) / height}%`,
  });
  const crop = current().crops.find((one) => one.x === place.x && one.y === place.y);
  [...strip.children].forEach((button, index) => {
    for (const img of button.querySelectorAll("img")) {
      Object.assign(img.style, {
        width: `${(100 * width) / side}%`, height: `${(100 * height) / side}%`,
        left: `${(-100 * place.x) / side}%`, top: `${(-100 * place.y) / side}%`,
      });
    }
    const here = crop?.scores[index];
    button.lastChild.textContent = crop ? (here == null ? "" : `${here.toFixed(2)} dB in the crop`) : pictures[index].score;
  });
  [...crops.children].forEach((button, index) => button.setAttribute("aria-pressed", current().crops[index] === crop));
}

/* Each choice is a history entry that the Back button undoes; moving the loupe is not. */
function remember(step = true) {
  const shown = { group: group.value, task: task.value, image: image.value, left: left.value, right: right.value, x: place.x, y: place.y };
  if (map.checked) shown.map = 1;
  if (group.options.length === 1) delete shown.group;
  const address = `#${new URLSearchParams(shown)}`;
  if (address !== location.hash) history[step ? "pushState" : "replaceState"](null, "", address);
}

/* The two restored versions that differ most in the whole gallery; they are shown if the address is empty. */
function mostVisible() {
  const all = gallery.flatMap((entry) => entry.images.map((photograph) => ({ entry, photograph })));
  const levels = ({ photograph }) => photograph.contrast?.levels ?? -1;
  const { entry, photograph } = all.reduce((best, one) => (levels(one) > levels(best) ? one : best));
  const { contrast, pictures } = photograph;
  const pair = contrast ? { left: pictures[contrast.left].label, right: pictures[contrast.right].label } : {};
  return { group: entry.group, task: entry.task, image: nameOf(photograph), ...pair };
}

/* Addresses name an image as SET/IMAGE, or name the set and the image separately. */
function recall() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const wanted = Object.fromEntries(asked);
  if (wanted.set) wanted.image = `${wanted.set}/${wanted.image}`;
  if (!wanted.task) Object.assign(wanted, mostVisible());
  const entry = gallery.find((one) => one.task === wanted.task && (!wanted.group || one.group === wanted.group)) ?? gallery[0];
  for (const [select, value] of [[group, entry.group], [task, entry.task], [image, wanted.image], [left, wanted.left], [right, wanted.right]]) {
    if (value) select.replaceChildren(new Option(value, value));
  }
  map.checked = Boolean(wanted.map);
  choose();
  const first = current().crops[0] ?? { x: (current().width - SIDE) / 2, y: (current().height - SIDE) / 2 };
  move(Number(wanted.x ?? first.x), Number(wanted.y ?? first.y));
}

/* A newly chosen image opens with the loupe on the crop in which methods differ most. */
function look() {
  choose();
  const first = current().crops[0];
  if (first) move(first.x, first.y);
  remember();
}

function step(select, by) {
  const { length } = select.options;
  select.selectedIndex = (select.selectedIndex + by + length) % length;
}

for (const select of [group, task, image]) select.addEventListener("change", look);
for (const input of [left, right, map]) input.addEventListener("change", () => { draw(); remember(); });
stage.addEventListener("pointermove", (event) => {
  const { x, y, width, height } = stage.getBoundingClientRect();
  const scale = current().width / width;
  move((event.clientX - x) * scale - SIDE / 2, ((event.clientY - y) * current().height) / height - SIDE / 2);
});
stage.addEventListener("pointerleave", () => remember(false));

const ARROWS = { ArrowLeft: [-4, 0], ArrowRight: [4, 0], ArrowUp: [0, -4], ArrowDown: [0, 4] };
const KEYS = {
  j: () => { step(image, 1); look(); },
  k: () => { step(image, -1); look(); },
  "]": () => { step(right, 1); draw(); },
  "[": () => { step(right, -1); draw(); },
  e: () => { map.checked = !map.checked; draw(); },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input[type=search]")) return;
  const arrow = event.shiftKey && ARROWS[event.key];
  const crop = current().crops[Number(event.key) - 1];
  if (arrow) move(place.x + arrow[0], place.y + arrow[1]);
  else if (crop) move(crop.x, crop.y);
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
  event.stopPropagation();
  remember(!arrow);
}, true);
window.addEventListener("popstate", recall);
recall();

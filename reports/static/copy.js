"use strict";

/* The text of a table as displayed (values, columns, order, filter), for a spreadsheet, a page or a paper. */
const shownIn = (element) => getComputedStyle(element).display !== "none";

function headWords(table) {
  const tasks = [...table.tHead.rows[0].querySelectorAll(".task")];
  return headsInOrder(table).map((head) => {
    if (!head.classList.contains("quality")) return words(head);
    const task = tasks.shift();
    return `${words(task)}, ${words(head)}`;
  });
}

function cellWords(cell) {
  const value = cell.querySelector(`span.v.${document.body.dataset.metric}`);
  if (!value) return { text: [...cell.childNodes].filter(({ nodeName }) => !["SMALL", "BUTTON"].includes(nodeName)).map((node) => node.textContent).join("").trim() };
  const notes = [...cell.querySelectorAll("abbr")].map((note) => ` ${note.textContent}`).join("");
  return { text: value.textContent + notes, bold: Boolean(cell.querySelector("b")) };
}

function shownTable(table) {
  const kept = [...table.tBodies[0].rows[0].cells].map(shownIn);
  const visible = (_, index) => kept[index];
  return {
    title: words(table.caption),
    heads: headWords(table).filter(visible),
    rows: [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => [...row.cells].filter(visible).map(cellWords)),
  };
}

const TEX = {
  "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "&": "\\&", "%": "\\%", $: "\\$", "#": "\\#", _: "\\_",
  "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "∞": "$\\infty$", "×": "$\\times$", "σ": "$\\sigma$",
  "→": "$\\to$", "<": "\\textless{}", ">": "\\textgreater{}", "²": "\\textsuperscript{2}", "Δ": "$\\Delta$", "°": "$^\\circ$", "–": "--",
};
const tex = (text) => [...text].map((letter) => TEX[letter] ?? letter).join("");
const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const marked = (text) => text.replace(/[\\`*_[\]|<>]/g, "\\$&");

const copies = {
  csv: ({ heads, rows }) => [heads, ...rows.map((row) => row.map(({ text }) => text))].map((line) => line.map(quoted).join(",")).join("\n"),
  markdown: ({ title, heads, rows }) => {
    const line = (cells) => `| ${cells.join(" | ")} |`;
    const body = rows.map((row) => line(row.map(({ text, bold }) => (bold ? `**${marked(text)}**` : marked(text)))));
    return [line(heads.map(marked)), line(heads.map((_, index) => (index ? "---:" : "---"))), ...body, "", marked(title)].join("\n");
  },
  latex: ({ title, heads, rows }) => {
    const line = (cells) => `${cells.join(" & ")} \\\\`;
    const body = rows.map((row) => line(row.map(({ text, bold }) => (bold ? `\\textbf{${tex(text)}}` : tex(text)))));
    return [`% ${title}`, `\\begin{tabular}{l${"r".repeat(heads.length - 1)}}`, "\\toprule", line(heads.map(tex)), "\\midrule",
      ...body, "\\bottomrule", "\\end{tabular}"].join("\n");
  },
};

/* Copy all displayed tables, one after another. If the browser refuses, show the text so that the user can copy it. */
const said = document.getElementById("copied");
const taken = document.getElementById("copied-text");
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const tables = [...document.querySelectorAll("#results table.results")].filter((table) => shownIn(table.closest(".wide")));
    const text = tables.map((table) => copies[button.dataset.copy](shownTable(table))).join("\n\n");
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied.";
      taken.hidden = true;
    } catch {
      Object.assign(taken, { hidden: false, value: text });
      taken.select();
      said.textContent = "Copy the text below.";
    }
  });
}

// Sortable and filterable tables, and interactive figures of the book. Everything is served from this file's own folder.
"use strict";

const home = new URL(".", document.currentScript.src);

function sortable(table) {
  table.querySelectorAll("thead th").forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => sort(table, heading, column));
  });
}

function sort(table, heading, column) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = (row) => row.cells[column].textContent.trim();
  const order = new Intl.Collator("en", { numeric: true }).compare;
  const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * order(text(a), text(b)));
  table.tBodies[0].append(...rows);
}

// Menus over the columns that `data-filter` names, and a field that looks for words in whole rows.
function filterable(box) {
  const rows = [...box.querySelectorAll("tbody tr")];
  const heads = [...box.querySelectorAll("thead th")].map((th) => th.querySelector("button")?.textContent ?? th.textContent);
  const line = document.createElement("div");
  line.className = "fp-filter";
  const labelled = (name, control) => {
    const label = document.createElement("label");
    label.append(name, control);
    line.append(label);
    return control;
  };
  const menus = box.dataset.filter.split(" ").map((name) => {
    const column = heads.indexOf(name);
    const values = [...new Set(rows.map((row) => row.cells[column].textContent.trim()))];
    const menu = labelled(name, document.createElement("select"));
    menu.append(new Option("all", ""), ...values.map((value) => new Option(value)));
    return [column, menu];
  });
  const word = labelled("Contains", Object.assign(document.createElement("input"), { type: "search" }));
  const told = document.createElement("output");
  line.append(told);
  const choose = () => {
    for (const row of rows)
      row.hidden =
        menus.some(([column, menu]) => menu.value && row.cells[column].textContent.trim() !== menu.value) ||
        !row.textContent.toLowerCase().includes(word.value.trim().toLowerCase());
    told.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
  line.addEventListener("input", choose);
  box.prepend(line);
  choose();
}

function load(file) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(file, home);
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${file} could not be loaded`));
    document.head.append(script);
  });
}

// The figure takes its ink from the page, so that it follows the theme.
function inked(layout) {
  const page = getComputedStyle(document.documentElement);
  const ink = page.getPropertyValue("--pst-color-text-base").trim();
  const grid = page.getPropertyValue("--pst-color-border").trim();
  const axis = { color: ink, gridcolor: grid, zerolinecolor: grid };
  const themed = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
  themed.margin = { t: 24, r: 16, b: 48, l: 56, ...layout.margin };
  themed.font = { ...layout.font, color: ink };
  for (const key of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((k) => /^[xy]axis/.test(k))]))
    themed[key] = { ...layout[key], ...axis };
  return themed;
}

async function live(box) {
  const { data, layout, frames } = JSON.parse(box.querySelector("script").textContent);
  const [plot, line] = [box.querySelector(".fp-plot"), box.querySelector(".fp-slider")];
  const [slider, output] = [line.querySelector("input"), line.querySelector("output")];
  const merged = (frame) => data.map((trace, i) => {
    const at = (frame.traces || data.map((_, k) => k)).indexOf(i);
    return at < 0 ? trace : { ...trace, ...frame.data[at] };
  });
  const draw = () => {
    const frame = frames[slider.value];
    output.textContent = slider.ariaValueText = frame.name || slider.value;
    return Plotly.react(plot, merged(frame), inked({ ...layout, ...frame.layout }), { displayModeBar: false, responsive: true });
  };
  box.classList.add("is-live");
  line.hidden = false;
  await draw();
  slider.addEventListener("input", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

async function start() {
  document.querySelectorAll("table.fp-sortable").forEach(sortable);
  document.querySelectorAll("[data-filter]").forEach(filterable);
  const boxes = [...document.querySelectorAll(".fp-interactive")];
  if (boxes.length === 0) return;
  await load("plotly.min.js");
  await Promise.all(boxes.map(live));
}

start();

/** One unit: its numbers, its contexts in every language, its neurons, what is lost without it. */

import { frequencyChart } from "./chart.js";
import { contextColumns, contextRows } from "./contexts.js";
import { csv, download, svgText } from "./files.js";
import { plain, short } from "./study.js";
import { routedRemovalPart, removalPart } from "./removal.js";
import { factList, make } from "./text.js";
import { unitName } from "./units.js";

function expertFacts(study, cell) {
  const { index } = study;
  const rank = study.ranks.get(cell);
  const q = index.q_value[cell];
  return [
    ["Class", study.className(cell)],
    ["Most frequent in", study.languages[index.top_language[cell]].name],
    ["Above the next", `${plain(index.difference[cell])} (95 %: ${plain(index.low[cell])} to ${plain(index.high[cell])}), next is ${study.languages[index.next_language[cell]].name}`],
    ["Adjusted p", q === null ? "–" : plain(q)],
    ["High-frequency in", `${index.n_languages_high[cell]} of ${study.codes.length} languages`],
    ["Most specific", rank ? `number ${rank.rank} of ${study.languages[study.number.get(rank.code)].name}` : "not among those listed"],
  ];
}

/** Frequencies with the ranges of controls, as rows of the chart and of the table. */
export function frequencyRows(study, layer, cell) {
  return study.frequencies(cell).map((row, idx) => ({
    ...row, label: study.languages[idx].name,
    controls: study.controls.map(({ name }) => ({ name, range: study.control(name, idx, layer) })),
  }));
}

const weightOf = (row) => (row.weight === undefined ? [] : [row.weight]);

function frequencyTable(study, rows) {
  const header = ["Language", "Frequency", "Low", "High", ...(study.routed ? ["Weight where chosen, mean"] : []),
    ...study.controls.map(({ name }) => `${name} partition, same layer: 2.5 %, median, 97.5 %`)];
  const body = rows.map((row) => make("tr", { "data-code": row.code }, make("th", { scope: "row" }, row.label),
    ...[row.value, row.low, row.high, ...weightOf(row)].map((value) => make("td", {}, plain(value))),
    ...row.controls.map((control) => make("td", {}, control.range.map(short).join(", ")))));
  return make("table", { class: "numbers" },
    make("thead", {}, make("tr", {}, ...header.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...body));
}

function frequencyPart(study, layer, number, cell, width) {
  const rows = frequencyRows(study, layer, cell);
  const title = `Frequency of ${unitName("expert", layer, number)} by language`;
  const chart = frequencyChart(rows, { width, threshold: study.threshold, controls: study.controls, title });
  const save = make("button", { type: "button", id: "chart-svg" }, "Chart as SVG");
  const name = `${study.model}_${unitName("expert", layer, number)}`;
  save.addEventListener("click", () => download(`${name}.svg`, svgText(chart), "image/svg+xml"));
  const table = make("button", { type: "button", id: "chart-csv" }, "Numbers as CSV");
  table.addEventListener("click", () => {
    const header = ["language", "frequency", "low", "high", ...(study.routed ? ["weight"] : []),
      ...study.controls.flatMap((c) => ["low", "median", "high"].map((end) => `${c.name}_${end}`))];
    const lines = rows.map((row) => [row.code, ...[row.value, row.low, row.high, ...weightOf(row), ...row.controls.flatMap((c) => c.range)]
      .map((value) => Number(value.toPrecision(6)))]);
    download(`${name}.csv`, csv(header, lines), "text/csv");
  });
  const what = study.routed ? "share of tokens for which the router chooses it" : "frequency";
  const entry = (key, text) => make("span", { class: "entry" }, make("span", { class: `key ${key}` }), text);
  const legend = make("p", { class: "legend" }, entry("bar", `${what}, with its 95 % interval`),
    ...study.controls.map(({ name: control }, n) => entry(`c${n}`, `${control} experts of the layer: median, 95 % of them`)),
    entry("dashed", `threshold ${plain(study.threshold)}`));
  return make("section", { class: "panel", "aria-labelledby": "frequency-title" },
    make("h3", { id: "frequency-title" }, "How often it is active"), chart, legend,
    make("details", { id: "frequency-numbers" }, make("summary", {}, "Numbers"),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Numbers of the chart" },
        frequencyTable(study, rows))),
    make("p", { class: "tools" }, save, table));
}

function contextPart(study, contexts, name, kind) {
  const section = make("section", { "aria-labelledby": "contexts-title" },
    make("h3", { id: "contexts-title" }, "What activates it, by language"));
  const unit = contexts[name];
  if (!unit) {
    section.append(make("p", { class: "quiet", id: "no-contexts" },
      `No contexts were written for this unit. With “units: [${name}]” under “contexts:” in the configuration and ` +
      "another run they are there in seconds: nothing is recorded for it."));
    return section;
  }
  const ofExpert = study.routed ? "the weight that the router gives the expert" : "the expert's z-score among those of its layer";
  const score = kind === "expert" ? ofExpert : "the neuron's activation";
  section.append(make("p", { class: "quiet" }, `The number beside a token is ${score}. Each of the strongest tokens is of another document.`),
    make("div", { class: "columns" }, ...contextColumns(study, unit, kind)));
  const save = make("button", { type: "button", id: "contexts-csv" }, "Contexts as CSV");
  save.addEventListener("click", () => {
    const { header, rows } = contextRows(name, unit);
    download(`${study.model}_${name}_contexts.csv`, csv(header, rows), "text/csv");
  });
  section.append(make("p", { class: "tools" }, save));
  return section;
}

function neuronPart(study, contexts, neurons, title, link) {
  const rows = neurons.map((own) => {
    const name = unitName("neuron", own.layer, own.neuron);
    const where = make("th", { scope: "row" }, make("a", { href: link(name) }, name));
    return make("tr", {}, where, make("td", {}, own.code), make("td", {}, `${(100 * own.share).toFixed(0)} %`),
      make("td", {}, `${(100 * own.next).toFixed(0)} %`), make("td", {}, contexts[name] ? "yes" : ""));
  });
  const header = ["Neuron", "Most often in", "Its gate is positive", "Next language", "Contexts"];
  return make("section", { class: "panel", "aria-labelledby": "neurons-title" }, make("h3", { id: "neurons-title" }, title),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of neurons" }, make("table", { class: "numbers" },
      make("thead", {}, make("tr", {}, ...header.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows))));
}

/** Fill an element with a unit. `link(name)`: address of another unit. */
export function showUnit(element, study, contexts, unit, link) {
  const { kind, layer, number } = unit;
  const name = unitName(kind, layer, number);
  const width = Math.max(280, Math.min(720, element.clientWidth - 36));
  const parts = [];
  if (kind === "expert") {
    const cell = study.cell(layer, number);
    parts.push(factList(expertFacts(study, cell)), frequencyPart(study, layer, number, cell, width),
      contextPart(study, contexts, name, kind));
    if (study.routed) parts.push(routedRemovalPart(study, layer, number));
    else {
      parts.push(neuronPart(study, contexts, study.neuronsOf(layer, number), "Its neurons", link),
        removalPart(study, kind, study.ownLanguage(kind, layer, number)));
    }
  } else {
    const own = study.neuron(layer, number);
    const expert = unitName("expert", layer, own.expert);
    const facts = [["Gate positive most often in", `${own.code}: ${(100 * own.share).toFixed(0)} % of its tokens`],
      ["Next language", `${(100 * own.next).toFixed(0)} %`], ["Expert", make("a", { href: link(expert) }, expert)]];
    parts.push(factList(facts), contextPart(study, contexts, name, kind),
      removalPart(study, kind, study.ownLanguage(kind, layer, number)));
  }
  element.querySelector("#unit-title").textContent = `${kind === "expert" ? "Expert" : "Neuron"} ${name}`;
  element.querySelector("#unit-body").replaceChildren(...parts);
}

/** The page: what is shown follows the address, and every control changes the address. */

import { drawScale } from "./colour.js";
import { download, svgText } from "./files.js";
import { pairChart, similarityChart, similarityTable, atDepth, rangeOf } from "./languages.js";
import { UnitList } from "./list.js";
import { mapValues, UnitMap } from "./map.js";
import { FIRST, readState, writeState } from "./state.js";
import { plain, Study } from "./study.js";
import { make } from "./text.js";
import { showUnit } from "./unit.js";
import { findUnits, parseName, SORTS, unitExists, unitName } from "./units.js";

const at = (id) => document.getElementById(id);
const study = new Study(JSON.parse(at("data").textContent));
let contexts = {};
const isOneOf = (values) => (value) => value === "" || values.includes(value);
const layers = study.layers.map(String);
const allowed = {
  unit: (value) => value === "" || unitExists(study, parseName(value)),
  colour: isOneOf(["language", "sharing", "specificity"]), language: isOneOf(study.codes), layer: isOneOf(layers),
  sort: (value) => value in SORTS, kind: isOneOf(["expert", "neuron"]), measure: (value) => value in study.similarity,
  depth: (value) => value === "all" || layers.includes(value), order: isOneOf(["number", "value"]),
  pair: (value) => value === "" || (value.split(".").length === 2 && value.split(".").every((code) => study.number.has(code))),
};
let state = readState(location.hash, allowed);
let shownUnit = "";

const link = (name) => writeState({ ...state, unit: name });

/** False in a report of one file, where the page is a frame without an address of its own. */
const hasPath = () => /^(https?|file):$/.test(location.protocol);

function change(changes) {
  const hash = writeState({ ...state, ...changes });
  const address = hash === "#" && hasPath() ? location.pathname + location.search : hash;
  // typing and sliding make no history of their own
  if ("unit" in changes) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  follow();
}

function fillChoices() {
  const options = (id, entries) =>
    at(id).append(...entries.map(([value, text]) => make("option", { value }, text)));
  options("language", [["", "all languages"], ...study.languages.map(({ code, name }) => [code, `${name} (${code})`])]);
  options("layer", [["", "all layers"], ...layers.map((layer) => [layer, `layer ${layer}`])]);
  for (const id of ["pair-first", "pair-second"]) options(id, study.languages.map(({ code, name }) => [code, name]));
  options("measure", Object.entries(study.similarity).map(([key, found]) => [key, found.title]));
  at("depth").max = String(study.nLayers);
  const upTo = study.sizes.every((size) => size === study.nExperts) ? "" : "up to ";
  const experts = study.routed ? `layers with a router and ${upTo}` : "layers of ";
  at("about").textContent = `${study.nLayers} ${experts}${study.nExperts} experts, ${study.codes.length} languages, ` +
    `${Object.keys(contexts).length} units with contexts`;
  if (!study.nNeurons) {
    at("list-heading").textContent = "Experts";
    at("kind").closest("label").hidden = true;
  }
}

const map = new UnitMap(at("map"), at("map-layers"), study, (layer, number) => change({ unit: unitName("expert", layer, number) }),
  (text) => (at("map-status").textContent = text));
const list = new UnitList(at("list"), at("more"), study, link, (sort) =>
  change({ sort, descending: state.sort === sort ? !state.descending : true }));

function drawUnits() {
  const rows = findUnits(study, contexts, state);
  list.show(rows, state);
  at("count").textContent = `${rows.length} ${rows.length === 1 ? "unit" : "units"}`;
  // the map shows a language's frequencies of all experts, whichever language uses them most
  const seen = state.colour === "language" ? findUnits(study, contexts, { ...state, language: "" }) : rows;
  const experts = seen.filter((row) => row.kind === "expert");
  const lit = experts.length < study.nCells ? new Set(experts.map((row) => row.cell)) : null;
  const values = mapValues(study, state.colour, state.language);
  const unit = state.unit ? parseName(state.unit) : null;
  map.show(values, state.order, unit?.kind === "expert" ? unit : null, lit);
  drawScale(at("map-legend"), values.low, values.high);
  at("map-title").textContent = values.title;
}

function drawUnit() {
  const panel = at("unit");
  panel.hidden = !state.unit;
  if (state.unit && state.unit !== shownUnit) {
    showUnit(panel, study, contexts, parseName(state.unit), link);
    document.title = `${state.unit} · ${study.model} · Babelscope`;
  }
}

/** Codes of the pair that is shown: the first two languages where none is chosen. */
function pairCodes() {
  return state.pair ? state.pair.split(".") : study.codes.slice(0, 2);
}

function drawLanguages() {
  const width = at("similarity").clientWidth;
  const pair = state.pair ? pairCodes().map((code) => study.number.get(code)) : null;
  const pick = (a, b) => change({ pair: `${study.codes[a]}.${study.codes[b]}` });
  const depth = state.depth;
  at("similarity").replaceChildren(similarityChart(study, state.measure, depth, Math.min(width, 640), pair, pick));
  const [low, high] = rangeOf(atDepth(study, state.measure, depth).values);
  const small = study.similarity[state.measure].near === "small";
  at("similarity-scale").textContent = `From different to similar${small ? ", logarithmic" : ""}`;
  drawScale(at("similarity-legend"), ...(small ? [high, low] : [low, high]));
  at("similarity-table").replaceChildren(similarityTable(study, state.measure, depth));
  at("depth-name").textContent = depth === "all" ? "all layers" : `layer ${depth}`;
  const shown = pairCodes().map((code) => study.number.get(code));
  const value = atDepth(study, state.measure, depth).matrix[shown[0]][shown[1]];
  at("pair-status").textContent = `${study.languages[shown[0]].name} – ${study.languages[shown[1]].name}, ` +
    `${at("depth-name").textContent}: ${plain(value)} (${study.similarity[state.measure].title})`;
  at("pair").replaceChildren(pairChart(study, state.measure, shown, depth, Math.max(280, Math.min(width, 640))));
}

function drawPruning() {
  at("pruning").closest("section").hidden = !study.pruning.length;
  const columns = Object.keys(study.pruning[0] ?? {});
  const head = make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name.replaceAll("_", " "))));
  const rows = study.pruning.map((row) => make("tr", { "data-code": row.language },
    ...columns.map((name, n) => make(n ? "td" : "th", n ? {} : { scope: "row" }, row[name]))));
  at("pruning").append(make("thead", {}, head), make("tbody", {}, ...rows));
}

function showControls() {
  for (const key of ["colour", "language", "layer", "kind", "order", "measure"]) at(key).value = state[key];
  if (at("search").value !== state.text) at("search").value = state.text;
  at("least").value = String(state.least);
  at("least-name").textContent = plain(state.least);
  at("with-contexts").checked = state.withContexts;
  at("depth").value = String(1 + layers.indexOf(state.depth));
  ["pair-first", "pair-second"].forEach((id, n) => (at(id).value = pairCodes()[n]));
  at("depth").setAttribute("aria-valuetext", state.depth === "all" ? "all layers" : `layer ${state.depth}`);
}

/** Show what the address says. */
function follow() {
  const before = state;
  state = readState(location.hash, allowed);
  showControls();
  const unitsOf = (s) => ["unit", "colour", "language", "layer", "text", "least", "kind", "withContexts", "sort",
    "descending", "order"].map((key) => s[key]).join("|");
  const languagesOf = (s) => [s.measure, s.depth, s.pair].join("|");
  if (unitsOf(before) !== unitsOf(state)) drawUnits();
  drawUnit();
  if (languagesOf(before) !== languagesOf(state)) drawLanguages();
  if (state.unit && state.unit !== shownUnit) {
    shownUnit = state.unit;
    at("unit-title").focus({ preventScroll: true });
    at("unit").scrollIntoView({ block: "start" });
  }
  if (!state.unit) shownUnit = "";
}

function listen() {
  for (const key of ["colour", "language", "layer", "kind", "order", "measure"]) {
    at(key).addEventListener("change", () => change({ [key]: at(key).value }));
  }
  for (const id of ["pair-first", "pair-second"]) {
    at(id).addEventListener("change", () => change({ pair: `${at("pair-first").value}.${at("pair-second").value}` }));
  }
  at("search").addEventListener("input", () => change({ text: at("search").value }));
  at("least").addEventListener("input", () => change({ least: Number(at("least").value) }));
  at("with-contexts").addEventListener("change", () => change({ withContexts: at("with-contexts").checked }));
  at("depth").addEventListener("input", () =>
    change({ depth: layers[Number(at("depth").value) - 1] ?? "all" }));
  at("reset").addEventListener("click", () => change({ ...FIRST, unit: state.unit }));
  at("close").addEventListener("click", () => change({ unit: "" }));
  at("previous").addEventListener("click", () => change({ unit: list.beside(state.unit, -1) }));
  at("next").addEventListener("click", () => change({ unit: list.beside(state.unit, 1) }));
  at("copy").addEventListener("click", copyLink);
  at("list-csv").addEventListener("click", () => list.save((cell) =>
    study.frequencies(cell).map((row) => Number(row.value.toPrecision(6)))));
  at("map-svg").addEventListener("click", () => download(`${study.model}_map.svg`,
    new XMLSerializer().serializeToString(map.svg()) + "\n", "image/svg+xml"));
  at("similarity-svg").addEventListener("click", () => download(`${study.model}_${state.measure}_${state.depth}.svg`,
    svgText(at("similarity").querySelector("svg")), "image/svg+xml"));
  at("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
      (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  });
  document.addEventListener("keydown", shortcuts);
  addEventListener("hashchange", follow);
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      map.paint();
      drawLanguages();
      if (state.unit) showUnit(at("unit"), study, contexts, parseName(state.unit), link);
    }, 150);
  });
}

async function copyLink() {
  const address = hasPath() ? location.href : `explorer.html${location.hash}`;
  let done = true;
  try {
    await navigator.clipboard.writeText(address);
  } catch {
    done = false; // no clipboard from a file in some browsers: the address is shown to be copied by hand
  }
  at("copied").textContent = done ? "The link is copied." : "";
  at("address").hidden = done;
  at("address").value = address;
  if (!done) at("address").select();
}

function shortcuts(event) {
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && state.unit && !typing) at("close").click();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = { "/": () => at("search").focus(), j: () => at("next").click(), k: () => at("previous").click() };
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
}

function start() {
  listen();
  fillChoices();
  showControls();
  drawUnits();
  performance.mark("first-chart");
  // texts are the larger part and come after this script: what can be seen without them is there first
  const whole = () => (document.readyState === "loading"
    ? new Promise((done) => document.addEventListener("DOMContentLoaded", done)) : Promise.resolve());
  requestAnimationFrame(() => setTimeout(async () => {
    await whole();
    contexts = JSON.parse(at("contexts").textContent);
    at("about").textContent = at("about").textContent.replace(/, \d+ units/, `, ${Object.keys(contexts).length} units`);
    drawUnits();
    drawLanguages();
    drawPruning();
    drawUnit();
    if (state.unit) {
      shownUnit = state.unit;
      at("unit").scrollIntoView({ block: "start" });
    }
    document.documentElement.dataset.ready = "true";
    performance.mark("all-there");
  }));
}

start();

import assert from "node:assert/strict";
import { test } from "node:test";
import { bundled } from "./load.mjs";

const { Study, unpack, plain, short, ramp, css, ink, reveal, visible, csv, parseName, unitExists, findUnits, searchTokens,
  readState, writeState, FIRST, branches, ticks, placesOf, mapValues, atDepth, rangeOf, overLayers, contextRows,
  frequencyRows, removalRow, removedFor, likeness } = await bundled();

const floats = (values) => Buffer.from(new Float32Array(values).buffer).toString("base64");
const shorts = (values) => Buffer.from(new Uint16Array(values).buffer).toString("base64");

// two languages, two layers of three experts of two neurons each
const frequency = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.1, 0.3, 0.2, 0.05, 0];
const raw = {
  model: "tiny", threshold: 0.05, layers: [0, 1], experts: 3, neurons: 6,
  languages: [{ code: "en", name: "English", direction: "ltr" }, { code: "ar", name: "Arabic", direction: "rtl" }],
  frequency: floats(frequency), low: floats(frequency.map((f) => f / 2)), high: floats(frequency.map((f) => f + 0.1)),
  controls: { random: floats([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) },
  labels: shorts([0, 1, 2, 0, 1, 2, 2, 2, 1, 1, 0, 0]),
  leading: shorts([...Array(6).fill(0), ...Array(6).fill(1), 255, 51, 51, 102, 51, 51, 255, 51, 51, 51, 51, 51,
    ...Array(12).fill(51)]),
  index: {
    top_language: [1, 0, 0, 0, 0, 0], next_language: [0, 1, 1, 1, 1, 1], difference: [0.5, 0.1, 0, 0.2, 0.45, 0.6],
    low: [0, 0, 0, 0, 0, 0], high: [1, 1, 1, 1, 1, 1], q_value: [0, null, 1, 1, 1, 0], n_languages_high: [2, 2, 2, 2, 2, 1],
    class: [0, 0, 0, 0, 0, 1], group: ["", "", "", "", "", "en"], classes: ["shared", "specific"],
  },
  specific: [["en", 1, 1, 2]],
  similarity: { pearson: { title: "r", near: "large", total: [[1, 0.5], [0.5, 1]],
    layers: [[[1, 0.2], [0.2, 1]], [[1, 0.8], [0.8, 1]]], tree: { joins: [[0, 1, 0.5]], order: [1, 0], support: [1] }, trees: [] } },
  pruning: [], ablation: [{ kind: "experts", language: "en", own: "0.5" }],
};
const study = new Study(raw);
const contexts = {
  L1E2: { chosen: "en", by: { en: [[0, 3.5, "doc 1", 4, "a ", "Thé", " end"]], ar: [[1, -1, "doc 2", 0, "", "=1+1", ""]] } },
  L0N3: { chosen: "listed", by: { ar: [[0, 2, "doc", 1, "", "كتاب", ""]] } },
};
const wanted = { ...FIRST };

// layers 1 and 4 of a model have routers, of three and two experts
const routed = new Study({ ...raw, routed: true, layers: [1, 4], sizes: [3, 2], neurons: undefined, labels: undefined,
  leading: undefined, controls: {}, weight: floats(frequency.map((f) => f / 4)), specific: [["en", 1, 4, 1]],
  removed: { en: [[1, 1]], ar: [[0, 0], [1, 1]] }, removal: [{ language: "en", experts_of: "en", rise: "0.5" }] });

test("routed experts have the numbers of their layers, and a layer no more of them than it has", () => {
  assert.equal(unitExists(routed, parseName("L4E1")), true);
  for (const name of ["L4E2", "L0E0", "L1N0"]) assert.equal(unitExists(routed, parseName(name)), false, name);
  const names = findUnits(routed, {}, { ...wanted, sort: "unit", descending: false }).map((row) => row.name);
  assert.deepEqual(names, ["L1E0", "L1E1", "L1E2", "L4E0", "L4E1"]);
  const rows = frequencyRows(routed, 4, routed.cell(4, 1));
  assert.deepEqual(rows.map((row) => [plain(row.value), plain(row.weight)]), [["0.5", "0.125"], ["0.05", "0.0125"]]);
  assert.deepEqual(Array.from(placesOf(routed, mapValues(routed, "language", "ar").values, "value")), [0, 2, 1, 0, 1, 2]);
  assert.deepEqual(overLayers(routed, "pearson", 0, 1).pair, [0.2, 0.8]);
  assert.deepEqual(atDepth(routed, "pearson", "4").matrix[0], [1, 0.8]);
  assert.equal(routed.ranks.get(routed.cell(4, 1)).rank, 1);
});

test("a routed expert was removed with those of the languages that chose it", () => {
  assert.deepEqual(removedFor(routed, 4, 1), ["en", "ar"]);
  assert.deepEqual(removedFor(routed, 1, 0), ["ar"]);
  assert.deepEqual(removedFor(routed, 1, 2), []);
});

test("a neuron or an expert was removed with the language that it is specific to", () => {
  const own = new Study({ ...raw, own_neurons: Buffer.from([0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]).toString("base64") });
  assert.deepEqual([own.ownLanguage("neuron", 0, 1), own.ownLanguage("neuron", 1, 0), own.ownLanguage("neuron", 1, 1)], ["ar", "en", ""]);
  assert.deepEqual([own.ownLanguage("expert", 1, 2), own.ownLanguage("expert", 0, 0)], ["en", ""]);
});

test("numbers come out of base64 as they went in, with at most six digits", () => {
  assert.deepEqual(Array.from(unpack(floats([0.1, 2]), "<f4")), [Math.fround(0.1), 2]);
  assert.equal(plain(Math.fround(0.123456789)), "0.123457");
  assert.equal(plain(null), "–");
  assert.equal(short(0.00012345), "1.2e-4");
});

test("frequencies, controls and neurons are those of the expert, layer and language", () => {
  const rows = frequencyRows(study, 1, study.cell(1, 2));
  assert.deepEqual(rows.map((row) => [row.code, plain(row.value), plain(row.high)]), [["en", "0.6", "0.7"], ["ar", "0", "0.1"]]);
  assert.deepEqual(rows.map((row) => row.controls[0].range), [[4, 5, 6], [10, 11, 12]]);
  assert.deepEqual(study.neuronsOf(0, 0).map((own) => [own.neuron, own.code]), [[0, "en"], [3, "en"]]);
  assert.equal(study.className(5), "specific: en");
  assert.equal(removalRow(study, "expert", "en").own, "0.5");
  assert.equal(removalRow(study, "neuron", "en"), null);
});

test("units are found by name, layer, language, difference and the text of a token, without accents", () => {
  const names = (changes) => findUnits(study, contexts, { ...wanted, ...changes }).map((row) => row.name);
  assert.deepEqual(names({ text: "l1e2" }), ["L1E2"]);
  assert.deepEqual(names({ text: "L1N4" }), ["L1N4"], "a neuron without contexts too");
  assert.deepEqual(names({ text: "the" }), ["L1E2"]);
  assert.deepEqual(names({ text: "كتاب" }), ["L0N3"]);
  assert.deepEqual(names({ layer: "0", kind: "expert" }), ["L0E0", "L0E1", "L0E2"]);
  assert.deepEqual(names({ language: "ar", kind: "expert" }), ["L0E0"]);
  assert.deepEqual(names({ least: 0.5, kind: "expert" }), ["L1E2", "L0E0"]);
  assert.deepEqual(names({ sort: "unit", descending: false, kind: "expert" })[0], "L0E0");
  assert.deepEqual(names({ withContexts: true }).sort(), ["L0N3", "L1E2"]);
  assert.equal(searchTokens(contexts, "   ").size, 0);
});

test("names of units are read in any case, and only those that the model has exist", () => {
  assert.deepEqual(parseName(" l3n17 "), { kind: "neuron", layer: 3, number: 17 });
  assert.equal(parseName("L3X1"), null);
  assert.equal(unitExists(study, parseName("L1E2")), true);
  assert.equal(unitExists(study, parseName("L1E3")), false);
  assert.equal(unitExists(study, parseName("L2E0")), false);
});

test("an address says what is shown; what is wrong in it is as at first", () => {
  const allowed = { unit: (value) => unitExists(study, parseName(value)) };
  const state = { ...FIRST, unit: "L1E2", text: "a&b=c", least: 0.25, withContexts: true, descending: false };
  assert.deepEqual(readState(writeState(state), allowed), state);
  assert.equal(writeState(FIRST), "#");
  assert.deepEqual(readState("#unit=L9E9&least=7&nonsense=1", allowed), FIRST);
});

test("what cannot be seen is named, joiners within words of a script are kept", () => {
  assert.deepEqual(reveal("a\u202eb"), [{ text: "a" }, { name: "RLO", code: "U+202E" }, { text: "b" }]);
  assert.deepEqual(reveal("می\u200cخواهم"), [{ text: "می\u200cخواهم" }]);
  assert.deepEqual(reveal("p\u200cq")[1], { name: "ZWNJ", code: "U+200C" });
  assert.deepEqual(reveal("\u200b")[0].name, "ZWSP");
  assert.deepEqual(reveal("\u{e0041}")[0].code, "U+E0041");
  assert.deepEqual(reveal("\ud800")[0].code, "U+D800");
  assert.deepEqual(reveal("<script>"), [{ text: "<script>" }]);
  assert.equal(visible("id\u202e7<b>"), "id[RLO]7<b>");
});

test("a table is CSV that no spreadsheet runs", () => {
  assert.equal(csv(["a", "b"], [["=1+1", 'say "x", y'], [-1.5, null]]), 'a,b\n\'=1+1,"say ""x"", y"\n-1.5,\n');
  const { header, rows } = contextRows("L1E2", contexts.L1E2);
  assert.equal(header.length, rows[0].length);
  assert.deepEqual(rows[1].slice(0, 4), ["L1E2", "ar", "random", -1]);
});

test("colours go from dark to bright, and what is missing is grey", () => {
  const light = (share) => ramp(share).reduce((sum, value) => sum + value);
  for (let share = 0.1; share <= 1; share += 0.1) assert.ok(light(share) > light(share - 0.1));
  assert.deepEqual(ramp(NaN), [128, 128, 128]);
  assert.equal(css([1, 2, 3]), "rgb(1, 2, 3)");
  assert.deepEqual([ink([255, 255, 0]), ink([0, 20, 60])], ["#000000", "#ffffff"]);
});

test("a map shows a language, sharing or specificity, by number or the largest first", () => {
  const shown = mapValues(study, "language", "ar");
  assert.deepEqual(Array.from(shown.values).map(plain), ["0.6", "0.1", "0.3", "0.2", "0.05", "0"]);
  assert.equal(plain(shown.high), "0.6");
  assert.deepEqual(Array.from(placesOf(study, shown.values, "value")), [0, 2, 1, 0, 1, 2]);
  assert.deepEqual(Array.from(placesOf(study, shown.values, "number")), [0, 1, 2, 0, 1, 2]);
  assert.equal(mapValues(study, "sharing", "").high, 2);
  assert.equal(mapValues(study, "specificity", "").values[5], 0.6);
});

test("branches of a tree meet in the middle of what they join", () => {
  const tree = { joins: [[0, 2, 1], [1, 3, 4]], order: [1, 0, 2], support: [0.9, null] };
  assert.deepEqual(branches(tree), [
    { from: [[1, 0], [2, 0]], height: 1, support: 0.9 }, { from: [[0, 0], [1.5, 1]], height: 4, support: null },
  ]);
});

test("similarity at a depth is that layer's, and colours of layers share one range", () => {
  assert.deepEqual(rangeOf(atDepth(study, "pearson", "0").values), [0.2, 0.8]);
  assert.deepEqual(atDepth(study, "pearson", "all").matrix[0], [1, 0.5]);
  assert.deepEqual(overLayers(study, "pearson", 0, 1), { pair: [0.2, 0.8], mean: [0.2, 0.8] });
});

test("colours of distances follow their logarithms, those of correlations the values", () => {
  assert.deepEqual([1, 10, 100].map((value) => plain(likeness(value, [1, 100], "small"))), ["1", "0.5", "0"]);
  assert.deepEqual([0.2, 0.5, 0.8].map((value) => plain(likeness(value, [0.2, 0.8], "large"))), ["0", "0.5", "1"]);
  assert.equal(likeness(0, [0, 0], "small"), 1);
});

test("ticks are round numbers up to the end", () => {
  assert.deepEqual(ticks(0.63), [0, 0.2, 0.4, 0.6]);
  assert.deepEqual(ticks(0.05), [0, 0.02, 0.04]);
});

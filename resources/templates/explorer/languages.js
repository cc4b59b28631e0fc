/** How languages resemble each other: heatmap beside a dendrogram, by layer or over all, and pairs over depth. */

import { layerChart } from "./chart.js";
import { css, ink, ramp } from "./colour.js";
import { plain, short } from "./study.js";
import { drawTree } from "./tree.js";
import { draw, make } from "./text.js";

/** Matrix and tree of a measure at a depth ("all" or a layer). */
export function atDepth(study, measure, depth) {
  const found = study.similarity[measure];
  return depth === "all"
    ? { matrix: found.total, tree: found.tree, values: [found.total] }
    : { matrix: found.layers[study.row.get(Number(depth))], tree: found.trees[study.row.get(Number(depth))],
        values: found.layers };
}

/** Least and largest value between two different languages. */
export function rangeOf(matrices) {
  let [low, high] = [Infinity, -Infinity];
  for (const matrix of matrices) {
    matrix.forEach((row, a) => row.forEach((value, b) => {
      if (a === b) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }));
  }
  return [low, high];
}

/**
 * Place of a value between different (0) and similar (1). Distances are compared by their logarithms: over layers
 * they differ by orders of magnitude.
 */
export function likeness(value, [low, high], near) {
  if (near === "large") return (value - low) / (high - low || 1);
  const floor = Math.max(low, high / 1e6, 1e-12);
  const log = (distance) => Math.log(Math.max(distance, floor));
  return 1 - (log(value) - log(floor)) / (log(high) - log(floor) || 1);
}

/** Values of a pair over layers, and the mean of all pairs. */
export function overLayers(study, measure, a, b) {
  const layers = study.similarity[measure].layers;
  const mean = (matrix) => {
    let sum = 0;
    matrix.forEach((row, i) => row.forEach((value, j) => (sum += i === j ? 0 : value)));
    return sum / (matrix.length * (matrix.length - 1));
  };
  return { pair: layers.map((matrix) => matrix[a][b]), mean: layers.map(mean) };
}

/** Heatmap and dendrogram as one drawing; `pick(a, b)` for the pair that is chosen. */
export function similarityChart(study, measure, depth, width, pair, pick) {
  const { matrix, tree, values } = atDepth(study, measure, depth);
  const { near, title } = study.similarity[measure];
  const order = tree.order;
  const n = order.length;
  const range = rangeOf(values);
  const treeWidth = Math.max(56, Math.min(130, width * 0.22));
  const labels = 34;
  const row = Math.max(12, Math.min(34, Math.floor((width - treeWidth - labels) / n)));
  const root = draw("svg", {
    width: treeWidth + labels + n * row, height: n * row + 20,
    viewBox: `0 0 ${treeWidth + labels + n * row} ${n * row + 20}`, class: "chart similarity", role: "img",
    "aria-label": `${title}, ${depth === "all" ? "all layers" : `layer ${depth}`}. The numbers are in the table below.`,
  });
  root.append(drawTree(tree, treeWidth, row));
  order.forEach((a, i) => {
    const name = { x: treeWidth + 3, y: (i + 0.5) * row + 4, class: "label" };
    root.append(draw("text", name, study.codes[a]));
    const below = { x: treeWidth + labels + (i + 0.5) * row, y: n * row + 14, "text-anchor": "middle", class: "label" };
    root.append(draw("text", below, study.codes[a]));
    order.forEach((b, j) => {
      const rgb = a === b ? [128, 128, 128] : ramp(likeness(matrix[a][b], range, near));
      const place = { x: treeWidth + labels + j * row, y: i * row };
      const cell = draw("rect", { ...place, width: row, height: row, fill: css(rgb), class: "cell" });
      cell.append(draw("title", {}, `${study.codes[a]} – ${study.codes[b]}: ${short(matrix[a][b])}`));
      cell.addEventListener("click", () => pick(a, b));
      root.append(cell);
      if (row >= 30 && a !== b) {
        const text = { x: place.x + row / 2, y: place.y + row / 2 + 3, "text-anchor": "middle", class: "value" };
        root.append(draw("text", { ...text, fill: ink(rgb) }, matrix[a][b].toPrecision(2).replace(/^0/, "")));
      }
    });
  });
  if (pair) {
    const [i, j] = pair.map((language) => order.indexOf(language));
    const place = { x: treeWidth + labels + j * row + 1, y: i * row + 1, width: row - 2, height: row - 2 };
    for (const name of ["under", "over"]) root.append(draw("rect", { ...place, class: `chosen ${name}` }));
  }
  return root;
}

/** The same numbers as a table. */
export function similarityTable(study, measure, depth) {
  const { matrix } = atDepth(study, measure, depth);
  const head = make("tr", {}, make("td"), ...study.codes.map((code) => make("th", { scope: "col" }, code)));
  const rows = matrix.map((row, a) =>
    make("tr", {}, make("th", { scope: "row" }, study.codes[a]), ...row.map((value) => make("td", {}, plain(value)))));
  return make("table", { class: "numbers" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

/** What a pair does over depth, as a chart. */
export function pairChart(study, measure, pair, depth, width) {
  const [a, b] = pair;
  const { pair: own, mean } = overLayers(study, measure, a, b);
  const names = [`${study.languages[a].name} – ${study.languages[b].name}`, "mean of all pairs"];
  const title = `${study.similarity[measure].title} by layer: ${names[0]}`;
  const marked = depth === "all" ? null : study.row.get(Number(depth));
  return layerChart(own, mean, { width, title, names, marked, layers: study.layers });
}

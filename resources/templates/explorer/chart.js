/** Charts of one unit: frequencies by language with intervals, and a line over layers. */

import { short } from "./study.js";
import { draw } from "./text.js";

/**
 * Bars with intervals. `rows`: {label, value, low, high, controls: [{name, range: [low, median, high]}]}.
 * `width` in pixels; the threshold is a dashed line.
 */
export function frequencyChart(rows, { width, threshold, controls, title }) {
  const labels = Math.min(110, Math.max(...rows.map((row) => row.label.length)) * 8 + 8);
  const right = 52;
  const top = 22;
  const step = 16 + 8 * controls.length;
  const height = top + rows.length * step + 8;
  const ends = rows.flatMap((row) => [row.high, ...row.controls.map((control) => control.range[2])]);
  const most = Math.max(threshold, ...ends.filter((end) => !Number.isNaN(end))) * 1.05;
  const x = (value) => labels + (value / most) * (width - labels - right);
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  const root = draw("svg", { ...size, role: "img", "aria-label": title, class: "chart" });
  for (const tick of ticks(most)) {
    root.append(
      draw("line", { x1: x(tick), x2: x(tick), y1: top, y2: height - 8, class: "grid" }),
      draw("text", { x: x(tick), y: 12, "text-anchor": "middle", class: "tick" }, short(tick)),
    );
  }
  rows.forEach((row, at) => {
    const y = top + at * step;
    root.append(
      draw("text", { x: labels - 6, y: y + 13, "text-anchor": "end", class: "label" }, row.label),
      draw("rect", { x: x(0), y: y + 3, width: Math.max(0, x(row.value) - x(0)), height: 12, class: "bar" }),
      draw("path", { d: whisker(x(row.low), x(row.high), y + 9), class: "whisker" }),
      draw("text", { x: x(row.high) + 5, y: y + 13, class: "tick over" }, short(row.value)),
    );
    row.controls.forEach((control, place) => {
      const line = y + 18 + 8 * place;
      const [low, middle, high] = control.range.map(x);
      root.append(
        draw("line", { x1: low, x2: high, y1: line, y2: line, class: `control c${place}` }),
        draw("circle", { cx: middle, cy: line, r: 2.5, class: `middle c${place}` }),
      );
    });
  });
  const line = draw("line", { x1: x(threshold), x2: x(threshold), y1: top, y2: height - 8, class: "threshold" });
  root.insertBefore(line, root.querySelector("text.label"));
  return root;
}

function whisker(low, high, y) {
  return `M${low} ${y - 4}V${y + 4}M${low} ${y}H${high}M${high} ${y - 4}V${y + 4}`;
}

/** Three to six round numbers from 0 on. */
export function ticks(most) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, n) => Number((n * step).toPrecision(6)));
}

/** A line over layers (their numbers) with a thin one to compare with. `marked`: place of the slider's layer, or null. */
export function layerChart(values, others, { width, title, marked, names, layers }) {
  const height = 150;
  const all = [...values, ...others].filter((value) => value !== null && !Number.isNaN(value));
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const x = (layer) => 48 + (layer / Math.max(1, values.length - 1)) * (width - 64);
  const y = (value) => 12 + (1 - (value - low) / (high - low || 1)) * (height - 44);
  const path = (line) => line.map((value, n) => `${n ? "L" : "M"}${x(n).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  const root = draw("svg", { ...size, role: "img", "aria-label": title, class: "chart" });
  for (const value of [low, high]) {
    root.append(draw("text", { x: 42, y: y(value) + 4, "text-anchor": "end", class: "tick" }, short(value)));
  }
  const last = values.length - 1;
  for (const [place, anchor] of last ? [[0, "start"], [last, "end"]] : [[0, "start"]]) {
    root.append(draw("text", { x: x(place), y: height - 18, "text-anchor": anchor, class: "tick" }, `layer ${layers[place]}`));
  }
  if (marked !== null) {
    root.append(draw("line", { x1: x(marked), x2: x(marked), y1: 8, y2: height - 32, class: "threshold" }));
  }
  root.append(draw("path", { d: path(others), class: "other" }), draw("path", { d: path(values), class: "line" }));
  root.append(draw("text", { x: 48, y: height - 3, class: "label" }, `— ${names[0]}   ┄ ${names[1]}`));
  return root;
}

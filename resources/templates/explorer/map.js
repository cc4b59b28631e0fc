/** The map of layers x experts: a picture with a cursor that mouse, finger and keys move. */

import { css, ramp } from "./colour.js";
import { short } from "./study.js";
import { draw, make } from "./text.js";

/** What the map shows: {title, values, low, high} with one value per expert of all layers. */
export function mapValues(study, colour, language) {
  if (colour === "language") {
    const idx = study.number.get(language || study.codes[0]);
    const values = study.frequency.subarray(idx * study.nCells, (idx + 1) * study.nCells);
    return { title: `Frequency in ${study.languages[idx].name}`, values, low: 0, high: largest(values) };
  }
  if (colour === "sharing") {
    const values = study.index.n_languages_high;
    return { title: "Languages in which the frequency is high", values, low: 0, high: study.codes.length };
  }
  const values = study.index.difference;
  return { title: "Frequency above that in the next language", values, low: 0, high: largest(values) };
}

function largest(values) {
  let found = 0;
  for (const value of values) if (value > found) found = value;
  return found || 1;
}

/** Which expert stands in each place of a layer: by number, or those of the largest values first. */
export function placesOf(study, values, order) {
  const places = new Uint32Array(study.nCells);
  study.sizes.forEach((size, row) => {
    const numbers = Array.from({ length: study.nExperts }, (_, number) => number);
    const [own, none] = [numbers.slice(0, size), numbers.slice(size)];
    const start = row * study.nExperts;
    if (order === "value") own.sort((a, b) => values[start + b] - values[start + a] || a - b);
    places.set([...own, ...none], start);
  });
  return places;
}

/** The picture in an element; `pick(layer, expert)` is called for the expert that is chosen. */
export class UnitMap {
  constructor(canvas, labels, study, pick, announce) {
    Object.assign(this, { canvas, labels, study, pick, announce, cursor: { row: 0, place: 0 }, shown: null });
    this.small = document.createElement("canvas");
    this.small.width = study.nExperts;
    this.small.height = study.nLayers;
    canvas.addEventListener("pointermove", (event) => this.moveTo(this.at(event)));
    canvas.addEventListener("click", (event) => {
      this.moveTo(this.at(event));
      this.choose();
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.paint());
    canvas.addEventListener("blur", () => this.paint());
  }

  /** Show values (of `mapValues`), experts of a layer in an order, one of them marked. */
  show(shown, order, chosen, lit) {
    Object.assign(this, { shown, chosen, lit });
    this.places = placesOf(this.study, shown.values, order);
    const { nLayers, nExperts, nCells } = this.study;
    const image = new ImageData(nExperts, nLayers);
    for (let at = 0; at < nCells; at++) {
      const cell = at - (at % nExperts) + this.places[at];
      const rgb = ramp((shown.values[cell] - shown.low) / (shown.high - shown.low));
      const none = this.places[at] >= this.study.sizes[Math.floor(at / nExperts)];
      image.data.set([...rgb, none ? 0 : lit && !lit.has(cell) ? 60 : 255], at * 4);
    }
    this.small.getContext("2d").putImageData(image, 0, 0);
    this.paint();
  }

  /** Draw what is shown at the present size. */
  paint() {
    if (!this.shown) return;
    const { canvas, study } = this;
    const scale = window.devicePixelRatio || 1;
    const rowHeight = Math.max(9, Math.min(18, Math.round(420 / study.nLayers)));
    canvas.style.height = `${rowHeight * study.nLayers}px`;
    this.drawLabels(rowHeight);
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(rowHeight * study.nLayers * scale);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.small, 0, 0, canvas.width, canvas.height);
    const [width, height] = [canvas.width / study.nExperts, canvas.height / study.nLayers];
    const mark = (row, place, colour) => {
      const pad = 2 * scale;
      for (const [line, paper] of [[4 * scale, "#000000"], [2 * scale, colour]]) {
        context.lineWidth = line;
        context.strokeStyle = paper;
        context.strokeRect(place * width - pad, row * height - pad, width + 2 * pad, height + 2 * pad);
      }
    };
    if (this.chosen) mark(study.row.get(this.chosen.layer), this.placeOf(this.chosen), "#ff9d3b");
    if (document.activeElement === canvas) mark(this.cursor.row, this.cursor.place, "#ffffff");
  }

  /** Numbers of the layers beside their rows, as many as there is room for. */
  drawLabels(rowHeight) {
    const every = Math.ceil(14 / rowHeight);
    const last = this.study.nLayers - 1;
    const rows = this.study.layers.map((layer, row) => {
      const shown = row === last || (row % every === 0 && last - row >= every);
      const label = make("span", {}, shown ? String(layer) : "");
      label.style.height = `${rowHeight}px`;
      return label;
    });
    this.labels.replaceChildren(...rows);
  }

  placeOf({ layer, number }) {
    const start = this.study.cell(layer, 0);
    return this.places.subarray(start, start + this.study.nExperts).indexOf(number);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (value, size, n) => Math.max(0, Math.min(n - 1, Math.floor((value / size) * n)));
    const row = share(event.clientY - box.top, box.height, this.study.nLayers);
    return { row, place: share(event.clientX - box.left, box.width, this.study.nExperts) };
  }

  /** Layer and number of the expert under the cursor. */
  under() {
    const { row, place } = this.cursor;
    return { layer: this.study.layers[row], number: this.places[row * this.study.nExperts + place] };
  }

  moveTo({ row, place }) {
    this.cursor = { row, place: Math.min(place, this.study.sizes[row] - 1) };
    const { layer, number } = this.under();
    const cell = this.study.cell(layer, number);
    this.announce(`L${layer}E${number} (${this.study.className(cell)}): ${short(this.shown.values[cell])}`);
    if (document.activeElement === this.canvas) this.paint();
  }

  choose() {
    const { layer, number } = this.under();
    this.pick(layer, number);
  }

  key(event) {
    const { row, place } = this.cursor;
    const step = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowLeft: [row, place - step], ArrowRight: [row, place + step], ArrowUp: [row - 1, place],
      ArrowDown: [row + 1, place], Home: [row, 0], End: [row, this.study.nExperts - 1],
    };
    if (event.key === "Enter" || event.key === " ") this.choose();
    else if (moves[event.key]) {
      const within = (value, n) => Math.max(0, Math.min(n - 1, value));
      const [to, column] = moves[event.key];
      this.moveTo({ row: within(to, this.study.nLayers), place: within(column, this.study.nExperts) });
    } else return;
    event.preventDefault();
  }

  /** The map as SVG, one rectangle per expert. */
  svg() {
    const { nLayers, nExperts, nCells } = this.study;
    const root = draw("svg", { viewBox: `0 0 ${nExperts * 4 + 60} ${nLayers * 14 + 40}` });
    root.append(draw("text", { x: 52, y: 14, "font-size": 12 }, this.shown.title));
    this.study.layers.forEach((layer, row) => root.append(
      draw("text", { x: 46, y: row * 14 + 35, "font-size": 10, "text-anchor": "end" }, `${layer}`)));
    for (let at = 0; at < nCells; at++) {
      if (this.places[at] >= this.study.sizes[Math.floor(at / nExperts)]) continue;
      const cell = at - (at % nExperts) + this.places[at];
      const share = (this.shown.values[cell] - this.shown.low) / (this.shown.high - this.shown.low);
      const place = { x: (at % nExperts) * 4 + 52, y: Math.floor(at / nExperts) * 14 + 25 };
      root.append(draw("rect", { ...place, width: 4, height: 14, fill: css(ramp(share)) }));
    }
    return root;
  }
}

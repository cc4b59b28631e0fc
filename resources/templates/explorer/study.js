/** The numbers of a study, out of the JSON that the page carries. */

const TYPES = { "<f4": Float32Array, "<u2": Uint16Array, "<u4": Uint32Array };

/** Typed array out of base64 of little-endian numbers. */
export function unpack(text, type) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new TYPES[type](bytes.buffer);
}

/** A float32 with the digits that it has: at most six. */
export function plain(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return String(Number(Number(value).toPrecision(6)));
}

/** A number for people: three digits. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value !== 0 && Math.abs(value) < 0.001) return Number(value).toExponential(1);
  return String(Number(Number(value).toPrecision(3)));
}

/** What the page shows, by language, layer and expert; all numbers count from 0. */
export class Study {
  constructor(raw) {
    Object.assign(this, {
      model: raw.model, threshold: raw.threshold, languages: raw.languages, index: raw.index,
      nLayers: raw.layers, nExperts: raw.experts, nNeurons: raw.neurons, similarity: raw.similarity,
      pruning: raw.pruning, ablation: raw.ablation, specific: raw.specific,
    });
    this.nCells = this.nLayers * this.nExperts;
    this.codes = raw.languages.map((language) => language.code);
    this.number = new Map(this.codes.map((code, idx) => [code, idx]));
    for (const name of ["frequency", "low", "high"]) this[name] = unpack(raw[name], "<f4");
    this.controls = Object.entries(raw.controls).map(([name, text]) => ({ name, ranges: unpack(text, "<f4") }));
    this.labels = unpack(raw.labels, raw.experts > 65535 ? "<u4" : "<u2");
    this.leading = unpack(raw.leading, "<u2");
    this.ranks = new Map(raw.specific.map(([code, rank, layer, expert]) =>
      [layer * this.nExperts + expert, { code, rank }]));
  }

  /** Place of an expert in the columns of the index. */
  cell(layer, expert) {
    return layer * this.nExperts + expert;
  }

  /** Frequency of an expert in every language, with its interval. */
  frequencies(cell) {
    return this.codes.map((code, idx) => {
      const at = idx * this.nCells + cell;
      return { code, value: this.frequency[at], low: this.low[at], high: this.high[at] };
    });
  }

  /** Range of a control partition's frequencies in a layer: 2.5 %, median, 97.5 %. */
  control(name, language, layer) {
    const found = this.controls.find((control) => control.name === name);
    const start = (language * this.nLayers + layer) * 3;
    return Array.from(found.ranges.subarray(start, start + 3));
  }

  /** Neurons of an expert, those first that one language uses much more often than any other. */
  neuronsOf(layer, expert) {
    const start = layer * this.nNeurons;
    const found = [];
    for (let neuron = 0; neuron < this.nNeurons; neuron++) {
      if (this.labels[start + neuron] === expert) found.push(this.neuron(layer, neuron));
    }
    return found.sort((a, b) => (b.share - b.next) - (a.share - a.next) || a.neuron - b.neuron);
  }

  /** The language that makes a neuron's gate positive most often, that share, the next language's. */
  neuron(layer, neuron) {
    const size = this.nLayers * this.nNeurons;
    const at = layer * this.nNeurons + neuron;
    return {
      layer, neuron, expert: this.labels[at], code: this.codes[this.leading[at]],
      share: this.leading[size + at] / 255, next: this.leading[2 * size + at] / 255,
    };
  }

  /** Class of an expert in words, with its language or family. */
  className(cell) {
    const name = this.index.classes[this.index.class[cell]];
    return this.index.group[cell] ? `${name}: ${this.index.group[cell]}` : name;
  }
}

/** The numbers of a study, out of the JSON that the page carries. */

const TYPES = { "<f4": Float32Array, "u1": Uint8Array, "<u2": Uint16Array, "<u4": Uint32Array };

/** Typed array out of base64 of little-endian numbers. */
export function unpack(text, type) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at);
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
      layers: raw.layers, nLayers: raw.layers.length, nExperts: raw.experts, nNeurons: raw.neurons ?? 0,
      sizes: raw.sizes ?? raw.layers.map(() => raw.experts), similarity: raw.similarity, routed: raw.routed ?? false,
      pruning: raw.pruning ?? [], ablation: raw.ablation ?? [], specific: raw.specific,
      removed: raw.removed ?? {}, removal: raw.removal ?? [],
    });
    // of models with dense layers in between, layers are those that have routed experts
    this.row = new Map(this.layers.map((layer, row) => [layer, row]));
    this.nCells = this.nLayers * this.nExperts;
    this.codes = raw.languages.map((language) => language.code);
    this.number = new Map(this.codes.map((code, idx) => [code, idx]));
    for (const name of ["frequency", "low", "high", "weight"]) this.later(name, raw[name], "<f4");
    this.controls = Object.entries(raw.controls).map(([name, text]) => ({ name, ranges: unpack(text, "<f4") }));
    this.later("labels", raw.labels, raw.experts > 65535 ? "<u4" : "<u2");
    this.later("leading", raw.leading, "<u2");
    this.later("ownNeurons", raw.own_neurons, "u1");
    this.ranks = new Map(raw.specific.map(([code, rank, layer, expert]) => [this.cell(layer, expert), { code, rank }]));
  }

  /** An array that is unpacked when it is first asked for; null where there is none. */
  later(name, text, type) {
    let found = null;
    Object.defineProperty(this, name, { get: () => (found ??= text ? unpack(text, type) : null) });
  }

  /** Place of an expert in the columns of the index. */
  cell(layer, expert) {
    return this.row.get(layer) * this.nExperts + expert;
  }

  /** How many experts a layer has; the others of its row are no experts. */
  expertsIn(layer) {
    return this.sizes[this.row.get(layer)] ?? 0;
  }

  /** Frequency of an expert in every language, with its interval. */
  frequencies(cell) {
    return this.codes.map((code, idx) => {
      const at = idx * this.nCells + cell;
      const weight = this.weight ? { weight: this.weight[at] } : {};
      return { code, value: this.frequency[at], low: this.low[at], high: this.high[at], ...weight };
    });
  }

  /** Range of a control partition's frequencies in a layer: 2.5 %, median, 97.5 %. */
  control(name, language, layer) {
    const found = this.controls.find((control) => control.name === name);
    const start = (language * this.nLayers + this.row.get(layer)) * 3;
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

  /** Language that a neuron, or an expert, is specific to and was removed with; "" where it was not. */
  ownLanguage(kind, layer, number) {
    if (kind === "neuron") {
      const own = this.ownNeurons ? this.ownNeurons[this.row.get(layer) * this.nNeurons + number] : 0;
      return own ? this.codes[own - 1] : "";
    }
    const cell = this.cell(layer, number);
    return this.index.classes[this.index.class[cell]] === "specific" ? this.index.group[cell] : "";
  }

  /** Class of an expert in words, with its language or family. */
  className(cell) {
    const name = this.index.classes[this.index.class[cell]];
    return this.index.group[cell] ? `${name}: ${this.index.group[cell]}` : name;
  }
}

/** Names of units, and the list of those that are searched for. */

/** "L3E117" to {kind, layer, number}; null where it is no name. */
export function parseName(name) {
  const found = /^L(\d+)([EN])(\d+)$/.exec(String(name).trim().toUpperCase());
  if (!found) return null;
  return { kind: found[2] === "E" ? "expert" : "neuron", layer: Number(found[1]), number: Number(found[3]) };
}

export function unitName(kind, layer, number) {
  return `L${layer}${kind === "expert" ? "E" : "N"}${number}`;
}

/** Whether the model has the unit. */
export function unitExists(study, unit) {
  return unit !== null && study.row.has(unit.layer) &&
    unit.number < (unit.kind === "expert" ? study.expertsIn(unit.layer) : study.nNeurons);
}

/** Text to be searched in: small letters, without accents. */
export function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Units with a context whose token holds the text: name to the first such token. */
export function searchTokens(contexts, wanted, code = "") {
  const found = new Map();
  const text = folded(wanted.trim());
  if (!text) return found;
  for (const [name, unit] of Object.entries(contexts)) {
    for (const [language, rows] of Object.entries(unit.by)) {
      if (code && language !== code) continue;
      const row = rows.find((entry) => entry[5] !== undefined && folded(entry[5]).includes(text));
      if (row) {
        found.set(name, row[5]);
        break;
      }
    }
  }
  return found;
}

export const SORTS = {
  unit: { title: "Unit", of: (row) => row.layer * 1e7 + row.number },
  class: { title: "Class", of: (row) => row.className },
  top: { title: "Most in", of: (row) => row.top },
  difference: { title: "Above the next", of: (row) => row.difference },
  shared: { title: "Languages", of: (row) => row.nHigh },
  frequency: { title: "Frequency", of: (row) => row.frequency },
};

/** One row of the list: an expert, or a neuron that has contexts. */
export function describe(study, contexts, unit, language) {
  const { kind, layer, number } = unit;
  const name = unitName(kind, layer, number);
  const common = { name, kind, layer, number, chosen: contexts[name]?.chosen ?? "" };
  if (kind === "neuron") {
    const own = study.neuron(layer, number);
    return { ...common, className: "neuron", top: own.code, difference: own.share - own.next, nHigh: null,
      frequency: own.share };
  }
  const cell = study.cell(layer, number);
  const shown = language === "" ? study.index.top_language[cell] : study.number.get(language);
  return { ...common, cell, className: study.className(cell), top: study.codes[study.index.top_language[cell]],
    difference: study.index.difference[cell], nHigh: study.index.n_languages_high[cell],
    frequency: study.frequency[shown * study.nCells + cell] };
}

/**
 * Rows of the list. `wanted`: language and layer ("" for all), text (a unit's name or a token's text), least
 * difference, kind ("", "expert", "neuron"), only those with contexts; sort and whether it is descending. A name
 * finds its unit whatever else is wanted.
 */
export function findUnits(study, contexts, wanted) {
  const named = parseName(wanted.text);
  const tokens = wanted.text.trim() && !named ? searchTokens(contexts, wanted.text, wanted.language) : null;
  const rows = [];
  const consider = (unit) => {
    const name = unitName(unit.kind, unit.layer, unit.number);
    if (named) {
      if (name === unitName(named.kind, named.layer, named.number)) rows.push(describe(study, contexts, unit, wanted.language));
      return;
    }
    if (wanted.layer !== "" && unit.layer !== Number(wanted.layer)) return;
    if (wanted.kind && unit.kind !== wanted.kind) return;
    if (tokens && !tokens.has(name)) return;
    if (wanted.withContexts && !contexts[name]) return;
    const row = describe(study, contexts, unit, wanted.language);
    if (wanted.language && row.top !== wanted.language) return;
    if ((row.difference ?? 0) < wanted.least) return;
    rows.push(tokens ? { ...row, found: tokens.get(name) } : row);
  };
  for (const layer of study.layers) {
    for (let number = 0; number < study.expertsIn(layer); number++) consider({ kind: "expert", layer, number });
  }
  for (const name of Object.keys(contexts)) {
    const unit = parseName(name);
    if (unit.kind === "neuron") consider(unit);
  }
  if (named && named.kind === "neuron" && !rows.length && unitExists(study, named)) consider(named);
  const value = SORTS[wanted.sort].of;
  const sign = wanted.descending ? -1 : 1;
  const compare = (a, b) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -sign : sign);
  return rows.sort((a, b) => compare(value(a), value(b)) || a.layer - b.layer || a.number - b.number);
}

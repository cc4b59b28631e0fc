/** What is shown, as the part of the address behind #: a link that can be pasted anywhere. */

export const FIRST = {
  unit: "", colour: "specificity", language: "", layer: "", text: "", least: 0, kind: "", withContexts: false,
  sort: "difference", descending: true, measure: "pearson", depth: "all", order: "number", pair: "",
};

/** State out of an address; what it does not say, or says wrongly, is as at first. */
export function readState(hash, allowed) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...FIRST };
  for (const [key, first] of Object.entries(FIRST)) {
    const text = given.get(key);
    if (text === null) continue;
    const value = typeof first === "boolean" ? text === "1" : typeof first === "number" ? Number(text) : text;
    if (typeof first === "number" ? value >= 0 && value <= 1 : allowed[key]?.(value) ?? true) state[key] = value;
  }
  return state;
}

/** Address of a state: what differs from the first. */
export function writeState(state) {
  const said = new URLSearchParams();
  for (const [key, first] of Object.entries(FIRST)) {
    if (state[key] !== first) said.set(key, typeof first === "boolean" ? (state[key] ? "1" : "0") : state[key]);
  }
  return `#${said}`;
}

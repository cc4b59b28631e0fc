/** Text of documents, shown as what it is: nothing of it is markup, and what cannot be seen has a name. */

const NAMES = new Map(Object.entries({
  "\t": "TAB", "\n": "↵", "\r": "CR", "\u00a0": "NBSP", "\u00ad": "SHY", "\u061c": "ALM", "\u200b": "ZWSP",
  "\u200c": "ZWNJ", "\u200d": "ZWJ", "\u200e": "LRM", "\u200f": "RLM", "\u2028": "LS", "\u2029": "PS",
  "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO", "\u2060": "WJ",
  "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\ufeff": "BOM", "\ufffd": "�",
}));
// controls, formats, surrogates, private use, unassigned, line and paragraph separators, unusual spaces
const UNUSUAL = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\ufffd]/u;
const JOINERS = new Set(["\u200c", "\u200d"]);

/** Parts of a text in order: {text} as it is, or {name, code} of a character that cannot be seen. */
export function reveal(text) {
  const parts = [];
  const characters = Array.from(text);
  characters.forEach((character, at) => {
    // between letters of a script that joins them, joiners belong to its spelling
    const spelt = JOINERS.has(character) && at > 0 && /[\p{L}\p{M}]/u.test(characters[at - 1]) &&
      !/[\p{Script=Latin}]/u.test(characters[at - 1]);
    if (!UNUSUAL.test(character) || spelt) {
      const last = parts.at(-1);
      if (last && last.text !== undefined) last.text += character;
      else parts.push({ text: character });
      return;
    }
    const code = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    parts.push({ name: NAMES.get(character) ?? code, code });
  });
  return parts;
}

/** A text with the names of what cannot be seen in it, for places that take text alone. */
export function visible(text) {
  return reveal(text).map((part) => part.text ?? `[${part.name}]`).join("");
}

/** Put a text into an element, as text. */
export function showText(element, text) {
  for (const part of reveal(text)) {
    if (part.text !== undefined) {
      element.append(part.text);
      continue;
    }
    const mark = document.createElement("span");
    mark.className = "unusual";
    mark.title = part.code;
    mark.textContent = part.name;
    element.append(mark);
  }
}

/** Make an element: attributes by name, children that are elements or text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/** Make an element of SVG. */
export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

function setAttributes(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
}

/** Names with their values. */
export function factList(facts) {
  return make("dl", { class: "facts" }, ...facts.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** The text around the tokens that activate a unit, languages side by side. */

import { short } from "./study.js";
import { make, showText, visible } from "./text.js";

const RANDOM = 0, SCORE = 1, DOCUMENT = 2, POSITION = 3, LEFT = 4, TOKEN = 5, RIGHT = 6;

function contextItem(row, language) {
  const item = make("li");
  const where = visible(`document ${row[DOCUMENT]}, token ${row[POSITION]}`);
  item.append(make("span", { class: "score", title: where }, short(row[SCORE])));
  if (row[TOKEN] === undefined) {
    item.append(make("span", { class: "where" }, where));
    return item;
  }
  const text = make("p", { class: "text", lang: language.code, dir: language.direction });
  // a space at a token's start stands before the mark, which a line's end would tear apart
  const space = /^ (?=\S)/.test(row[TOKEN]) ? " " : "";
  showText(text, row[LEFT] + space);
  const token = make("mark");
  showText(token, row[TOKEN].slice(space.length));
  text.append(token);
  showText(text, row[RIGHT]);
  item.append(text);
  return item;
}

function part(title, rows, language) {
  if (!rows.length) return [];
  return [make("h5", {}, title), make("ol", {}, ...rows.map((row) => contextItem(row, language)))];
}

/** One column per language; those of the largest score come first. */
export function contextColumns(study, unit, kind) {
  const columns = study.languages.map((language) => {
    const rows = unit.by[language.code] ?? [];
    const best = rows.filter((row) => !row[RANDOM]);
    const strongest = Math.max(0, ...best.map((row) => Math.abs(row[SCORE])));
    const random = rows.filter((row) => row[RANDOM]);
    const column = make("article", { class: "column", "data-code": language.code },
      make("h4", {}, language.name), ...part("Strongest tokens", best, language),
      ...part(kind === "expert" ? "Random tokens that activate it" : "Random tokens", random, language));
    if (!rows.length) column.append(make("p", { class: "quiet" }, "No token in this language."));
    return { column, strongest };
  });
  columns.sort((a, b) => b.strongest - a.strongest);
  return columns.map((entry) => entry.column);
}

/** Rows of a unit's contexts for a file. */
export function contextRows(name, unit) {
  const header = ["unit", "language", "sample", "score", "document", "position", "left", "token", "right"];
  const rows = Object.entries(unit.by).flatMap(([code, own]) =>
    own.map((row) => {
      const text = [LEFT, TOKEN, RIGHT].map((part) => row[part] ?? null); // none where texts may not be passed on
      return [name, code, row[RANDOM] ? "random" : "top", ...row.slice(SCORE, LEFT), ...text];
    }));
  return { header, rows };
}

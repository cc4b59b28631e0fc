/** The list of units that are found: sorted, a page at a time, as a file. */

import { csv, download } from "./files.js";
import { short } from "./study.js";
import { make, showText } from "./text.js";
import { SORTS } from "./units.js";

const AT_ONCE = 50;

/** List in a table; `sorted(key)` is called for a heading, `link(name)` gives the address of a unit. */
export class UnitList {
  constructor(table, more, study, link, sorted) {
    Object.assign(this, { table, more, study, link, rows: [], n: AT_ONCE });
    this.headings = new Map();
    const head = make("tr");
    for (const [key, { title }] of Object.entries(SORTS)) {
      const button = make("button", { type: "button", "data-sort": key }, title);
      button.addEventListener("click", () => sorted(key));
      const cell = make("th", { scope: "col" }, button);
      this.headings.set(key, cell);
      head.append(cell);
    }
    this.body = make("tbody");
    table.append(make("thead", {}, head), this.body);
    more.addEventListener("click", () => {
      this.n += 4 * AT_ONCE;
      this.draw();
    });
  }

  show(rows, state) {
    Object.assign(this, { rows, n: AT_ONCE, chosen: state.unit });
    for (const [key, cell] of this.headings) {
      if (key !== state.sort) cell.removeAttribute("aria-sort");
      else cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    }
    this.draw();
  }

  draw() {
    this.body.replaceChildren(...this.rows.slice(0, this.n).map((row) => this.line(row)));
    this.more.hidden = this.rows.length <= this.n;
  }

  line(row) {
    const link = make("a", { href: this.link(row.name), "aria-current": row.name === this.chosen ? "true" : null }, row.name);
    const where = make("th", { scope: "row" }, link);
    if (row.found !== undefined) {
      const token = make("span", { class: "found" });
      showText(token, row.found);
      where.append(" ", token);
    }
    const languages = row.nHigh === null ? "" : `${row.nHigh} of ${this.study.codes.length}`;
    const cells = [row.className, row.top, short(row.difference), languages, short(row.frequency)];
    return make("tr", {}, where, ...cells.map((text) => make("td", {}, text)));
  }

  /** Name of the unit after (or before) one in the list. */
  beside(name, step) {
    const at = this.rows.findIndex((row) => row.name === name);
    const next = this.rows[at < 0 ? 0 : Math.max(0, Math.min(this.rows.length - 1, at + step))];
    return next ? next.name : "";
  }

  save(frequencies) {
    const { codes, model } = this.study;
    const header = ["unit", "kind", "layer", "number", "class", "top_language", "difference", "n_languages_high",
      ...codes.map((code) => `frequency_${code}`)];
    const rows = this.rows.map((row) => [row.name, row.kind, row.layer, row.number, row.className, row.top,
      row.difference, row.nHigh, ...(row.kind === "expert" ? frequencies(row.cell) : codes.map(() => null))]);
    download(`${model}_units.csv`, csv(header, rows), "text/csv");
  }
}

/** What is lost when a unit is removed together with others of its language, where that was measured. */

import { factList, make } from "./text.js";

const NOT_MEASURED = "Not measured in this run: “snakemake full” with “explorer: ablation: true” measures it.";

function panel(...children) {
  return make("section", { class: "panel", "aria-labelledby": "removal-title" },
    make("h3", { id: "removal-title" }, "What is lost without it"), ...children);
}

const note = (text) => make("p", { class: "quiet" }, text);
const nameOf = (study, code) => study.languages[study.number.get(code)].name;

/** What is lost without the specific units of a language that this one is among. */
export function removalRow(study, kind, language) {
  return study.ablation.find((row) => row.kind === `${kind}s` && row.language === language) ?? null;
}

/** Where experts are groups of neurons; `language`: the one that the unit is specific to, or "". */
export function removalPart(study, kind, language) {
  if (!study.ablation.length) return panel(note(NOT_MEASURED));
  const row = language ? removalRow(study, kind, language) : null;
  if (!row) return panel(note("Only units that are specific to one language were removed."));
  const facts = [["This language loses", row.own], ["Other languages, mean", row.others]];
  if (row.control_own) {
    facts.push([`Other ${kind}s, as many (mean of ${row.n_controls} sets): this language`, row.control_own],
      ["Other languages, mean, by these", row.control_others],
      ["Beyond such others", `${row.beyond_control} (95 %: ${row.beyond_control_low} to ${row.beyond_control_high})`]);
  }
  return panel(make("p", {}, `Removed together with all ${row.n_units} ${kind}s that are specific to ` +
    `${nameOf(study, language)}; bits per byte above the whole model:`), factList(facts));
}

/** Languages whose specific routed experts, removed together, had this one among them. */
export function removedFor(study, layer, number) {
  const row = study.row.get(layer);
  return study.codes.filter((code) => study.removed[code]?.some(([where, which]) => where === row && which === number));
}

/** Where experts are routed: a table for each language that lost this one together with others. */
export function routedRemovalPart(study, layer, number) {
  if (!study.removal.length) return panel(note(NOT_MEASURED));
  const codes = removedFor(study, layer, number);
  if (!codes.length) return panel(note("Only experts that one language chooses most beyond the others were removed."));
  return panel(...codes.flatMap((code) => {
    const rows = study.removal.filter((row) => row.experts_of === code);
    const gone = rows[0].n_experts - rows[0].n_kept;
    const cells = (row) => [row.rise, row.rise_low, row.rise_high].map((value) => make("td", {}, value));
    const body = rows.map((row) => make("tr", { "data-code": row.language },
      make("th", { scope: "row" }, nameOf(study, row.language)), ...cells(row)));
    const head = ["Text", "Loss rises by", "Low", "High"].map((text) => make("th", { scope: "col" }, text));
    const about = `Removed together with the others that ${nameOf(study, code)} chooses most beyond the mean of the other languages ` +
      `(${gone} of ${rows[0].n_experts} in each layer); nats per token above the whole model, 95 % intervals:`;
    const table = make("table", { class: "numbers", "data-removed": code },
      make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
    const label = `What is lost without experts of ${nameOf(study, code)}`;
    return [make("p", {}, about), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table)];
  }));
}

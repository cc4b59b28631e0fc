// The modules of the page as they stand in their folder, all exports in one object; main.js runs in a browser alone.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { mkdtempSync, copyFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = fileURLToPath(new URL("../../../../resources/templates/explorer/", import.meta.url));

export async function bundled() {
  const copy = mkdtempSync(join(tmpdir(), "modules-"));
  writeFileSync(join(copy, "package.json"), '{"type": "module"}');
  const names = readdirSync(folder).filter((name) => name.endsWith(".js"));
  for (const name of names) copyFileSync(join(folder, name), join(copy, name));
  const found = await Promise.all(names.filter((name) => name !== "main.js").map((name) => import(join(copy, name))));
  return Object.assign({}, ...found);
}

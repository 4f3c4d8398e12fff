// Makes the documents that say what the code says: `npm run reference` writes them, `-- --check` says which are out of date.

import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { root } from "./check/tools.ts";
import { apiPage } from "./reference/api-page.ts";
import { badInputsPage } from "./reference/bad-inputs-page.ts";
import { readContract } from "./reference/contract.ts";
import { errorsPage } from "./reference/errors-page.ts";
import { agynctlPage, helpPage } from "./reference/help-page.ts";
import { pipelineSchema, pipelinesPage } from "./reference/pipelines-page.ts";
import { settingsPage } from "./reference/settings-page.ts";

const contract = await readContract();
const pages: Record<string, string> = {
  "docs/reference/api.md": apiPage(contract),
  "docs/reference/errors.md": errorsPage(contract),
  "docs/reference/settings.md": settingsPage(),
  "docs/reference/agynctl.md": await agynctlPage(),
  "docs/reference/agyn-runner.md": await helpPage("agyn-runner", "runner/src/main.ts"),
  "docs/reference/agyn-server.md": await helpPage("agyn-server", "server/src/main.ts"),
  "docs/reference/pipelines.md": pipelinesPage(),
  "docs/reference/pipeline.schema.json": pipelineSchema(),
  "docs/internals/bad-inputs.md": await badInputsPage(),
};
process.exitCode = process.argv.includes("--check") ? await check() : await write();

async function write(): Promise<number> {
  for (const [name, text] of Object.entries(pages)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
  return 0;
}

async function check(): Promise<number> {
  const stale: string[] = [];
  for (const [name, text] of Object.entries(pages)) if ((await read(name)) !== text) stale.push(name);
  for (const name of stale) console.log(`${name} is out of date: run npm run reference`);
  return stale.length === 0 ? 0 : 1;
}

async function read(name: string): Promise<string> {
  return existsSync(join(root, name)) ? readFile(join(root, name), "utf8") : "";
}

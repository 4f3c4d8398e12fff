import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isOverOpenZiti } from "../support/network.ts";
import { root, run } from "./support.ts";
import { mask, maskOverlay, readTranscript, replaceTranscript } from "./transcript.ts";

const readme = join(root, "README.md");

/** `AGYN_UPDATE_TRANSCRIPT=1 npm test -- test/demo/transcript.test.ts` writes what the demo says now. */
const isUpdate = process.env["AGYN_UPDATE_TRANSCRIPT"] === "1";

test("the demo verifies every step and says what the README shows", { timeout: 240_000 }, async () => {
  const demo = run([process.execPath, "demo/demo.ts", ...(isOverOpenZiti ? ["--overlay", "openziti"] : [])]);
  const code = await demo.ended;

  expect(code, demo.output()).toBe(0);
  if (isUpdate) writeFileSync(readme, replaceTranscript(readFileSync(readme, "utf8"), demo.output()));
  const [said, shown] = [demo.output(), readTranscript(readFileSync(readme, "utf8"))].map(mask);
  expect(isOverOpenZiti ? maskOverlay(said!) : said).toBe(isOverOpenZiti ? maskOverlay(shown!) : shown);
});

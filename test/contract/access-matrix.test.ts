import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accessMatrix } from "./access-matrix.ts";
import { openContractWorld, type ContractWorld } from "./world.ts";

const golden = new URL("access-matrix.golden.txt", import.meta.url);
const hint = "if the change is meant, regenerate with AGYN_UPDATE_GOLDEN=1 and review the difference";

/** More than a thousand calls. */
const timeout_ms = 180_000;

let world: ContractWorld;

beforeAll(async () => {
  world = await openContractWorld();
});
afterAll(() => world.close());

test(
  "bad-47: every method × credential × listener answers as the golden matrix says",
  async () => {
    const matrix = await accessMatrix(world);
    if (process.env["AGYN_UPDATE_GOLDEN"] === "1") await writeFile(golden, matrix);
    expect(matrix, hint).toBe(await readFile(golden, "utf8"));
  },
  timeout_ms,
);

import { expect, test } from "vitest";

import { parseOutputs } from "../../runner/src/executors/job-outputs.ts";
import { createMask, hidingMask } from "../../runner/src/executors/mask.ts";
import { openWorld, run, script } from "./support/world.ts";

test("what a job writes to $AGYN_OUTPUT as name=value lines is in its result, the last value of a name", async () => {
  await using world = await openWorld();
  const { result, log } = await run(world, script("sh", 'printf "a=1\\nb=x=y\\r\\n\\na=2\\nc=" >>"$AGYN_OUTPUT"'));
  expect(result).toMatchObject({ outcome: "exited", exitCode: 0, outputs: { a: "2", b: "x=y", c: "" } });
  expect(log.system()).toBe("");
});

test("an output that breaks a rule is refused in the log, and the others and the exit code stand", async () => {
  await using world = await openWorld();
  const text = 'printf "no value\\n1x=1\\nbad=\\377\\ngood=1\\n" >>"$AGYN_OUTPUT"; exit 3';
  const { result, log } = await run(world, script("sh", text));
  expect(result).toMatchObject({ exitCode: 3, outputs: { good: "1" } });
  expect(log.system().split("\n").filter(Boolean)).toEqual([
    "line 1 of $AGYN_OUTPUT is refused: it is not name=value",
    "line 2 of $AGYN_OUTPUT is refused: it is not name=value",
    "line 3 of $AGYN_OUTPUT is refused: it is not UTF-8, or holds a NUL",
  ]);
});

test.each([
  [
    "a link to another file",
    'echo "secret=1" >other; rm "$AGYN_OUTPUT"; ln -s "$PWD/other" "$AGYN_OUTPUT"',
    "it is a link",
  ],
  ["a pipe", 'rm "$AGYN_OUTPUT"; mkfifo "$AGYN_OUTPUT"', "it is not a file"],
  ["another name of a file", 'echo "secret=1" >other; ln -f other "$AGYN_OUTPUT"', "it has another name"],
])("%s in the place of $AGYN_OUTPUT is not read", async (_what, text, why) => {
  await using world = await openWorld();
  const { result, log } = await run(world, script("sh", text));
  expect(result).toMatchObject({ exitCode: 0, outputs: {} });
  expect(log.system()).toContain(`the file $AGYN_OUTPUT is not read: ${why}`);
});

test("outputs are bounded in number and size, and so is what is said of the refused", () => {
  const names = Array.from({ length: 100 }, (_, index) => `n${index}=1`).join("\n");
  const { outputs, refusals } = parseOutputs(
    Buffer.from(`big=${"x".repeat(16 * 1024 + 1)}\n${names}\nn0=2\n`),
    createMask([]),
  );
  expect(Object.keys(outputs)).toHaveLength(64);
  expect(outputs["n0"]).toBe("2");
  expect(refusals[0]).toContain("the value of big is above 16384 bytes");
  expect(refusals).toHaveLength(21);
  expect(refusals.at(-1)).toContain("17 more lines");
});

test("an output that holds a secret, in any form that is masked, is refused; where secrets cannot be told any more, all are", () => {
  const value = "hunter2-of-acme";
  const mask = createMask([{ name: "TOKEN", value, secret: true }]);
  const base64 = Buffer.from(value).toString("base64");
  const written = Buffer.from(`plain=${value}\nfine=1\nwithin=x${value}x\nencoded=${base64}\n${"hunter2_of"}=1\n`);

  const { outputs, refusals } = parseOutputs(written, mask);
  expect(outputs).toEqual({ fine: "1", hunter2_of: "1" });
  expect(refusals.map((one) => one.replace(/:.*/, ""))).toEqual(
    [1, 3, 4].map((line) => `line ${line} of $AGYN_OUTPUT is refused`),
  );
  expect(refusals.join()).not.toContain(value);
  expect(parseOutputs(written, hidingMask).outputs).toEqual({});
});

import { expect, test } from "vitest";
import { createTerminal, foldText } from "../../demo/terminal.ts";

test("what is wider than the terminal goes on below where it began", () => {
  let shown = "";
  const terminal = createTerminal((text) => (shown += text), false, 40);

  terminal.fact("commit", "2013686ac6aa Say what a placer is");
  terminal.verdict("refused", 'no runner can take this workload: capability "gpu" is missing');

  expect(shown.split("\n")).toEqual([
    "  commit          2013686ac6aa Say what",
    "                  a placer is",
    "  ✗ no runner can take this workload:",
    '    capability "gpu" is missing',
    "",
  ]);
});

test("a word that is wider than the terminal stays whole, and blanks stay where nothing is broken", () => {
  expect(foldText("at spiffe://agyn-example", 10)).toEqual(["at", "spiffe://agyn-example"]);
  expect(foldText("a  b", 10)).toEqual(["a  b"]);
});

import { expect, test } from "vitest";
import { resolveInputs } from "../../pipelines/resolve-inputs.ts";
import { oneJob, pipelineOf, problemsOf, toLine } from "./support.ts";

const pipeline = pipelineOf(
  oneJob(
    "",
    `inputs:
  name: {required: true, description: whom to greet}
  count: {type: number, default: 3}
  dry: {type: boolean}
  target: {choices: [staging, production]}
  note: {}
`,
  ),
);

function resolve(given: Record<string, string>): unknown {
  const resolved = resolveInputs(pipeline, given);
  return "inputs" in resolved ? resolved.inputs : resolved.problems.map(toLine);
}

test("inputs that are not given have their defaults, or the least that their type knows", () => {
  expect(resolve({ name: "ada" })).toEqual({ name: "ada", count: 3, dry: false, target: "staging", note: "" });
});

test("given texts become values of the inputs' types", () => {
  expect(resolve({ name: "", count: "-0.50", dry: "true", target: "production" })).toMatchObject({
    name: "",
    count: -0.5,
    dry: true,
    target: "production",
  });
});

test("all that is wrong with what was given is said at once", () => {
  expect(resolve({ count: "three", dry: "yes", target: "prod", nmae: "x" })).toEqual([
    'inputs.nmae: unknown input "nmae" (did you mean name?)',
    "inputs.name: is required (whom to greet)",
    'inputs.count: "three" is no number (write it like 12 or 0.5)',
    'inputs.dry: "yes" is neither true nor false',
    'inputs.target: "prod" is not among the choices (did you mean production?)',
  ]);
});

test("bad-29: a number that is none, negative zero, or beyond what a double holds is refused or made plain", () => {
  for (const count of ["NaN", "Infinity", "1e3", "0x10", "9007199254740993", "", " 1", "1_000"])
    expect(resolve({ name: "a", count })).toEqual([expect.stringContaining("is no number")]);
  expect(resolve({ name: "a", count: "-0" })).toMatchObject({ count: 0 });
  expect(Object.is((resolve({ name: "a", count: "-0" }) as { count: number }).count, 0)).toBe(true);
});

test("bad-26: inputs named like members of every object are unknown like any other", () => {
  for (const name of ["constructor", "toString", "hasOwnProperty"])
    expect(resolve({ name: "a", [name]: "x" })).toEqual([expect.stringContaining(`unknown input "${name}"`)]);
});

test("a value that no database takes is refused", () => {
  for (const name of ["a\0b", "\ud800", "x".repeat(8193)]) expect(resolve({ name })).toHaveLength(1);
});

const refused: [words: string, problem: string][] = [
  ["{type: number, default: '3'}", 'the default "3" is no number'],
  ["{default: 1.10}", 'the default 1.10 is no text (put it in quotes: "1.10")'],
  ["{type: boolean, default: x}", 'the default "x" is no boolean'],
  ["{choices: [a, b], default: c}", '"c" is not among the choices'],
  ["{type: choice}", "a choice without choices (list them: choices: [one, two])"],
  ["{type: number, choices: [a]}", "choices of an input of type number (they go with type: choice)"],
  ["{choices: [a, a]}", '"a" is listed twice'],
  ["{required: true, default: a}", "an input with a default is never missing"],
  ["{type: text}", '"text" is not one of string, number, boolean, choice'],
  ["{type: number, default: .nan}", "is no number"],
];

test.each(refused)("an input %s is refused", (words, problem) => {
  expect(problemsOf(oneJob("", `inputs: {a: ${words}}\n`)).join("\n")).toContain(problem);
});

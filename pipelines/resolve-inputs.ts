import { inputFault } from "./check-inputs.ts";
import type { InputDefinition, InputValues, Pipeline, Problem, Value } from "./pipeline.ts";
import { keyPath, quote, suggest } from "./problems.ts";

/** The values of a pipeline's inputs from the texts that were given for some of them, or all that is wrong with these. */
export function resolveInputs(
  pipeline: Pipeline,
  given: Readonly<Record<string, string>>,
): { readonly inputs: InputValues } | { readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const names = pipeline.inputs.map(({ name }) => name);
  for (const name of Object.keys(given)) {
    const path = keyPath("inputs", name);
    if (!names.includes(name))
      problems.push({ path, message: `unknown input ${quote(name)}`, hint: suggest(name, names)() });
  }
  const values = pipeline.inputs.map((input): [string, Value] => {
    const text = Object.hasOwn(given, input.name) ? given[input.name] : undefined;
    const path = keyPath("inputs", input.name);
    const fault = text === undefined ? undefined : inputFault(input, text);
    if (fault !== undefined) problems.push({ path, ...fault });
    if (text === undefined && input.required) problems.push({ path, message: "is required", ...describe(input) });
    return [input.name, text === undefined || fault !== undefined ? valueOfNone(input) : toValue(input, text)];
  });
  return problems.length > 0 ? { problems } : { inputs: Object.fromEntries(values) };
}

function describe({ description, choices }: InputDefinition): { hint?: string } {
  const hint = description === "" && choices.length > 0 ? `one of ${choices.join(", ")}` : description;
  return hint === "" ? {} : { hint };
}

function toValue({ type }: InputDefinition, text: string): Value {
  if (type === "number") return Number(text) + 0;
  return type === "boolean" ? text === "true" : text;
}

function valueOfNone(input: InputDefinition): Value {
  if (input.default !== null) return input.default;
  switch (input.type) {
    case "string":
      return "";
    case "number":
      return 0;
    case "boolean":
      return false;
    case "choice":
      return input.choices[0] ?? "";
  }
}

import { durationText } from "../../pipelines/durations.ts";
import { runFields } from "../../pipelines/expressions/check-expression.ts";
import { functions, kindsText } from "../../pipelines/expressions/functions.ts";
import { limits } from "../../pipelines/limits.ts";
import { briefly, type Shape } from "../../pipelines/shapes.ts";
import { pipelineShape } from "../../pipelines/words.ts";
import { heading, table } from "./markdown.ts";

/** What editors complete and check pipeline files with. */
export function pipelineSchema(): string {
  const schema = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "agyn pipeline",
    description: "Made by `npm run reference` from `pipelines/words.ts`",
    ...pipelineShape.schema,
  };
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

/** The language of pipeline files as a page of the reference. */
export function pipelinesPage(): string {
  const records = [...collectRecords(pipelineShape, new Map())];
  const words = records.map(([title, shape]) => `### ${sectionTitle(title)}\n\n${wordsTable(shape)}`).join("\n\n");
  const contexts = [
    ["`inputs.<name>`", "what the run was started with, of the input's type"],
    ["`matrix.<axis>`", "the job's cell; `null` where the cell has no such axis"],
    ["`needs.<job>.outputs.<name>`", "what a job without a matrix of several cells has written; '' where it has not"],
    [
      "`needs.<job>.state`",
      "`succeeded`, `failed`, `cancelled` or `skipped`; of a matrix, the worst that any of its jobs came to",
    ],
    ["`env.<name>`", "a variable of the pipeline; outside of `env` itself also one of the job"],
    ...[...runFields].map(([name, [kind, help]]) => [
      `\`run.${name}\``,
      `${help}${name === "event" ? "" : ` (${kindsText(kind)})`}`,
    ]),
  ];
  const calls = Object.values(functions).map(({ usage, help }) => [`\`${usage}\``, help]);
  const bounds = Object.entries(limits).map(([name, { value, what }]) => {
    return [name.endsWith("_ms") ? durationText(value) : value.toLocaleString("en-US"), what];
  });
  return `${heading("Pipeline files", "`pipelines/words.ts`, `pipelines/expressions/functions.ts` and `pipelines/limits.ts`")}
[The guide](../guide/pipelines.md) shows how to write them; \`pipeline.schema.json\` beside this page is for editors. The ending says what a
file is: \`.yaml\` and \`.yml\` a pipeline of jobs, \`.act\` a graph, anything else a script.

## Words

${words}

## Expressions

\`\${{ expression }}\` stands in texts that may hold it, an \`if\` is an expression as a whole. There are texts in single or double quotes
(the quote itself is written twice), decimal numbers, \`true\`, \`false\`, \`null\`, names, calls, parentheses, and from the strongest to the
weakest \`==\` \`!=\` \`<\` \`<=\` \`>\` \`>=\`, \`!\`, \`&&\`, \`||\`. Order compares numbers only. \`&&\` and \`||\` give the operand that decides, so that
\`condition && 'one' || 'other'\` chooses. False are \`false\`, \`null\`, \`0\` and \`''\`.

${table(["name", "is"], contexts)}

${table(["call", "gives"], calls)}

An \`if\` without \`success()\`, \`failure()\`, \`always()\` or \`cancelled()\` holds only where \`success()\` does too.

## Limits

${table(["at most", "of"], bounds)}
`;
}

function sectionTitle(title: string): string {
  const bare = title.replace(/^an? /, "");
  return bare.slice(0, 1).toUpperCase() + bare.slice(1);
}

/** Every record below a shape, by title, in the order of the words. */
function collectRecords(shape: Shape<unknown>, found: Map<string, Shape<unknown>>): Map<string, Shape<unknown>> {
  if (shape.title !== undefined && !found.has(shape.title)) found.set(shape.title, shape);
  for (const part of shape.parts ?? []) collectRecords(part, found);
  return found;
}

function wordsTable({ words = {}, restHelp }: Shape<unknown>): string {
  const rows = Object.entries(words).map(([word, { shape, help, isRequired }]) => {
    return [`\`${word}\`${isRequired === true ? " (required)" : ""}`, briefly(shape), help];
  });
  if (restHelp !== undefined) rows.push(["…", "", restHelp]);
  return table(["word", "what stands there", "what it says"], rows);
}

import { resolve } from "node:path";
import { parsePipeline, type ParsedPipeline } from "../../../pipelines/parse-pipeline.ts";
import { limits } from "../../../pipelines/limits.ts";
import type { FileProblem } from "../../../pipelines/pipeline.ts";
import { defineCommand } from "../command.ts";
import { exitCodes, UsageError } from "../failures.ts";
import { safe } from "../output.ts";
import { readBounded } from "../read-file.ts";

interface Validated {
  readonly file: string;
  readonly parsed: ParsedPipeline;
}

export const pipelinesValidate = defineCommand({
  path: ["pipelines", "validate"],
  summary: "Checks pipeline files, without asking the control plane",
  arguments: { files: { kind: "rest", help: "pipelines (.yaml, .yml), graphs (.act), or scripts" } },
  options: {},
  examples: ["agynctl pipelines validate ci.yaml", "agynctl pipelines validate ci/*.yaml build.sh -o json"],
  async run({ output, terminal }, { files }) {
    if (files.length === 0) throw new UsageError("no file is given", "such as: agynctl pipelines validate ci.yaml");
    const all: Validated[] = [];
    for (const file of files) {
      const text = await readBounded(resolve(terminal.cwd, file), limits.file_bytes.value);
      all.push({ file, parsed: parsePipeline(file, text) });
    }
    await output.document(() => all.map(toJson), all.map(toText).join(""));
    return all.some(({ parsed }) => "problems" in parsed) ? exitCodes.failure : exitCodes.ok;
  },
});

function toJson({ file, parsed }: Validated) {
  if ("problems" in parsed) return { file, valid: false, problems: parsed.problems.map((problem) => ({ ...problem })) };
  const { kind, name, jobs } = parsed.pipeline;
  return { file, valid: true, kind, name, jobs: jobs.map((job) => job.name), problems: [] };
}

function toText({ file, parsed }: Validated): string {
  if ("problems" in parsed) return parsed.problems.map((problem) => problemLine(file, problem)).join("");
  const { kind, jobs } = parsed.pipeline;
  const planned = jobs.reduce((sum, { matrix }) => sum + (matrix?.cells.length ?? 1), 0);
  const what =
    kind === "yaml" ? `${planned} ${planned === 1 ? "job" : "jobs"}` : { script: "a script", act: "a graph" }[kind];
  return `${safe(file)}: ok, ${what}\n`;
}

/** As compilers write it, so that editors find the place. */
function problemLine(file: string, { line, column, path, message, hint }: FileProblem): string {
  const where = path === "" ? "" : `${path}: `;
  return `${safe(`${file}:${line}:${column}: ${where}${message}${hint === undefined ? "" : ` (${hint})`}`)}\n`;
}

import { plainJob } from "./job-definition.ts";
import { limits, limitText } from "./limits.ts";
import {
  pipelineVersion,
  type FileProblem,
  type LabelRequirement,
  type Pipeline,
  type ScriptShell,
} from "./pipeline.ts";
import { createReport, quote, type Report } from "./problems.ts";

/** The one job of a script, or of a graph. */
export const onlyJobName = "main";

const shellsByProgram: ReadonlyMap<string, ScriptShell> = new Map([
  ["sh", "sh"],
  ["dash", "sh"],
  ["bash", "bash"],
  ["node", "node"],
  ["python", "python3"],
  ["python3", "python3"],
]);

/** A line of the file, and where it starts. */
interface Line {
  readonly text: string;
  readonly offset: number;
}

/**
 * A script as a pipeline of one job. Its shebang says what interprets it (`sh` without one), and comments among its first
 * lines what it asks of a runner: `# requires: os=linux docker`.
 */
export function parseScript(name: string, text: string): { pipeline: Pipeline } | { problems: readonly FileProblem[] } {
  const report = createReport(text);
  if (text.trim() === "") report.add({ path: "", offset: 0 }, "the file is empty", "a script has at least one command");
  const lines = firstLines(text);
  const shell = readShebang(lines[0]?.text ?? "", report);
  const requires = readRequires(lines, report);
  const problems = report.list();
  if (problems.length > 0) return { problems };

  const job = { ...plainJob(onlyJobName, { kind: "script", text, shell }), requires };
  return { pipeline: onlyPipeline("script", name, job) };
}

/** A pipeline of one job that says nothing else. */
export function onlyPipeline(kind: "script" | "act", name: string, job: Pipeline["jobs"][number]): Pipeline {
  const nothing = { inputs: [], env: {}, timeout_ms: null, concurrency: null };
  return { version: pipelineVersion, kind, name, ...nothing, jobs: [job] };
}

function firstLines(text: string): Line[] {
  const lines: Line[] = [];
  let offset = 0;
  while (lines.length < limits.headerLines.value && offset < text.length) {
    const end = text.indexOf("\n", offset);
    const next = end < 0 ? text.length : end;
    lines.push({ text: text.slice(offset, next), offset });
    offset = next + 1;
  }
  return lines;
}

function readShebang(line: string, report: Report): ScriptShell {
  if (!line.startsWith("#!")) return "sh";
  const place = { path: "", offset: 0 };
  const [path = "", ...rest] = line.slice(2).trim().split(/\s+/);
  const isEnv = path.endsWith("/env");
  const program = isEnv ? (rest[0] ?? "") : path.slice(path.lastIndexOf("/") + 1);
  const options = isEnv ? rest.slice(1) : rest;
  const shell = shellsByProgram.get(program);
  if (shell === undefined) {
    const hint = `scripts are run by ${[...new Set(shellsByProgram.values())].join(", ")}; call anything else from one`;
    report.add(place, `the interpreter ${quote(program)} is not known`, hint);
  } else if (options.some((option) => option !== "-e"))
    report.add(place, "options of a shebang are not passed on", "write them as a command, such as set -eu");
  return shell ?? "sh";
}

function readRequires(lines: readonly Line[], report: Report): ReturnType<typeof plainJob>["requires"] {
  const labels = new Map<string, LabelRequirement<string>>();
  const capabilities = new Set<string>();
  for (const { text, offset } of lines) {
    const found = /^[ \t]*(?:#|\/\/)[ \t]*requires:/.exec(text);
    if (found === null) continue;
    const start = found[0].length;
    for (const { 0: word, index } of text.slice(start).matchAll(/\S+/g)) {
      const place = { path: "requires", offset: offset + start + index };
      const [key, ...value] = word.split("=");
      const isLabel = value.length > 0;
      if (isLabel && labels.has(key!)) report.add(place, `the label ${quote(key!)} is given twice`);
      else if (isLabel && /^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/.test(key!))
        labels.set(key!, { key: key!, operator: "in", values: [value.join("=")] });
      else if (!isLabel && /^[a-z0-9]([a-z0-9._:-]*[a-z0-9])?$/.test(word)) capabilities.add(word);
      else report.add(place, `${quote(word)} is neither key=value nor the name of a capability`);
    }
  }
  const place = { path: "requires", offset: 0 };
  if (labels.size > limits.labels.value) report.add(place, limitText("labels"));
  if (capabilities.size > limits.capabilities.value) report.add(place, limitText("capabilities"));
  const nothing = { executor: null, resources: {}, prefer: [] };
  return { labels: [...labels.values()], capabilities: [...capabilities], ...nothing };
}

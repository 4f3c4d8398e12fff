import { limits, limitText } from "./limits.ts";
import { parseGraph } from "./parse-graph.ts";
import { parseScript } from "./parse-script.ts";
import { parseYaml } from "./parse-yaml.ts";
import type { FileProblem, Pipeline } from "./pipeline.ts";
import { createReport } from "./problems.ts";
import { byteLength } from "./scalar-shapes.ts";

export type ParsedPipeline = { readonly pipeline: Pipeline } | { readonly problems: readonly FileProblem[] };

/**
 * The pipeline in a file, or all that is wrong with it. The ending of `path` says what the file is: `.yaml` and `.yml` a
 * pipeline of jobs, `.act` a graph, anything else a script. Never throws, and takes time that the limits bound.
 */
export function parsePipeline(path: string, text: string): ParsedPipeline {
  const report = createReport(text);
  const refused = text.length > limits.file_bytes.value || byteLength(text) > limits.file_bytes.value;
  if (refused) report.add({ path: "", offset: 0 }, `the file is too long: ${limitText("file_bytes")}`);
  else for (const [offset, message] of textFaults(text)) report.add({ path: "", offset }, message);
  const problems = report.list();
  if (problems.length > 0) return { problems };

  const file = path.slice(path.lastIndexOf("/") + 1);
  const ending = /\.[^.]*$/.exec(file)?.[0].toLowerCase() ?? "";
  const name = displayName(file.slice(0, file.length - ending.length) || file);
  if (ending === ".yaml" || ending === ".yml") return parseYaml(name, text);
  return ending === ".act" ? parseGraph(name, text) : parseScript(name, text);
}

/** The same of a file's bytes. What is not UTF-8 is a mistake, since a script with other letters in their place would be another one. */
export function parsePipelineFile(path: string, bytes: Uint8Array): ParsedPipeline {
  const text = decode(bytes);
  const encoded = new TextEncoder().encode(text);
  const at = bytes.findIndex((byte, index) => byte !== encoded[index]);
  if (at < 0) return parsePipeline(path, text);
  const report = createReport(text);
  report.add({ path: "", offset: decode(bytes.subarray(0, at)).length }, "is not text in UTF-8 from here on");
  return { problems: report.list() };
}

/** With U+FFFD for what is not UTF-8. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** What no database and no program takes. */
function textFaults(text: string): [offset: number, message: string][] {
  const nul = text.indexOf("\0");
  if (nul >= 0) return [[nul, "holds a NUL character"]];
  return text.isWellFormed() ? [] : [[0, "is not valid Unicode: it holds half of a surrogate pair"]];
}

function displayName(name: string): string {
  const shown = name.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}]/gu, "");
  return shown.slice(0, limits.displayName_characters.value).toWellFormed() || "pipeline";
}

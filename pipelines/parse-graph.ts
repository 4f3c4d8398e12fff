import { plainJob } from "./job-definition.ts";
import { limits, limitText } from "./limits.ts";
import { onlyJobName, onlyPipeline } from "./parse-script.ts";
import type { FileProblem, Pipeline } from "./pipeline.ts";
import { createReport, keyPath, quote, suggest, type Report } from "./problems.ts";
import { readYaml, scalarText, type YamlMap, type YamlNode } from "./read-yaml.ts";
import { kindText } from "./shapes.ts";

/**
 * A graph (`.act`) as a pipeline of one job. What is checked is that it is one: an entry, nodes of unique ids, and edges between
 * nodes that exist. Circles are allowed; what a node's type takes and does is the engine's to know.
 */
export function parseGraph(name: string, text: string): { pipeline: Pipeline } | { problems: readonly FileProblem[] } {
  const report = createReport(text);
  const root = readYaml(text, report);
  if (root !== undefined) checkGraph(root, report);
  const problems = report.list();
  if (problems.length > 0) return { problems };
  return { pipeline: onlyPipeline("act", name, plainJob(onlyJobName, { kind: "graph", text })) };
}

function checkGraph(graph: YamlNode, report: Report): void {
  if (graph.kind !== "map") {
    report.add(graph, `is ${kindText(graph)}: expected a graph, a map of entry, nodes, connections and executions`);
    return;
  }
  const ids = new Set<string>();
  for (const node of listOf(graph, "nodes", report)) checkNode(node, ids, report);
  const entry = textOf(graph, "entry", report);
  if (entry !== undefined && !ids.has(entry))
    report.add(member(graph, "entry")!, `there is no node ${quote(entry)}`, suggest(entry, ids));
  for (const word of ["connections", "executions"])
    for (const edge of listOf(graph, word, report)) for (const end of ["src", "dst"]) checkEnd(edge, end, ids, report);
}

function checkNode(node: YamlNode, ids: Set<string>, report: Report): void {
  const id = textOf(node, "id", report);
  if (id !== undefined && ids.has(id)) report.add(node, `the id ${quote(id)} is given twice`, "give each node its own");
  if (id !== undefined) ids.add(id);
  textOf(node, "type", report);
  const inner = member(node, "graph");
  if (inner !== undefined) checkGraph(inner, report);
}

function checkEnd(edge: YamlNode, end: string, ids: ReadonlySet<string>, report: Report): void {
  const place = member(edge, end);
  if (place === undefined) {
    report.add(edge, `\`${end}\` is missing in an edge`, "write it like src: {node: build, port: exec}");
    return;
  }
  const id = textOf(place, "node", report);
  textOf(place, "port", report);
  if (id !== undefined && !ids.has(id)) report.add(place, `there is no node ${quote(id)}`, suggest(id, ids));
}

function member(node: YamlNode, word: string): YamlNode | undefined {
  return node.kind === "map" ? node.entries.find(({ key }) => key === word)?.value : undefined;
}

function textOf(node: YamlNode, word: string, report: Report): string | undefined {
  const found = member(node, word);
  const text = found?.kind === "scalar" ? scalarText(found) : undefined;
  if (found === undefined) report.add(node, `\`${word}\` is missing`);
  else if (text === undefined) report.add(found, `is ${kindText(found)}: expected text`);
  return text;
}

function listOf(graph: YamlMap, word: string, report: Report): readonly YamlNode[] {
  const found = member(graph, word);
  const bound = limits.graphItems.value;
  if (found === undefined)
    report.add(
      { path: keyPath(graph.path, word), offset: graph.offset },
      `\`${word}\` is missing`,
      "an empty list is []",
    );
  else if (found.kind !== "list") report.add(found, `is ${kindText(found)}: expected a list`);
  else if (found.items.length > bound)
    report.add(found, `${found.items.length.toLocaleString("en-US")} of them: ${limitText("graphItems")}`);
  else return found.items;
  return [];
}

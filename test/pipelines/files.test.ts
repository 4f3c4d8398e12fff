import { expect, test } from "vitest";
import { parsePipeline, parsePipelineFile } from "../../pipelines/parse-pipeline.ts";
import { pipelineOf, planOf, problemsOf } from "./support.ts";

test("a script is a pipeline of one job", () => {
  const pipeline = pipelineOf("make test\n", "ci/build.sh");

  expect(pipeline).toMatchObject({ kind: "script", name: "build", jobs: [{ name: "main", needs: [] }] });
  expect(planOf(pipeline).jobs).toMatchObject([{ name: "main", key: "main", needs: [] }]);
});

const shells: [shebang: string, shell: string][] = [
  ["", "sh"],
  ["#!/bin/sh", "sh"],
  ["#!/bin/sh -e", "sh"],
  ["#! /usr/bin/env bash", "bash"],
  ["#!/usr/bin/env python3", "python3"],
  ["#!/usr/local/bin/node", "node"],
];

test.each(shells)("a script that begins with %j is run by %s", (shebang, shell) => {
  const text = `${shebang}\nmake\n`;
  expect(pipelineOf(text, "build").jobs[0]?.command).toEqual({ kind: "script", text, shell });
});

test("a script says in a comment what it asks of a runner", () => {
  const script = "#!/bin/bash\n# Builds it.\n# requires: os=linux docker\n# requires: zone=a\nmake\n";

  expect(pipelineOf(script, "build.sh").jobs[0]?.requires).toMatchObject({
    labels: [
      { key: "os", operator: "in", values: ["linux"] },
      { key: "zone", operator: "in", values: ["a"] },
    ],
    capabilities: ["docker"],
  });
});

test("a comment far below says nothing", () => {
  expect(pipelineOf(`${"\n".repeat(30)}# requires: docker\n`, "build.sh").jobs[0]?.requires.capabilities).toEqual([]);
});

const refusedScripts: [text: string, problem: string][] = [
  ["", "1:1 the file is empty (a script has at least one command)"],
  [
    "#!/usr/bin/perl\n",
    '1:1 the interpreter "perl" is not known (scripts are run by sh, bash, node, python3; call anything else from one)',
  ],
  ["#!/bin/bash -x\n", "1:1 options of a shebang are not passed on (write them as a command, such as set -eu)"],
  ["make\n# requires: Docker\n", '2:13 requires: "Docker" is neither key=value nor the name of a capability'],
  ["# requires: a=1 a=2\n", '1:17 requires: the label "a" is given twice'],
];

test.each(refusedScripts)("the script %j is refused", (text, problem) => {
  expect(problemsOf(text, "build.sh")).toEqual([problem]);
});

const graph = `entry: begin
nodes:
  - {id: begin, type: core/start@v1, position: {x: 0, y: 0}}
  - {id: build, type: core/run@v1, inputs: {"values[0]": null, script: make}}
connections: []
executions:
  - {src: {node: begin, port: exec}, dst: {node: build, port: exec}}
  - {src: {node: build, port: exec-success}, dst: {node: begin, port: exec}}
`;

test("a graph is a pipeline of one job, whose command is the file; it may have circles", () => {
  expect(pipelineOf(graph, "ci/release.act")).toMatchObject({
    kind: "act",
    name: "release",
    jobs: [{ name: "main", command: { kind: "graph", text: graph } }],
  });
});

const refusedGraphs: [what: string, text: string, problems: string[]][] = [
  [
    "no lists",
    "entry: a",
    [
      "1:1 nodes: `nodes` is missing (an empty list is [])",
      '1:8 entry: there is no node "a" (there are none)',
      "1:1 connections",
      "1:1 executions",
    ],
  ],
  [
    "an unknown entry",
    graph.replace("entry: begin", "entry: begn"),
    ['1:8 entry: there is no node "begn" (did you mean begin?)'],
  ],
  ["an id twice", graph.replace("id: build", "id: begin"), ['4:5 nodes[1]: the id "begin" is given twice']],
  [
    "an edge to nowhere",
    graph.replace("node: build, port: exec}}", "node: bild, port: exec}}"),
    ['7:43 executions[0].dst: there is no node "bild" (did you mean build?)'],
  ],
  [
    "an edge without an end",
    graph.replace(", dst: {node: begin, port: exec}", ""),
    ["8:5 executions[1]: `dst` is missing in an edge"],
  ],
  ["a node without a type", graph.replace("type: core/start@v1, ", ""), ["3:5 nodes[0]: `type` is missing"]],
];

test.each(refusedGraphs)("a graph with %s is refused", (_what, text, problems) => {
  const found = problemsOf(text, "x.act").join("\n");
  for (const problem of problems) expect(found).toContain(problem);
});

test("bad-26: a graph of ten thousand nodes is refused by a stated limit", () => {
  const nodes = Array.from({ length: 10_000 }, (_, i) => `{id: n${i}, type: t}`);
  const small = Array.from({ length: 2001 }, (_, i) => `{id: n${i}, type: t}`);
  const text = (list: string[]) => `entry: n0\nnodes: [${list.join(", ")}]\nconnections: []\nexecutions: []\n`;

  expect(problemsOf(text(nodes), "x.act")).toEqual([expect.stringContaining("the limit is 20,000 values in a file")]);
  expect(problemsOf(text(small), "x.act").join()).toContain("2,001 of them: the limit is 2,000 nodes");
});

test("a file that is not UTF-8 is refused where its first such byte stands, and one that is stays as it is", () => {
  const latin = parsePipelineFile("a.sh", Buffer.from("echo ü\necho caf\xe9\n", "latin1"));
  const cut = parsePipelineFile("a.sh", Buffer.from("echo ü").subarray(0, -1));
  const right = parsePipelineFile("a.sh", Buffer.from("\uFEFFecho ü \uFFFD\n"));

  const message = "is not text in UTF-8 from here on";
  expect(latin).toMatchObject({ problems: [{ line: 1, column: 6, message }] });
  expect(cut).toMatchObject({ problems: [{ line: 1, column: 6, message }] });
  expect(right).toEqual(parsePipeline("a.sh", "\uFEFFecho ü \uFFFD\n"));
});

// Every check, two at a time, each with its duration; what failed is shown in full.
//
// A check is a command that exits 0 when all is well. `npm run check` runs all, `npm run check -- lint types` some.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { checkBreaking, checkGenerated } from "./check/contract.ts";
import { binaries, root, tool } from "./check/tools.ts";

const parallel = 2;
const checkTimeout_ms = 300_000;

/** What a check found: nothing, or a text for the reader. */
type Finding = { kind: "passed" } | { kind: "failed"; output: string };

interface Check {
  name: string;
  /** What mends most of its findings, shown below them. */
  mend?: string;
  run: () => Promise<Finding>;
}

// The slow ones first, so that the quick ones fill the other core.
const checks: readonly Check[] = [
  { name: "lint", run: command(tool("oxlint"), ["--type-aware", "--type-check", "--deny-warnings"]) },
  { name: "types", run: command(tool("typescript", "tsc"), ["-p", "tsconfig.json"]) },
  { name: "dead-code", run: command(tool("knip", "knip.js"), ["--no-progress"]) },
  { name: "contract-generated", mend: "npm run generate", run: async () => toFinding(await checkGenerated()) },
  { name: "contract-breaking", run: async () => toFinding(await checkBreaking()) },
  { name: "contract-lint", run: command(tool("@bufbuild/buf", "buf"), ["lint"]) },
  {
    name: "contract-format",
    mend: "node_modules/.bin/buf format -w --path proto/agyn",
    run: command(tool("@bufbuild/buf", "buf"), ["format", "--diff", "--exit-code", "--path", "proto/agyn"]),
  },
  { name: "documents", mend: "npm run reference", run: command(join(root, "scripts/reference.ts"), ["--check"]) },
  { name: "format", mend: "npm run format", run: command(tool("oxfmt"), ["--check"]) },
];

function command(script: string, args: string[]): () => Promise<Finding> {
  return () =>
    new Promise((settle) => {
      const env = { ...process.env, PATH: `${binaries}:${process.env["PATH"] ?? ""}` };
      const child = spawn(process.execPath, [script, ...args], {
        cwd: root,
        env,
        stdio: ["ignore", "pipe", "pipe"],
        timeout: checkTimeout_ms,
      });
      const output: Buffer[] = [];
      child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
      child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
      child.once("error", (error) => settle({ kind: "failed", output: error.message }));
      child.once("close", (code, signal) => {
        const ended = signal === null ? "" : `\nended by ${signal} after at most ${checkTimeout_ms / 1000} s`;
        if (code === 0) settle({ kind: "passed" });
        else settle({ kind: "failed", output: Buffer.concat(output).toString("utf8").trim() + ended });
      });
    });
}

function toFinding(problem: string | undefined): Finding {
  return problem === undefined ? { kind: "passed" } : { kind: "failed", output: problem };
}

async function runCheck(check: Check): Promise<boolean> {
  const start_ms = performance.now();
  const finding = await check.run().catch((error: unknown): Finding => ({ kind: "failed", output: String(error) }));
  const seconds = ((performance.now() - start_ms) / 1000).toFixed(1);
  const passed = finding.kind === "passed";
  console.log(`${passed ? "ok    " : "FAILED"}  ${check.name.padEnd(20)} ${seconds.padStart(5)} s`);
  if (finding.kind === "failed") {
    console.log(finding.output.replaceAll(/^/gm, "    "));
    if (check.mend !== undefined) console.log(`    mend it with: ${check.mend}`);
  }
  return passed;
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) => !checks.some((check) => check.name === name));
  if (unknown !== undefined) {
    console.error(`no check is called ${unknown}; there are: ${checks.map((check) => check.name).join(", ")}`);
    return 2;
  }
  const start_ms = performance.now();
  const queue = checks.filter((check) => names.length === 0 || names.includes(check.name));
  const total = queue.length;
  let failed = 0;
  const work = async (): Promise<void> => {
    for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
      if (!(await runCheck(check))) failed++;
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  const seconds = ((performance.now() - start_ms) / 1000).toFixed(1);
  console.log(
    failed === 0 ? `all ${total} checks passed in ${seconds} s` : `${failed} of ${total} checks failed (${seconds} s)`,
  );
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));

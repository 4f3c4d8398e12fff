import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, symlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";
import { createWorld, type World } from "../support/world.ts";
import { missingLine, readBlocks, type Block } from "./guide-blocks.ts";

const root = resolve(import.meta.dirname, "../..");
const blockTimeout_ms = 120_000;
const pageTimeout_ms = 300_000;
const pages = [
  "first-steps",
  "second-machine",
  "register-a-runner",
  "tokens-and-identities",
  "explain",
  "simulated",
  "pipelines",
  "runs",
  "queue",
  "artifacts",
  "secrets",
  "people",
  "way-in",
  "triggers",
  "webhooks",
  "configuration",
] as const;
type Page = (typeof pages)[number];

test.for(pages)("the commands of the guide %s do what the page says", { timeout: pageTimeout_ms }, async (page) => {
  expect(await faultsOf(page)).toEqual([]);
});

/** Where the commands of a page, in their order, do something else than the page says. */
async function faultsOf(page: Page): Promise<string[]> {
  await using world = await createWorld();
  const directory = await openClone(world);
  world.startRunner(await world.register("local"));
  const shell = createShell(world, directory);

  const faults: string[] = [];
  for (const block of await readBlocks(join(root, "docs/guide", `${page}.md`))) {
    const fault = await shell.run(block);
    if (fault !== undefined) faults.push(`${page}.md:${block.line}: ${fault}`);
  }
  await shell.close();
  return faults;
}

/** A directory that looks like a clone in which `npm start` runs: the launchers, and the data of the control plane in `.agyn`. */
async function openClone(world: World): Promise<string> {
  const directory = join(world.directory, "clone");
  await mkdir(directory);
  for (const name of ["agynctl", "agyn-runner", "agyn-server"]) await symlink(join(root, name), join(directory, name));
  await symlink(join(world.directory, "server"), join(directory, ".agyn"));
  return directory;
}

/** Runs blocks in a directory; the ports of the pages become those of this control plane, and back. */
function createShell({ server }: World, directory: string) {
  const ports = [
    ["127.0.0.1:7070", `127.0.0.1:${server.userAddress.port}`],
    ["127.0.0.1:7071", `127.0.0.1:${server.runnerAddress.port}`],
  ] as const;
  const env = { PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`, HOME: directory };
  const background: ChildProcess[] = [];
  const options = { cwd: directory, env };

  return {
    /** What differs from the page, or `undefined`. */
    async run({ script, exitCode, isBackground, output }: Block): Promise<string | undefined> {
      const text = ports.reduce((now, [shown, real]) => now.replaceAll(shown, real), script);
      if (isBackground) {
        background.push(spawn("sh", ["-c", `exec ${text}`], { ...options, stdio: "ignore" }));
        return undefined;
      }
      const ended = await runScript(text, options);
      const said = ports.reduce((now, [shown, real]) => now.replaceAll(real, shown), ended.said);
      if (ended.code !== exitCode) return `exit code ${ended.code} instead of ${exitCode}\n${said}`;
      const missing = missingLine(output, said);
      return missing === undefined ? undefined : `the output has no line "${missing}" there\n${said}`;
    },
    async close(): Promise<void> {
      for (const child of background) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const exited = once(child, "exit");
        // A runner that is told to leave takes away what it made elsewhere, too.
        child.kill("SIGTERM");
        await exited;
      }
    },
  };
}

function runScript(text: string, options: { cwd: string; env: NodeJS.ProcessEnv }) {
  return new Promise<{ code: number | string | null; said: string }>((settle) => {
    execFile("sh", ["-ec", `exec 2>&1\n${text}`], { ...options, timeout: blockTimeout_ms }, (error, said) =>
      settle({ code: error === null ? 0 : (error.code ?? null), said }),
    );
  });
}

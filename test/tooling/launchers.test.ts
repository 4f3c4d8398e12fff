import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const entries = {
  agynctl: "cli/src/main.ts",
  "agyn-server": "server/src/main.ts",
  "agyn-runner": "runner/src/main.ts",
};
const packages = createRequire(import.meta.url)("../../package.json") as { dependencies: { node: string } };
const directories: string[] = [];

// What a launcher starts here: it tells what it was started as, or waits for a signal.
const report = `
const { pid, argv, versions } = process;
console.log(JSON.stringify({ pid, arguments: argv.slice(2), entry: import.meta.filename, node: versions.node }));
if (argv[2] === "wait") setInterval(() => {}, 60_000);
process.exitCode = Number(argv[2] === "exit" ? argv[3] : 0);
`;

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

test.each(Object.entries(entries))("%s starts %s with the Node of the checkout", async (name, entry) => {
  const checkout = await createCheckout();

  const started = await launch(join(checkout, name), []);

  expect(started.report).toMatchObject({ entry: join(checkout, entry), node: packages.dependencies.node });
});

test("a launcher passes its arguments on as they are", async () => {
  const checkout = await createCheckout();
  const args = ["start", "", "two words", "*", "$HOME", "--", "-n", "quo'te\"s\n"];

  const started = await launch(join(checkout, "agynctl"), args);

  expect(started.report.arguments).toEqual(args);
});

test("a launcher finds its checkout through a chain of links, from another directory", async () => {
  const checkout = await createCheckout();
  const bin = await createDirectory();
  await symlink(join(checkout, "agynctl"), join(bin, "first link"));
  await symlink("first link", join(bin, "second"));

  const started = await launch(join(bin, "second"), ["version"]);

  expect(started.report.entry).toBe(join(checkout, entries.agynctl));
});

test("a launcher ends with the exit code of what it started", async () => {
  const checkout = await createCheckout();

  const started = await launch(join(checkout, "agynctl"), ["exit", "7"]);

  expect(started.code).toBe(7);
});

test("a launcher becomes the process it starts, so that its pid and its signals are that process's own", async () => {
  const checkout = await createCheckout();
  const child = spawn(join(checkout, "agyn-server"), ["wait"], { stdio: ["ignore", "pipe", "inherit"] });

  const [line] = (await once(child.stdout, "data")) as [Buffer];
  child.kill("SIGTERM");
  const [, signal] = (await once(child, "exit")) as [number | null, string | null];

  expect(JSON.parse(line.toString("utf8"))).toMatchObject({ pid: child.pid });
  expect(signal).toBe("SIGTERM");
});

test("scripts/run.mjs becomes the script it is given, with its arguments and its exit code", async () => {
  const checkout = await createCheckout();
  const script = [join(checkout, "scripts/run.mjs"), entries.agynctl, "exit", "7"];

  const started = await launch(process.execPath, script);

  expect(started).toMatchObject({ code: 7, report: { pid: started.pid, arguments: ["exit", "7"] } });
});

test("a launcher without any Node says what to install", async () => {
  const checkout = await createCheckout();
  await rm(join(checkout, "node_modules"));
  const path = await createDirectory();
  for (const command of ["sh", "dirname", "readlink"]) await symlink(await which(command), join(path, command));

  const child = spawn(join(checkout, "agynctl"), [], { env: { PATH: path }, stdio: ["ignore", "ignore", "pipe"] });
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, "exit") as Promise<[number]>]);

  expect(errors).toContain("Node is not on the PATH: install Node 18 or newer");
  expect(code).toBe(1);
});

async function createDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "agyn launch ü-"));
  directories.push(directory);
  return directory;
}

/** As much of a checkout as a launcher needs, in a path with spaces; the packages are this checkout's. */
async function createCheckout(): Promise<string> {
  const checkout = await createDirectory();
  for (const name of ["package.json", "package-lock.json", "scripts", ...Object.keys(entries)]) {
    await cp(join(root, name), join(checkout, name), { recursive: true });
  }
  for (const entry of Object.values(entries)) {
    await mkdir(join(checkout, dirname(entry)), { recursive: true });
    await writeFile(join(checkout, entry), report);
  }
  await symlink(join(root, "node_modules"), join(checkout, "node_modules"));
  return checkout;
}

interface Started {
  pid: number | undefined;
  code: number | null;
  report: { pid: number; arguments: string[]; entry: string; node: string };
}

async function launch(path: string, args: string[]): Promise<Started> {
  const child = spawn(path, args, { cwd: tmpdir(), stdio: ["ignore", "pipe", "inherit"] });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "exit") as Promise<[number | null]>]);
  return { pid: child.pid, code, report: JSON.parse(output) as Started["report"] };
}

async function which(command: string): Promise<string> {
  const child = spawn("/bin/sh", ["-c", 'command -v -- "$1"', "sh", command], { stdio: ["ignore", "pipe", "inherit"] });
  return (await text(child.stdout)).trim();
}

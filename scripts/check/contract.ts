import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { binaries, root, tool } from "./tools.ts";

const run = promisify(execFile);
const bufTimeout_ms = 120_000;
const bufOutput_bytes = 16 * 1024 * 1024;
const generated = "proto/gen";
const releases = "proto/releases";

/** What differs between `proto/gen` and what the contract generates now, or `undefined`. */
export async function checkGenerated(): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-generate-"));
  try {
    const failure = await buf(["generate", "--output", directory]);
    if (failure !== undefined) return failure;
    return await compareFolders(join(root, generated), join(directory, generated));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What breaks clients of the last release (I14), or `undefined`. Releases are images `<version>.binpb`, made by `buf build -o`. */
export async function checkBreaking(): Promise<string | undefined> {
  const last = await lastRelease();
  return last === undefined ? undefined : await buf(["breaking", "--against", join(releases, last)]);
}

async function lastRelease(): Promise<string | undefined> {
  const names = await readdir(join(root, releases)).catch((): string[] => []);
  const byVersion = new Intl.Collator("en", { numeric: true });
  return names
    .filter((name) => name.endsWith(".binpb"))
    .sort(byVersion.compare)
    .at(-1);
}

async function buf(args: string[]): Promise<string | undefined> {
  const env = { ...process.env, PATH: `${binaries}:${process.env["PATH"] ?? ""}` };
  const options = { cwd: root, env, timeout: bufTimeout_ms, maxBuffer: bufOutput_bytes };
  try {
    await run(process.execPath, [tool("@bufbuild/buf", "buf"), ...args], options);
    return undefined;
  } catch (error) {
    const { stdout, stderr, message } = error as Error & { stdout?: string; stderr?: string };
    return `${stdout ?? ""}${stderr ?? ""}`.trim() || message;
  }
}

async function compareFolders(committed: string, fresh: string): Promise<string | undefined> {
  const [committedFiles, freshFiles] = await Promise.all([listFiles(committed), listFiles(fresh)]);
  const problems: string[] = [];
  for (const name of new Set([...committedFiles, ...freshFiles])) {
    if (!freshFiles.has(name)) problems.push(`${generated}/${name} is no longer generated`);
    else if (!committedFiles.has(name)) problems.push(`${generated}/${name} is not committed`);
    else if (!(await haveSameContent(join(committed, name), join(fresh, name)))) {
      problems.push(`${generated}/${name} is out of date`);
    }
  }
  return problems.length === 0 ? undefined : problems.sort().join("\n");
}

async function listFiles(directory: string): Promise<Set<string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return new Set(files.map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1)));
}

async function haveSameContent(left: string, right: string): Promise<boolean> {
  const [leftBytes, rightBytes] = await Promise.all([readFile(left), readFile(right)]);
  return leftBytes.equals(rightBytes);
}

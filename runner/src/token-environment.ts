import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const tokenName = "AGYN_SERVICE_TOKEN";
const handoverName = "AGYN_SERVICE_TOKEN_HANDOVER";

/**
 * Takes the service token out of the environment. What a process was started with stays readable in
 * `/proc/<pid>/environ`, so the process replaces itself by one that never had it, and finds the token in a file that is
 * removed as soon as it is read. Does not return in the process that had it.
 */
export function takeTokenFromEnvironment(): string | undefined {
  const handover = process.env[handoverName];
  delete process.env[handoverName];
  if (handover !== undefined && process.env[tokenName] === undefined) return readAndRemove(handover);

  const token = process.env[tokenName];
  if (token === undefined || process.execve === undefined) return token;
  const path = join(mkdtempSync(join(tmpdir(), "agyn-token-")), "token");
  writeFileSync(path, token, { mode: 0o600, flag: "wx" });
  const { [tokenName]: _, ...environment } = process.env;
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  return process.execve(process.execPath, argv, { ...environment, [handoverName]: path });
}

function readAndRemove(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } finally {
    rmSync(dirname(path), { recursive: true, force: true });
  }
}

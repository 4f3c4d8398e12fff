import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { proxyVariables } from "./proxies.ts";

const tokenName = "AGYN_SERVICE_TOKEN";
const handoverName = "AGYN_SECRETS_HANDOVER";

/**
 * The environment, with the service token and proxies' passwords taken out of where they can be seen. What a process was started with stays
 * readable in `/proc/<pid>/environ`, so the process replaces itself by one that never had them, and finds them in a file that is
 * removed as soon as it is read. Does not return in the process that had them.
 */
export function takeEnvironment(): NodeJS.ProcessEnv {
  const { [handoverName]: handover, ...environment } = process.env;
  delete process.env[handoverName];
  const secrets = Object.entries(environment).filter(([name, value]) => isSecret(name, value ?? ""));
  if (secrets.length === 0)
    return handover === undefined ? environment : { ...environment, ...readAndRemove(handover) };

  if (process.execve === undefined) return environment;
  const path = join(mkdtempSync(join(tmpdir(), "agyn-secrets-")), "environment.json");
  writeFileSync(path, JSON.stringify(Object.fromEntries(secrets)), { mode: 0o600, flag: "wx" });
  for (const [name] of secrets) delete environment[name];
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  return process.execve(process.execPath, argv, { ...environment, [handoverName]: path });
}

/** The token, and the URL of a proxy that holds a user and password. */
function isSecret(name: string, value: string): boolean {
  const isProxy = Object.values(proxyVariables).some((names) => names.some((one) => one === name));
  return name === tokenName || (isProxy && value.includes("@"));
}

function readAndRemove(path: string): NodeJS.ProcessEnv {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as NodeJS.ProcessEnv;
  } finally {
    rmSync(dirname(path), { recursive: true, force: true });
  }
}

import { ConfigError, type Address, type Config } from "./config.ts";
import { BlobStartError } from "./blobs/blobs.ts";
import { KeyFileError } from "./identity/key-file.ts";
import { DatabaseStartError } from "./store/database.ts";
import { PostgresStartError } from "./store/embedded-postgres.ts";

/** Errors whose text is for the operator as it is. */
const explained = [PostgresStartError, DatabaseStartError, BlobStartError, KeyFileError];

/** What the operator can mend of what kept a server from starting; other errors as they are. */
export function explainStartFailure(error: unknown, config: Config): unknown {
  if (explained.some((kind) => error instanceof kind)) return new ConfigError((error as Error).message);
  const { code, path, address, port } = systemErrorOf(error);
  if (port !== undefined) {
    const flag = port === config.runnerListen.port ? "--runner-listen" : "--listen";
    const where = addressText({ host: address ?? "", port });
    if (code === "EADDRINUSE")
      return new ConfigError(`${where} is in use: stop what listens there, or choose another port with ${flag}`);
    if (code === "EACCES")
      return new ConfigError(`${where} needs rights that this user lacks: choose a port above 1023 with ${flag}`);
    if (code === "EADDRNOTAVAIL")
      return new ConfigError(`${where} is no address of this machine: choose one that is with ${flag}`);
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return new ConfigError(`listen: ${(error as Error).message}: give an address of this machine`);
  if (code === "ENOSPC" || code === "EDQUOT")
    return new ConfigError(`data_dir: no room is left for ${config.dataDir} (${code}): make some, or choose another`);
  if (path === undefined) return error;
  const isInData = path.startsWith(config.dataDir);
  const isAbove = `${config.dataDir}/`.startsWith(`${path}/`);
  if ((isInData || isAbove) && ["EEXIST", "ENOTDIR"].includes(code ?? ""))
    return new ConfigError(`data_dir: ${path} is not a directory: choose another, or move away what is there`);
  if (((isInData || isAbove) && ["EACCES", "EROFS"].includes(code ?? "")) || (isAbove && code === "ENOENT"))
    return new ConfigError(
      `data_dir: ${path} cannot be made or used (${code}): make it this user's, or choose another directory`,
    );
  return error;
}

type SystemError = NodeJS.ErrnoException & { address?: string; port?: number };

/** What the operating system said; the runner plane's listener reports it as the cause of its own error. */
function systemErrorOf(error: unknown): SystemError {
  const { code, cause } = error as SystemError;
  return code === undefined && cause instanceof Error ? cause : (error as SystemError);
}

/** `127.0.0.1:7070`, `[::1]:7070` */
export function addressText({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
